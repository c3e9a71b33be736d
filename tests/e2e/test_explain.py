"""Why work waits on a real cluster: staged situations, and the reason that `explain` names.

One cluster, and one daemon whose jobs cannot be placed, each for a reason of its own.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.scene import Document, service
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.real_mesos.hand_made_scheduler import HandMadeScheduler
from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real_mesos, pytest.mark.xdist_group("explain")]

AGENTS = 2
RESOURCES = "cpus:4;mem:1024;disk:1000;ports:[31000-31003];cpus(elsewhere):1"
"""Of each agent; port numbers are nothing but numbers to Mesos, so all may have the same."""

HOURLY = {"policy": "always", "backoff": {"initial": "1h", "factor": 1, "max": "1h"}}
TINY = {"cpus": 0.1, "mem": "16MiB"}
PORTS = [{"name": f"p{number}"} for number in range(5)]


def tiny(job: str, instances: int = 1, **more: object) -> Document:
    return service(job, instances, **{"resources": TINY, **more})


RUNNING = [
    tiny("pinned", 2, ports=[{"name": "admin", "host": 31000}]),
    tiny("spread", 2, constraints=["hostname unique"]),
    service("filler", 2, resources={"cpus": 2, "mem": "16MiB"}, constraints=["hostname unique"]),
]
WAITING = [
    service("too-big", resources={"cpus": 6, "mem": "16MiB"}),
    service("no-room", resources={"cpus": 3.5, "mem": "16MiB"}),
    service("no-mem", resources={"cpus": 0.1, "mem": "2GiB"}),
    service("no-disk", resources={"cpus": 0.1, "mem": "16MiB", "disk": "2GiB"}),
    service("no-gpu", resources={**TINY, "gpus": 1}),
    tiny("wrong-rack", constraints=["rack is r9"]),
    tiny("no-such-attribute", constraints=["ssd is yes"]),
    tiny("many-ports", ports=PORTS),
    service("reserved", resources={"cpus": 2.5, "mem": "16MiB"}),
    tiny("failing", command="echo broken >&2; exit 3", restart=HOURLY),
]
SITUATIONS = [
    pytest.param("too-big", "cpus", {"short": 1.0, "of": "total"}, id="larger than any agent"),
    pytest.param("no-mem", "mem", {"short": 1024.0, "of": "total"}, id="mem lacking"),
    pytest.param("no-disk", "disk", {"short": 1048.0, "of": "total"}, id="disk lacking"),
    pytest.param("no-gpu", "gpus", {"short": 1.0, "of": "total"}, id="no gpus"),
    pytest.param("wrong-rack", "constraint", {"constraint": "rack is r9"}, id="constraint"),
    pytest.param(
        "no-such-attribute", "attribute_missing", {"constraint": "ssd is yes"}, id="attribute"
    ),
    pytest.param("spread", "host_taken", {}, id="every host taken"),
    pytest.param("pinned", "fixed_port", {"port": 31000}, id="fixed port taken"),
    pytest.param("many-ports", "ports", {}, id="ports exhausted"),
    pytest.param("reserved", "other_role", {}, id="the rest reserved for another role"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    with RealCluster(build, tmp_path_factory.mktemp("explain")) as cluster:
        yield cluster.start(agents=AGENTS, agent_flags={"resources": RESOURCES})


@pytest.fixture(scope="module")
def daemon(
    cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    """What can run does, on both agents; then comes what cannot."""
    settings = {
        "master": cluster.master_url,
        "framework": {"name": "explained"},
        "offers": {"revive_interval_min": "200ms"},
        "operator": {"agents_interval": "1s"},
    }
    with DaemonProcess(tmp_path_factory.mktemp("daemon"), settings).start() as daemon:
        daemon.wait_until_connected()
        for job in RUNNING:
            daemon.api.apply(job)
        wait_until(lambda: all(runs(daemon, one["job"], 2) for one in RUNNING), "all to run", 20.0)
        for job in WAITING:
            daemon.api.apply(job)
        daemon.api.scale("pinned", 3)
        daemon.api.scale("spread", 3)
        yield daemon
        print(daemon.log_tail())


def runs(daemon: DaemonProcess, job: str, count: int) -> bool:
    return bool(daemon.api.job(job)["tasks"].get("running", 0) == count)


def explained(daemon: DaemonProcess, job: str, reason: str) -> Document:
    """The explanation, once this is its only reason."""

    def explain() -> Document:
        view: Document = daemon.api.get(f"/v1/jobs/{job}/explain")
        assert [one["reason"] for one in view["reasons"]] == [reason], view
        return view

    return wait_until(explain, f"{job} to wait for {reason}", 15.0)


@pytest.mark.parametrize(("job", "reason", "more"), SITUATIONS)
def test_the_reason_counts_every_agent(
    daemon: DaemonProcess, job: str, reason: str, more: Document
) -> None:
    view = explained(daemon, job, reason)
    [told] = view["reasons"]
    assert (told["agents"], told["alone"]) == (AGENTS, AGENTS), view
    assert {name: told[name] for name in more} == more
    assert (view["waiting"], view["agents"], view["agents_hidden"]) == (1, AGENTS, "")
    assert view["since"] is not None


def test_what_is_in_use_is_told_from_what_is_not_there(daemon: DaemonProcess) -> None:
    """Each agent has 4 cpus, of which filler and the tiny ones use more than 2."""
    [told] = explained(daemon, "no-room", "cpus")["reasons"]
    assert told["of"] in ("offered", "free")
    assert 1.0 < told["short"] < 2.0


def test_a_task_that_fails_backs_off_and_says_why(daemon: DaemonProcess) -> None:
    view = explained(daemon, "failing", "back_off")
    assert (view["waiting"], view["back_off"]["state"]) == (0, "failed")
    assert view["back_off"]["message"] == "Command exited with status 3"
    assert view["back_off"]["until"] > view["history"][0]["at"]


def test_what_another_framework_holds_is_named(daemon: DaemonProcess, cluster: RealCluster) -> None:
    with HandMadeScheduler(cluster.master_url, "holder") as holder:
        assert holder.subscribe() == 200
        held = holder.wait_for_offers()
        while len(held) < AGENTS:
            held += holder.wait_for_offers()
        daemon.api.apply(tiny("later"))
        [told] = explained(daemon, "later", "offered_elsewhere")["reasons"]
        assert told["agents"] == AGENTS
    wait_until(lambda: runs(daemon, "later", 1), "the other's offers to come to us", 20.0)


def test_the_command_line_says_the_same(daemon: DaemonProcess) -> None:
    shown = daemon.command("explain", "wrong-rack")
    assert shown.returncode == 0, shown.stderr
    assert "2 agents: 2 fail `rack is r9`. Fits on 2 agents without `rack is r9`." in shown.stdout
    assert "wrong-rack" in daemon.command("queue").stdout


def test_a_plan_tells_the_room_on_each_agent_and_changes_nothing(daemon: DaemonProcess) -> None:
    jobs = daemon.api.get("/v1/jobs")["items"]
    new = tiny("new", 3, constraints=["hostname unique"])
    grown = tiny("wrong-rack", 2, constraints=["rack is r0"])
    fits, changed = daemon.api.post("/v1/plan", {"jobs": [new, grown]})["jobs"]
    assert (fits["result"], fits["placed"], fits["missing"]) == ("new", 2, 1)
    assert [agent["takes"] for agent in fits["agents"]] == [1] * AGENTS
    assert [one["reason"] for one in fits["reasons"]] == ["host_taken"]
    assert {one["path"] for one in changed["changes"]} == {"instances", "constraints"}
    assert (changed["result"], changed["add"], changed["placed"]) == ("changed", 2, 2)
    assert daemon.api.get("/v1/jobs")["items"] == jobs


def test_without_a_master_that_is_the_reason(daemon: DaemonProcess, cluster: RealCluster) -> None:
    master = cluster.kill_master()
    explained(daemon, "no-mem", "disconnected")
    cluster.restart_master(master)
    explained(daemon, "no-mem", "mem")
