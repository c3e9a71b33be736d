"""A daemon with a store of its own: its disk is full, or another daemon has a copy of it."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.faults.evidence import Evidence
from tests.faults.judge import violations_on_the_wire
from tests.faults.load import Load, is_batch
from tests.faults.masters import Emulated
from tests.faults.reading import connections, said_on, updates_on
from tests.faults.settings import SEEDS
from tests.faults.settled import as_wished
from tests.faults.stage import SETTLED_S
from tests.faults.taps import Tap, Taps
from tests.support.daemon import DaemonProcess
from tests.support.small_disk import fill, small_disk
from tests.support.waiting import stays, wait_until

REFUSED_S_MAX: Final = 30.0
FULL_S_MAX: Final = 3.0
ENDS_S_MAX: Final = 90.0
EXIT_FRAMEWORK_TAKEN: Final = 13
WEB: Final = {
    "job": "web",
    "kind": "service",
    "instances": 5,
    "command": "exec sleep 1000",
    "resources": {"cpus": 0.1, "mem": "32MiB"},
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(200),
    pytest.mark.skipif(not SEEDS, reason="make faults SEEDS=n"),
]


@pytest.fixture
def taps() -> Iterator[Taps]:
    with Taps() as taps:
        yield taps


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Emulated]:
    master = Emulated(tmp_path / "mesos")
    yield master
    master.stop()


def evidence_of(tap: list[Tap], master: Emulated, load: Load) -> Evidence:
    seen = connections(tap)
    return Evidence(
        "",
        lives=master.lives([]),
        said=sorted(one for each in seen for one in said_on(each)),
        updates=[one for each in seen for one in updates_on(each)],
        finished=master.finished(),
        batches={job: wish.instances for job, wish in load.wished.items() if is_batch(job)},
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_full_disk_loses_nothing_even_if_the_daemon_dies_of_it(
    seed: int, tmp_path: Path, taps: Taps, master: Emulated
) -> None:
    random = Random(seed)
    setting, between, _ = master.join("alone", taps)
    with small_disk(tmp_path / "disk", "8m") as disk, DaemonProcess(tmp_path / "d", {}) as daemon:
        settings = {
            "master": setting,
            "store": f"sqlite:{disk / 'offerd.db'}",
            "offers": {"revive_interval_min": "200ms"},
        }
        daemon.configure(settings)
        daemon.start()
        with Load([daemon.api], seed, master.pause_s) as load:
            load.await_work()
            ballast = fill(disk)
            wait_until(
                lambda: daemon.api.status()["store_refusing"], "the store to refuse", REFUSED_S_MAX
            )
            time.sleep(random.uniform(0.0, FULL_S_MAX))
            if random.random() < 0.5:
                daemon.kill9()
                ballast.unlink()
                daemon.start()
            else:
                ballast.unlink()
            load.await_work()
        wait_until(lambda: as_wished(load, master, daemon.api), "all to be as declared", SETTLED_S)
        assert violations_on_the_wire(evidence_of(between, master, load)) == []


@pytest.mark.parametrize("seed", range(SEEDS))
def test_two_daemons_with_one_framework_id_do_not_fight_for_ever(
    seed: int, tmp_path: Path, taps: Taps, master: Emulated
) -> None:
    """Each takes the stream from the other, while both have users; one of them gives up and says
    why. Its tasks run on, and the users of the other get all that they wish."""
    ways = {name: master.join(name, taps) for name in ("one", "other")}
    one, other = (
        DaemonProcess(
            tmp_path / name,
            {"master": way.setting, "offers": {"revive_interval_min": "200ms"}},
        )
        for name, way in ways.items()
    )
    with one, other:
        one.start()
        framework_id = one.wait_until_connected()
        one.api.apply(WEB)
        running = wait_until(
            lambda: _all_running(master, framework_id), "the tasks to run", REFUSED_S_MAX
        )
        with (
            closing(sqlite3.connect(one.store)) as stored,
            closing(sqlite3.connect(other.store)) as copy,
        ):
            stored.backup(copy)
        with Load([one.api], seed, master.pause_s, "one") as ones:
            ones.await_work()
            other.start()
            with Load([other.api], seed, master.pause_s, "other") as others:
                wait_until(lambda: not (one.alive() and other.alive()), "one to end", ENDS_S_MAX)
                ended, left = (one, other) if other.alive() else (other, one)
                lost, served = (ones, others) if left is other else (others, ones)
                lost.give_up()
                assert ended.wait_for_end() == EXIT_FRAMEWORK_TAKEN
                assert "another scheduler uses this framework id" in ended.said()
                assert left.wait_until_connected() == framework_id
                served.await_work()
        wait_until(lambda: as_wished(served, master, left.api), "all to be as declared", SETTLED_S)
        stays(lambda: _all_running(master, framework_id) == running, "tasks", 1.0)
        evidence = evidence_of(
            [tap for way in ways.values() for tap in way.masters], master, served
        )
    assert violations_on_the_wire(evidence) == []
    kills = [
        (said.daemon, task) for said in evidence.said if said.kind == "KILL" for task in said.tasks
    ]
    assert [kill for kill in kills if not kill[1].startswith(kill[0])] == []


def _all_running(master: Emulated, framework_id: str) -> list[str]:
    running = master.framework(framework_id).running("web")
    assert len(running) == WEB["instances"]
    return running
