"""Small rounds with a real daemon; what fails is told, and no child outlives its benchmark."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import launch_path
from benchmarks.children import PROJECT_ROOT, BenchmarkFailed, Daemon, LoadMaster
from benchmarks.values import Figures, Load
from benchmarks.wire import PROTOBUF
from scheduler.mesos.proto.scheduler_pb2 import Call
from tests.support.waiting import wait_until

LOAD = Load(agents=10, tasks=200)


@pytest.mark.parametrize("run", [launch_path.launch, launch_path.storm, launch_path.restart])
def test_a_small_round_gives_figures(run: Callable[[Load], Figures]) -> None:
    figures = run(LOAD)
    assert all(value >= 0.0 for value in figures.values.values())


def test_a_daemon_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with LoadMaster(tmp_path, 1, 1) as master, Daemon(tmp_path, master.port, "memory:") as daemon:
        (tmp_path / "only.yaml").write_text("nonsense: 1\n")
        daemon.run()
        with pytest.raises(BenchmarkFailed, match=r"(?s)the daemon ended with .*nonsense"):
            daemon.wait_until_connected()


def test_a_job_that_is_refused_is_told(tmp_path: Path) -> None:
    with LoadMaster(tmp_path, 1, 1) as master, Daemon(tmp_path, master.port, "memory:") as daemon:
        daemon.run()
        daemon.wait_until_connected()
        with pytest.raises(BenchmarkFailed, match="the daemon did not take the job"):
            daemon.apply({"job": "nonsense"})


def test_a_load_master_that_ends_is_told(tmp_path: Path) -> None:
    with LoadMaster(tmp_path, 1, 1) as master, Daemon(tmp_path, master.port, "memory:") as daemon:
        daemon.run()
        os.kill(master.process.pid, signal.SIGKILL)
        with pytest.raises(BenchmarkFailed, match="the load master ended with -9"):
            master.wave(daemon)


def test_an_acknowledgement_of_nothing_that_was_sent_ends_the_round(tmp_path: Path) -> None:
    call = Call(type=Call.ACKNOWLEDGE)
    call.acknowledge.agent_id.value = "load-S0"
    call.acknowledge.task_id.value = "load.0"
    call.acknowledge.uuid = b"never sent"
    headers = {"Content-Type": PROTOBUF.content_type.decode()}
    with LoadMaster(tmp_path, 1, 1) as master:
        request = urllib.request.Request(master.url, call.SerializeToString(), headers)
        with contextlib.suppress(OSError):  # it may end before it answers
            urllib.request.urlopen(request, timeout=10.0).close()
        with pytest.raises(BenchmarkFailed, match="acknowledged twice, or never sent"):
            master.wave(master)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_a_benchmark_that_is_ended_from_outside(how: signal.Signals) -> None:
    arguments = ("--only", "launch", "--tasks", "100000", "--agents", "10000")
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: len(children_of(benchmark.pid)) == 2, "both children", 20.0)
        children = children_of(benchmark.pid)
        benchmark.send_signal(how)
        assert benchmark.wait(20.0) != 0
    finally:
        benchmark.kill()
        benchmark.wait()
    wait_until(lambda: not any(runs(child) for child in children), "the children to end")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Neither gone nor dead and unburied."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
