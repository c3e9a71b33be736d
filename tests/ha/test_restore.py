"""Backup and restore with daemons, a master and stores that are real processes and files."""

from pathlib import Path

import pytest

from scheduler.store.backup_file import read_backup
from tests.e2e.scene import batch, service
from tests.ha.conftest import Company
from tests.support.daemon import DaemonProcess
from tests.support.waiting import stays, wait_until

pytestmark = pytest.mark.timeout(120, func_only=True)


@pytest.fixture(params=["sqlite", "etcd"])
def daemon(request: pytest.FixtureRequest, company: Company, tmp_path: Path) -> DaemonProcess:
    """Not started yet."""
    own = {"store": f"sqlite:{tmp_path / 'offerd.db'}"} if request.param == "sqlite" else {}
    return company.hire(**own)


def running(company: Company, framework_id: str) -> set[str]:
    return set(company.framework(framework_id).running())


def test_tasks_of_before_a_restore_live_on_and_no_id_is_used_again(
    company: Company, daemon: DaemonProcess, tmp_path: Path
) -> None:
    file = str(tmp_path / "a.backup")
    framework_id = daemon.start().wait_until_connected()
    daemon.api.apply(service("team/web", 2))
    daemon.api.apply(batch("numbers", 2))
    wait_until(lambda: daemon.api.job("team/web")["tasks"] == {"running": 2}, "web to run")
    wait_until(lambda: daemon.api.job("numbers")["state"] == "ended", "numbers to end")
    taken = daemon.store_command("backup", file)
    assert taken.returncode == 0, taken.stderr
    daemon.api.apply(service("later"))
    wait_until(lambda: daemon.api.job("later")["tasks"] == {"running": 1}, "later to run")
    before = running(company, framework_id)

    # Not while somebody leads, and not over what is there.
    assert daemon.store_command("restore", "--replace", file).returncode == 22
    assert daemon.sigterm() == 0
    refused = daemon.store_command("restore", file)
    assert (refused.returncode, "--replace" in refused.stderr) == (2, True), refused.stderr
    restored = daemon.store_command("restore", "--replace", file)
    assert restored.returncode == 0, restored.stderr
    assert "restored 2 jobs" in restored.stdout

    assert daemon.start().wait_until_connected() == framework_id
    wait_until(lambda: not daemon.api.status()["reconciling"], "the reconciliation to end")
    unknown = {task["id"] for task in daemon.api.get("/v1/unknown_tasks")["items"]}
    assert before <= unknown
    assert daemon.api.job("team/web")["state"] == "stopped"
    assert daemon.api.job("numbers")["tasks"] == {"finished": 2}
    stays(lambda: before <= running(company, framework_id), "tasks of before", 1.0)

    # An operator starts what was stopped, and ends what is left of before.
    daemon.api.apply(daemon.api.job("team/web")["spec"])
    wait_until(lambda: daemon.api.job("team/web")["tasks"] == {"running": 2}, "web to run again")
    after = {task["id"] for task in daemon.api.tasks("team/web")}
    assert not after & before
    assert before | after <= running(company, framework_id)
    ended = sorted(before)[0]
    killed = daemon.command("kill", ended)
    assert killed.returncode == 0, killed.stderr
    wait_until(lambda: ended not in running(company, framework_id), "the operator's kill")
    assert before - {ended} | after <= running(company, framework_id)
    assert len(company.framework(framework_id).finished("numbers")) == 2


def test_a_backup_moves_from_one_store_to_another(company: Company, tmp_path: Path) -> None:
    file = tmp_path / "a.backup"
    old = company.hire(store=f"sqlite:{tmp_path / 'old.db'}")
    framework_id = old.start().wait_until_connected()
    old.api.apply(service("web"))
    wait_until(lambda: old.api.job("web")["tasks"] == {"running": 1}, "web to run")
    before = running(company, framework_id)
    assert old.sigterm() == 0
    # Also of a store that nobody uses.
    assert old.store_command("backup", str(file)).returncode == 0
    assert len(read_backup(file)[1]) == 3

    new = company.hire()
    restored = new.store_command("restore", "--run", str(file))
    assert restored.returncode == 0, restored.stderr
    assert new.start().wait_until_connected() == framework_id
    wait_until(lambda: new.api.job("web")["tasks"] == {"running": 1}, "web to run again")
    after = {task["id"] for task in new.api.tasks("web")}
    assert not after & before
    assert running(company, framework_id) == before | after
