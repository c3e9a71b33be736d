"""Where tasks go on agents with racks, across a killed daemon; judged by the master's /state."""

from collections import Counter

from tests.e2e.scene import Scene, service
from tests.support.daemon import DaemonProcess
from tests.support.masters import AGENTS
from tests.support.waiting import wait_until


def on_agents(daemon: DaemonProcess, job: str) -> Counter[str]:
    """How many tasks each agent has; each has a rack of its own."""
    return Counter(task["agent_id"] for task in daemon.api.tasks(job))


def test_racks_are_kept_level_by_the_next_leader_too(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    level = {"constraints": [f"rack group_by {AGENTS}"], "placement": "bin_pack"}
    daemon.api.apply(service("level", 2 * AGENTS, **level))
    scene.wait_for_running(framework_id, "level", 2 * AGENTS)
    assert set(on_agents(daemon, "level").values()) == {2}

    daemon.kill9()
    daemon.start()
    daemon.wait_until_connected()
    daemon.api.scale("level", 3 * AGENTS)

    scene.wait_for_running(framework_id, "level", 3 * AGENTS)
    assert set(on_agents(daemon, "level").values()) == {3}


def test_targets_share_out_what_runs(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    spread = {"spread": [{"attribute": "rack", "targets": {"r0": 75, "r1": 25}}]}
    daemon.api.apply(service("shared", 4, **spread))

    scene.wait_for_running(framework_id, "shared", 4)

    assert sorted(on_agents(daemon, "shared").values()) == [1, 3]


def test_jobs_keep_off_each_other_and_say_so(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("db", AGENTS - 1, constraints=["rack unique"]))
    scene.wait_for_running(framework_id, "db", AGENTS - 1)

    daemon.api.apply(service("web", 2, constraints=["@job unlike db"]))
    scene.wait_for_running(framework_id, "web", 2)
    assert not on_agents(daemon, "web").keys() & on_agents(daemon, "db").keys()

    daemon.api.scale("db", AGENTS)
    wait_until(
        lambda: "not (@job in [web])" in daemon.command("explain", "db").stdout,
        "db to wait because web keeps off it",
        20.0,
    )
