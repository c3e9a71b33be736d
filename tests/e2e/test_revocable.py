"""Revocable cpus on a real cluster: offered to us, used by jobs that take them, and taken back."""

from collections.abc import Iterator

import pytest

from tests.e2e.scene import Document, service
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.support.cluster_state import FrameworkState
from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real_mesos, pytest.mark.xdist_group("revocable")]

RESOURCES = "cpus:1;mem:1024;disk:1000;ports:[31000-31003]"
LENT = {"cpus": 2.0, "mem": 512.0}
SPARE = {"cpus": 1.5, "mem": "32MiB", "revocable": True}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    with RealCluster(build, tmp_path_factory.mktemp("revocable")) as cluster:
        cluster.start(agents=2, agent_flags={"resources": RESOURCES})
        cluster.lend(0, **LENT)
        yield cluster


@pytest.fixture(scope="module")
def daemon(
    cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    settings = {
        "master": cluster.master_url,
        "framework": {"name": "borrowing"},
        "offers": {"revive_interval_min": "200ms", "refuse_no_fit": "2s"},
        "operator": {"agents_interval": "1s"},
    }
    with DaemonProcess(tmp_path_factory.mktemp("daemon"), settings).start() as daemon:
        daemon.wait_until_connected()
        yield daemon
        print(daemon.log_tail())


@pytest.fixture(autouse=True)
def nothing_runs(daemon: DaemonProcess, cluster: RealCluster) -> Iterator[None]:
    yield
    for job in daemon.api.get("/v1/jobs")["items"]:
        daemon.api.delete(f"/v1/jobs/{job['job']}")
    wait_until(lambda: not live(daemon, cluster), "all to end", 20.0)


def test_a_job_that_takes_them_runs_on_revocable_cpus_alone(
    daemon: DaemonProcess, cluster: RealCluster
) -> None:
    """No agent has 1.5 plain cpus."""
    daemon.api.apply(service("spare", resources=SPARE))
    [task] = wait_until(lambda: running(daemon, cluster, "spare"), "the task to run", 20.0)
    used = cluster.used_resources(0)
    assert {(one["name"], "revocable" in one) for one in used} == {("cpus", True), ("mem", False)}
    totals = {
        one["id"]: (one["total"]["cpus"], one["total"]["mem"], one["total"]["revocable_cpus"])
        for one in daemon.api.get("/v1/agents")["items"]
    }
    assert totals.pop(task["slave_id"]) == (1.0, 1024.0, 2.0)
    assert list(totals.values()) == [(1.0, 1024.0, 0.0)]


def test_a_job_that_does_not_take_them_waits_for_plain_cpus_and_says_so(
    daemon: DaemonProcess, cluster: RealCluster
) -> None:
    daemon.api.apply(service("spare", resources=SPARE))
    daemon.api.apply(service("plain", resources={"cpus": 1.5, "mem": "32MiB"}))
    wait_until(lambda: running(daemon, cluster, "spare"), "the other to run", 20.0)
    [reason] = explained(daemon, "plain", ["cpus"])
    assert (reason["agents"], reason["short"], reason["of"]) == (2, 0.5, "total")


def test_what_is_lacking_is_named(daemon: DaemonProcess, cluster: RealCluster) -> None:
    """The agent that lends 2 cpus has half of one left, the other lends none."""
    daemon.api.apply(service("spare", 2, resources=SPARE))
    wait_until(lambda: running(daemon, cluster, "spare"), "one to run", 20.0)

    def named() -> Document:
        found = daemon.api.get("/v1/jobs/spare/explain")
        assert {one["reason"] for one in found["reasons"]} == {"revocable_cpus"}, found
        assert sorted(one["short"] for one in found["reasons"]) == [1.0, 1.5], found
        return Document(found)

    found = wait_until(named, "the reason to be told", 20.0)
    assert "1 is too small in revocable cpus (by 1.5)" in found["text"]


def test_a_task_whose_cpus_are_taken_back_is_replaced_and_has_not_failed(
    daemon: DaemonProcess, cluster: RealCluster
) -> None:
    daemon.api.apply(service("spare", resources=SPARE, restart={"attempts": 1}))
    [task] = wait_until(lambda: running(daemon, cluster, "spare"), "the task to run", 20.0)
    cluster.preempt(0, daemon.api.status()["framework_id"], task["id"])

    def replaced() -> bool:
        now = [one["id"] for one in running(daemon, cluster, "spare")]
        return len(now) == 1 and now != [task["id"]]

    wait_until(replaced, "another task to run", 20.0)
    ended = daemon.api.get(f"/v1/tasks/{task['id']}")
    assert (ended["state"], ended["reason"]) == ("gone", "container_preempted")


def explained(daemon: DaemonProcess, job: str, reasons: list[str]) -> list[Document]:
    """The reasons, once they are these."""

    def told() -> list[Document]:
        found: list[Document] = daemon.api.get(f"/v1/jobs/{job}/explain")["reasons"]
        assert [one["reason"] for one in found] == reasons, found
        return found

    return wait_until(told, f"{job} to wait for {reasons}", 20.0)


def live(daemon: DaemonProcess, cluster: RealCluster, job: str | None = None) -> list[Document]:
    framework_id = daemon.api.status()["framework_id"]
    return FrameworkState(cluster.state(), framework_id).live(job)


def running(daemon: DaemonProcess, cluster: RealCluster, job: str) -> list[Document]:
    return [task for task in live(daemon, cluster, job) if task["state"] == "TASK_RUNNING"]
