"""What operators reserve while a cluster runs: dynamic and refined reservations of a real master.

The agent has 5 cpus: half a one of static and 1.5 of a labelled dynamic reservation for `prod`,
half a one that is reserved for `prod` and of that again for `prod/team`, and 2.5 for everybody.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import Document, service
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.real_mesos.nodes import OPERATOR_CREDENTIAL
from tests.support.cluster_state import FrameworkState
from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real_mesos, pytest.mark.xdist_group("reservations")]

RESOURCES = "cpus:4;cpus(prod):1;mem:1024;disk:1000;ports:[31000-31003]"
STATIC = {"type": "STATIC", "role": "prod"}
LABELLED = {
    "type": "DYNAMIC",
    "role": "prod",
    "principal": OPERATOR_CREDENTIAL.principal,
    "labels": {"labels": [{"key": "for", "value": "web"}]},
}
REFINED = {"type": "DYNAMIC", "role": "prod/team", "principal": OPERATOR_CREDENTIAL.principal}

PROD_CPUS: list[tuple[list[Document], float]] = [
    ([], 2.5),
    ([STATIC], 0.5),
    ([LABELLED], 1.5),
]
TEAM_CPUS = [*PROD_CPUS, ([STATIC, REFINED], 0.5)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    with RealCluster(build, tmp_path_factory.mktemp("reservations")) as cluster:
        cluster.start(agents=1, auth_http=True, agent_flags={"resources": RESOURCES})
        cluster.reserve(0, cpus(1.5, LABELLED))
        cluster.reserve(0, cpus(0.5, STATIC, REFINED))
        yield cluster


@pytest.fixture(scope="module")
def daemon(
    cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("daemon")
    settings = {
        "master": cluster.master_url,
        "framework": {"name": "reserving", "roles": ["prod", "prod/team", "other"]},
        "offers": {"revive_interval_min": "200ms", "refuse_no_fit": "2s"},
        "operator": {"agents_interval": "1s", **operator_credential(folder)},
    }
    with DaemonProcess(folder, settings).start() as daemon:
        daemon.wait_until_connected()
        yield daemon
        print(daemon.log_tail())


@pytest.mark.parametrize(("role", "expected"), [("prod", PROD_CPUS), ("prod/team", TEAM_CPUS)])
def test_a_task_runs_on_all_that_its_role_may_use_each_piece_as_it_is_reserved(
    daemon: DaemonProcess,
    cluster: RealCluster,
    role: str,
    expected: list[tuple[list[Document], float]],
) -> None:
    asked = sum(amount for _, amount in expected)
    daemon.api.apply(service("web", role=role, resources={"cpus": asked, "mem": "32MiB"}))
    wait_until(lambda: running(daemon, cluster), "the task to run", 20.0)
    used = [
        (one.get("reservations", []), one["scalar"]["value"])
        for one in cluster.used_resources(0)
        if one["name"] == "cpus"
    ]
    assert sorted(used, key=str) == sorted(expected, key=str)
    end(daemon, cluster)


@pytest.mark.parametrize(("role", "asked"), [("other", 3.0), ("prod", 5.0)])
def test_what_is_reserved_for_another_role_is_no_room_and_is_named(
    daemon: DaemonProcess, cluster: RealCluster, role: str, asked: float
) -> None:
    """Reservations serve their role and those below it, not those above or beside it."""
    daemon.api.apply(service("web", role=role, resources={"cpus": asked, "mem": "32MiB"}))

    def told() -> bool:
        reasons = daemon.api.get("/v1/jobs/web/explain")["reasons"]
        return [one["reason"] for one in reasons] == ["other_role"]

    wait_until(told, "the reason to be told", 20.0)
    assert not running(daemon, cluster)
    end(daemon, cluster)


def cpus(amount: float, *reservations: Document) -> Document:
    scalar = {"name": "cpus", "type": "SCALAR", "scalar": {"value": amount}}
    return {**scalar, "reservations": list(reservations)}


def operator_credential(folder: Path) -> Document:
    secret_file = folder / "operator-secret"
    secret_file.write_text(OPERATOR_CREDENTIAL.secret)
    secret_file.chmod(0o600)
    return {"principal": OPERATOR_CREDENTIAL.principal, "secret_file": str(secret_file)}


def running(daemon: DaemonProcess, cluster: RealCluster) -> list[str]:
    return FrameworkState(cluster.state(), daemon.api.status()["framework_id"]).running("web")


def end(daemon: DaemonProcess, cluster: RealCluster) -> None:
    daemon.api.delete("/v1/jobs/web")
    wait_until(lambda: not running(daemon, cluster), "the task to end", 20.0)
    wait_until(lambda: not daemon.api.get("/v1/jobs")["items"], "the job to be forgotten", 20.0)
