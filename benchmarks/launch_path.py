"""The whole path, durable: offer → ACCEPT → TASK_RUNNING → ACKNOWLEDGE, with SQLite on disk.

The daemon under test is the real one, as a child process; the load master is another. Timed from
the OFFERS to the last acknowledgement; CPU is the daemon's own (user and system) from the submitted
job to then.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.77.8.1"
JOB = {
    "job": "load",
    "kind": "service",
    "command": "sleep 1000",
    "resources": {"cpus": 0.1, "mem": "32MiB"},
}
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
MASTER_CPU_SHARE_MAX = 0.7


class Round(NamedTuple):
    """`valid` is false when the load master was the bottleneck."""

    tasks_a_s: float
    cpu_us_a_task: float
    valid: bool


def run(agents: int, tasks: int, store: str = "sqlite") -> Round:
    """One round in a fresh folder. Raises if the work was not done."""
    with tempfile.TemporaryDirectory(prefix="offerd-bench-") as folder:
        master_port, api_port = _free_port(), _free_port()
        master = _start_master(master_port, agents, tasks)
        daemon = _start_daemon(Path(folder), master_port, api_port, store)
        try:
            _wait_connected(api_port, daemon, Path(folder) / "log")
            _post(api_port, {**JOB, "instances": tasks})
            before = _cpu_s(daemon.pid)
            assert master.stdout is not None
            line = master.stdout.readline()
            if not line:
                raise RuntimeError("the load master ended without a result")
            result: dict[str, float] = json.loads(line)
            cpu_s = _cpu_s(daemon.pid) - before
        finally:
            _end(daemon)
            _end(master)
    if result["launched"] != tasks or result["acknowledged"] != tasks:
        raise RuntimeError(f"not all of the work was done: {result}")
    return Round(
        tasks_a_s=tasks / result["seconds"],
        cpu_us_a_task=cpu_s / tasks * 1e6,
        valid=result["master_cpu_s"] <= MASTER_CPU_SHARE_MAX * result["seconds"],
    )


def _start_master(port: int, agents: int, tasks: int) -> subprocess.Popen[str]:
    master = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.load_master", "--host", HOST),
            *("--port", str(port), "--agents", str(agents), "--tasks", str(tasks)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert master.stdout is not None
    if "listening" not in master.stdout.readline():
        raise RuntimeError("the load master did not start")
    return master


def _start_daemon(
    folder: Path, master_port: int, api_port: int, store: str
) -> subprocess.Popen[bytes]:
    config = folder / "offerd.yaml"
    where = "memory:" if store == "memory" else f"sqlite:{folder}/offerd.db"
    config.write_text(
        f"master: http://{HOST}:{master_port}\n"
        f'store: "{where}"\n'
        f"listen: {HOST}:{api_port}\n"
        "framework: {user: nobody, name: bench}\n"
    )
    log = (folder / "log").open("wb")
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler.cli.main", "run", "-c", str(config)], stderr=log
    )


def _wait_connected(api_port: int, daemon: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if daemon.poll() is not None:
            raise RuntimeError(f"the daemon ended: {log.read_text()[-2000:]}")
        try:
            if _get(api_port, "/v1/status")["connected"]:
                return
        except OSError:
            pass  # not listening yet
        time.sleep(0.05)
    raise RuntimeError("the daemon did not connect")


def _get(api_port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{HOST}:{api_port}{path}", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _post(api_port: int, job: dict[str, object]) -> None:
    request = urllib.request.Request(
        f"http://{HOST}:{api_port}/v1/jobs",
        data=json.dumps(job).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=30).close()


def _cpu_s(pid: int) -> float:
    """User and system time of the process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
