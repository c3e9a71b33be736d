"""The real cluster is what its fixture says: a master, agents, offers, tasks, and their ends."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real_mesos.cluster import ClusterError, RealCluster
from tests.real_mesos.hand_made_scheduler import HandMadeScheduler
from tests.real_mesos.nodes import FRAMEWORK_CREDENTIAL, Credential
from tests.real_mesos.processes import strays
from tests.support.zookeeper import ensure_zookeeper

pytestmark = pytest.mark.real_mesos

MakeCluster = Callable[[], RealCluster]


def test_every_agent_registers_with_a_hostname_attributes_and_ports_of_its_own(
    real_cluster: MakeCluster,
) -> None:
    cluster = real_cluster().start(agents=3)

    state = cluster.state()
    agents = state["slaves"]
    assert state["version"] == "1.11.0"
    assert state["leader"] == f"master@{cluster.master_url.removeprefix('http://')}"
    assert {agent["hostname"] for agent in agents} == {cluster.agent_hostname(i) for i in range(3)}
    assert {agent["attributes"]["rack"] for agent in agents} == {"r0", "r1", "r2"}
    assert {agent["attributes"]["zone"] for agent in agents} == {"z0", "z1"}
    assert len({agent["resources"]["ports"] for agent in agents}) == 3
    assert cluster.metrics()["master/slaves_active"] == 3


def test_a_subscriber_gets_offers_and_runs_a_task_to_its_end(real_cluster: MakeCluster) -> None:
    cluster = real_cluster().start(agents=1)

    with HandMadeScheduler(cluster.master_url) as scheduler:
        assert scheduler.subscribe() == 200
        (offer,) = scheduler.wait_for_offers()
        scheduler.launch(offer, "good", "echo hello")
        for state in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
            scheduler.wait_for_state("good", state)
        scheduler.launch(scheduler.wait_for_offers()[0], "bad", "exit 3")
        failed = scheduler.wait_for_state("bad", "TASK_FAILED")

    assert offer["hostname"] == cluster.agent_hostname(0)
    assert failed["message"] == "Command exited with status 3"
    (sandbox,) = cluster.sandboxes("good")
    assert (sandbox / "stdout").read_text() == "hello\n"


def test_an_agent_that_is_killed_becomes_unreachable_and_its_task_returns_with_it(
    real_cluster: MakeCluster,
) -> None:
    cluster = real_cluster().start(agents=1)

    with HandMadeScheduler(cluster.master_url) as scheduler:
        scheduler.subscribe()
        scheduler.launch(scheduler.wait_for_offers()[0], "sleeper", "sleep 100")
        scheduler.wait_for_state("sleeper", "TASK_RUNNING")
        cluster.kill_agent(0)
        cluster.wait_until(lambda state: state["unreachable_slaves"] == 1, "the loss", 10.0)
        scheduler.wait_for_state("sleeper", "TASK_UNREACHABLE")
        cluster.restart_agent(0)
        scheduler.wait_for_state("sleeper", "TASK_RUNNING")


def test_a_fresh_agent_has_lost_its_tasks_and_its_id(real_cluster: MakeCluster) -> None:
    cluster = real_cluster().start(agents=1)

    with HandMadeScheduler(cluster.master_url) as scheduler:
        scheduler.subscribe()
        offer = scheduler.wait_for_offers()[0]
        scheduler.launch(offer, "sleeper", "sleep 100")
        scheduler.wait_for_state("sleeper", "TASK_RUNNING")
        cluster.restart_agent(0, fresh=True)

    assert strays(cluster.run_dir) == []
    agent = cluster.agent(0)
    assert agent is not None
    assert agent["id"] != offer["agent_id"]["value"]


def test_a_stopped_agent_leaves_at_once(real_cluster: MakeCluster) -> None:
    cluster = real_cluster().start(agents=2)
    cluster.stop_agent(0)
    assert cluster.agent(0) is None
    assert cluster.state()["unreachable_slaves"] == 0


def test_a_paused_agent_becomes_unreachable_and_comes_back(real_cluster: MakeCluster) -> None:
    cluster = real_cluster().start(agents=1)
    cluster.pause_agent(0)
    cluster.wait_until(lambda state: state["unreachable_slaves"] == 1, "the loss", 10.0)
    cluster.resume_agent(0)
    cluster.wait_until(lambda state: state["activated_slaves"] == 1, "the return", 20.0)


def test_a_master_that_is_killed_comes_back_at_its_address_with_its_agents(
    real_cluster: MakeCluster,
) -> None:
    cluster = real_cluster().start(agents=2)
    url, before = cluster.master_url, cluster.state()

    cluster.kill_master()
    with pytest.raises(OSError, match="refused"):
        cluster.state()
    cluster.restart_master()

    after = cluster.state()
    assert cluster.master_url == url
    assert after["id"] != before["id"]
    assert {agent["id"] for agent in after["slaves"]} == {agent["id"] for agent in before["slaves"]}


def test_a_master_that_authenticates_lets_in_who_knows_the_secret_only(
    real_cluster: MakeCluster,
) -> None:
    cluster = real_cluster().start(agents=1, auth=True, auth_http=True)

    with HandMadeScheduler(cluster.master_url, credential=FRAMEWORK_CREDENTIAL) as known:
        assert known.subscribe() == 200
    with HandMadeScheduler(cluster.master_url, credential=Credential("fw", "wrong")) as wrong:
        assert wrong.subscribe() == 401
    with HandMadeScheduler(cluster.master_url) as anonymous:
        assert anonymous.subscribe() == 401


def test_a_cluster_with_tls_takes_frameworks_that_trust_it_and_runs_their_tasks(
    real_cluster: MakeCluster,
) -> None:
    cluster = real_cluster().start(agents=1, tls=True)

    assert cluster.master_url.startswith("https://")
    with HandMadeScheduler(cluster.master_url, ca_file=cluster.ca_file) as scheduler:
        assert scheduler.subscribe() == 200
        scheduler.launch(scheduler.wait_for_offers()[0], "task", "true")
        scheduler.wait_for_state("task", "TASK_FINISHED")


def test_two_clusters_run_at_once_with_flags_of_their_own(real_cluster: MakeCluster) -> None:
    first = real_cluster().start(agents=1, master_flags={"cluster": "first"}, cpus=2)
    second = real_cluster().start(agents=1, agent_flags={"attributes": "rack:blue"})

    assert first.master_url != second.master_url
    assert first.state()["cluster"] == "first"
    assert first.state()["slaves"][0]["resources"]["cpus"] == 2
    assert second.state()["slaves"][0]["attributes"] == {"rack": "blue"}


def test_a_node_that_ends_by_itself_is_told_with_the_end_of_its_log(
    real_cluster: MakeCluster,
) -> None:
    with pytest.raises(ClusterError, match=r"agent-0 ended by itself(.|\n)*no_such_isolator"):
        real_cluster().start(agents=1, agent_flags={"isolation": "no_such_isolator"})


def test_stop_leaves_no_process_and_no_port_behind(mesos_build: Path, tmp_path: Path) -> None:
    with RealCluster(mesos_build, tmp_path) as cluster:
        cluster.start(agents=1)
        address = cluster.master_url.removeprefix("http://").split(":")
        with HandMadeScheduler(cluster.master_url) as scheduler:
            scheduler.subscribe()
            scheduler.launch(scheduler.wait_for_offers()[0], "sleeper", "sleep 100")
            scheduler.wait_for_state("sleeper", "TASK_RUNNING")
        assert strays(tmp_path) != []

    assert strays(tmp_path) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address[0], int(address[1])), 1.0)


@pytest.fixture
def zookeeper() -> None:
    """Skips a test where there is no ZooKeeper."""
    if missing := ensure_zookeeper():
        pytest.skip(f"no ZooKeeper: {missing}")


def test_another_master_is_elected_when_the_leader_is_killed(
    zookeeper: None, real_cluster: MakeCluster
) -> None:
    cluster = real_cluster().start(agents=1, masters=2, zk=True)

    killed = cluster.kill_master()
    started = time.monotonic()
    cluster.wait_until(lambda state: state["activated_slaves"] == 1, "the other master", 30.0)

    assert cluster.leader() != killed
    assert time.monotonic() - started < 30.0
