"""Ten thousand tasks on a thousand agents while the daemon is killed: each instance finishes once.

The emulator's judge says so, which the scheduler cannot influence but by its calls. When to kill is
read from that account too, so that there is work under way whatever the machine's speed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.scene import batch
from tests.support.daemon import DaemonProcess
from tests.support.masters import EmulatedMaster
from tests.support.waiting import wait_until

AGENTS: Final = 1_000
TASKS: Final = 10_000
# A fifth of the batch fits at once: when the daemon dies, most of the rest waits to be launched,
# however fast the machine is.
CLUSTER: Final = {
    "simulate": True,
    "agents": AGENTS,
    "cpus": 0.2,
    "frameworks": None,
    "simulate_start_s": 0.2,
    "allocation_interval_s": 0.5,
}
JOB: Final = "numbers"
DEADLINE_S: Final = 60.0

Account = dict[str, dict[str, Any]]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatedMaster]:
    started = EmulatedMaster(tmp_path, CLUSTER)
    yield started
    started.stop()


@pytest.fixture
def daemon(emulator: EmulatedMaster, tmp_path: Path) -> Iterator[DaemonProcess]:
    settings = {"master": emulator.url, "framework": {"name": "scale", "user": "nobody"}}
    with DaemonProcess(tmp_path / "daemon", settings) as made:
        yield made
        print(made.log_tail())


def finished(account: Account) -> int:
    return sum(task["state"] == "TASK_FINISHED" for task in account.values())


def under_way(account: Account) -> int:
    """Tasks that were launched, and whose end the scheduler has not acknowledged."""
    return sum(not task["acknowledged"] for task in account.values())


def ends_by_instance(account: Account) -> dict[int, list[str]]:
    ends: defaultdict[int, list[str]] = defaultdict(list)
    for task_id, task in account.items():
        ends[int(task_id.split(".")[1])] += task["ends"]
    return ends


def kill_amid_work(daemon: DaemonProcess, emulator: EmulatedMaster, launched: int) -> None:
    """SIGKILL when so many were launched; asserts that there was still work then."""
    wait_until(lambda: len(emulator.account()) >= launched, f"{launched} launched", DEADLINE_S)
    daemon.kill9()
    at_death = emulator.account()
    assert len(at_death) < TASKS
    assert under_way(at_death)


@pytest.mark.slow
@pytest.mark.timeout(DEADLINE_S)
def test_each_instance_finishes_once_though_the_daemon_is_killed_twice(
    emulator: EmulatedMaster, daemon: DaemonProcess
) -> None:
    daemon.start().wait_until_connected()
    daemon.api.apply(batch(JOB, TASKS, "sleep 1"))
    kill_amid_work(daemon, emulator, launched=TASKS // 10)
    daemon.start()
    kill_amid_work(daemon, emulator, launched=TASKS // 2)
    daemon.start()

    def all_finished() -> bool:
        account = emulator.account()
        assert finished(account) >= TASKS, f"{len(account)} launched, {finished(account)} finished"
        assert not under_way(account)
        return True

    wait_until(all_finished, "every task to finish and be acknowledged", DEADLINE_S)
    account = emulator.account()
    assert Counter(task["launches"] for task in account.values()) == {1: len(account)}
    ends = ends_by_instance(account)
    assert set(ends) == set(range(TASKS))
    assert all(named.count("TASK_FINISHED") == 1 for named in ends.values())
    wait_until(lambda: daemon.api.job(JOB)["state"] == "ended", "the job to end")
    assert daemon.api.job(JOB)["tasks"] == {"finished": TASKS}
