"""What real agents have besides plain resources: reservations, and maintenance that is planned."""

import json
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.scene import Document, service
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.support.cluster_state import FrameworkState
from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real_mesos, pytest.mark.xdist_group("agents")]

RESOURCES = (
    "cpus(prod):1;cpus:1;mem(prod):64;mem:1024;disk:1000;"
    "ports(prod):[31000-31001];ports:[32000-32003]"
)
SOON_S = 900


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    with RealCluster(build, tmp_path_factory.mktemp("agents")) as cluster:
        yield cluster.start(agents=2, agent_flags={"resources": RESOURCES})


@pytest.fixture(scope="module")
def daemon(
    cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    settings = {
        "master": cluster.master_url,
        "framework": {"name": "reserving", "roles": ["prod", "prod/team"]},
        "offers": {"revive_interval_min": "200ms", "refuse_no_fit": "2s"},
        "operator": {"agents_interval": "1s"},
    }
    with DaemonProcess(tmp_path_factory.mktemp("daemon"), settings).start() as daemon:
        daemon.wait_until_connected()
        yield daemon
        print(daemon.log_tail())


@pytest.fixture(params=["prod", "prod/team"])
def role(request: pytest.FixtureRequest) -> str:
    """Reservations serve their role and those below it."""
    found: str = request.param
    return found


def test_a_task_takes_from_reserved_and_free_resources_together(
    daemon: DaemonProcess, cluster: RealCluster, role: str
) -> None:
    """No agent has 1.5 cpus or two such ports of one kind alone."""
    name = role.replace("/", "-")
    job = service(
        name,
        role=role,
        resources={"cpus": 1.5, "mem": "512MiB"},
        ports=[{"name": "reserved", "host": 31000}, {"name": "free", "host": 32000}],
    )
    daemon.api.apply(job)
    [task] = wait_until(lambda: running(daemon, cluster, name), "the task to run", 20.0)
    assert task["resources"]["cpus"] == 1.5
    assert task["resources"]["ports"] == "[31000-31000, 32000-32000]"
    daemon.api.delete(f"/v1/jobs/{name}")
    wait_until(lambda: not running(daemon, cluster, name), "the task to end", 20.0)


def test_reserved_resources_are_used_before_free_ones(
    daemon: DaemonProcess, cluster: RealCluster
) -> None:
    daemon.api.apply(service("small", role="prod", resources={"cpus": 0.5, "mem": "32MiB"}))
    wait_until(lambda: running(daemon, cluster, "small"), "the task to run", 20.0)
    used = [*cluster.used_resources(0), *cluster.used_resources(1)]
    used = [one for one in used if one["name"] in ("cpus", "mem")]
    assert {(one["name"], one["role"]) for one in used} == {("cpus", "prod"), ("mem", "prod")}
    daemon.api.delete("/v1/jobs/small")
    wait_until(lambda: not running(daemon, cluster, "small"), "the task to end", 20.0)


def test_no_service_is_placed_where_maintenance_begins_soon(
    daemon: DaemonProcess, cluster: RealCluster
) -> None:
    leaving = cluster.agent_hostname(0)
    plan_maintenance(cluster, [leaving])
    daemon.api.apply(service("web", 2, role="prod", constraints=["hostname unique"]))
    wait_until(lambda: running(daemon, cluster, "web"), "one task to run", 20.0)

    def explained() -> bool:
        reasons = daemon.api.get("/v1/jobs/web/explain")["reasons"]
        return {one["reason"] for one in reasons} == {"maintenance", "host_taken"}

    wait_until(explained, "the reason to be told", 20.0)
    agents = {one["hostname"]: one for one in daemon.api.get("/v1/agents")["items"]}
    assert agents[leaving]["leaves_at"] == pytest.approx(time.time() + SOON_S, abs=60.0)
    assert agents[leaving]["tasks"] == 0
    plan_maintenance(cluster, [])
    wait_until(lambda: len(running(daemon, cluster, "web")) == 2, "both to run", 40.0)


def running(daemon: DaemonProcess, cluster: RealCluster, job: str) -> list[Document]:
    framework_id = daemon.api.status()["framework_id"]
    tasks = FrameworkState(cluster.state(), framework_id).live(job)
    return [task for task in tasks if task["state"] == "TASK_RUNNING"]


def plan_maintenance(cluster: RealCluster, hosts: list[str]) -> None:
    """From `SOON_S` on, for an hour; it replaces the plan before."""
    start = int((time.time() + SOON_S) * 1e9)
    window = {
        "machine_ids": [{"hostname": host, "ip": host} for host in hosts],
        "unavailability": {
            "start": {"nanoseconds": start},
            "duration": {"nanoseconds": 3_600_000_000_000},
        },
    }
    request = urllib.request.Request(
        f"{cluster.master_url}/maintenance/schedule",
        data=json.dumps({"windows": [window] if hosts else []}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        assert answer.status == 200
