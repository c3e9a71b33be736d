"""What happens on the master's side: failover, lost agents, operators, other frameworks."""

import pytest

from tests.e2e.conftest import Needs
from tests.e2e.scene import Scene, service
from tests.support.cluster_state import Document
from tests.support.waiting import wait_until

UNREACHABLE_DEADLINE_S = 20.0


def test_a_master_that_died_and_came_back_finds_us_with_the_same_tasks(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    before = scene.wait_for_running(framework_id, "web", 3)
    since = daemon.api.status()["connected_since"]
    scene.master.fail_over()

    def subscribed_anew() -> bool:
        status = daemon.api.status()
        return bool(status["connected"] and status["connected_since"] > since)

    wait_until(subscribed_anew, "the daemon to subscribe to the new master", 30.0)
    assert daemon.api.status()["framework_id"] == framework_id
    assert scene.wait_for_running(framework_id, "web", 3, 30.0) == before
    daemon.api.scale("web", 4)
    after = scene.wait_for_running(framework_id, "web", 4, 30.0)
    assert set(before) < set(after)


def test_tasks_of_a_lost_agent_are_unreachable_until_it_returns(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3, constraints=["hostname unique"]))
    before = scene.wait_for_running(framework_id, "web", 3)
    lost = before[0]
    agent = _lose_agent_of(scene, framework_id, lost)
    try:
        wait_until(
            lambda: _states(daemon.api.tasks("web"))[lost] == "unreachable",
            "the task to be unreachable",
            UNREACHABLE_DEADLINE_S,
        )
        assert daemon.api.job("web")["tasks"] == {"running": 2, "unreachable": 1}
    finally:
        scene.master.return_agent(agent)
    assert scene.wait_for_running(framework_id, "web", 3, 20.0) == before
    wait_until(lambda: daemon.api.job("web")["tasks"] == {"running": 3}, "all to run again")


@pytest.mark.parametrize("kept", ["keep_new", "keep_old"])
def test_a_task_that_stays_unreachable_is_replaced_and_one_of_two_is_killed_on_return(
    scene: Scene, kept: str
) -> None:
    if kept == "keep_old" and scene.master.name == "real":
        pytest.skip("which one is kept is our own decision: one of them is enough here")
    daemon, framework_id = scene.running_daemon()
    unreachable = {"replace_after": "1s", "on_return": kept}
    daemon.api.apply(service("web", 2, unreachable=unreachable))
    before = scene.wait_for_running(framework_id, "web", 2)
    lost = before[0]
    agent = _lose_agent_of(scene, framework_id, lost)
    on_that_agent = [task for task in before if _agent_of(scene, framework_id, task) == agent]
    try:

        def replaced_elsewhere() -> set[str]:
            running = set(scene.framework(framework_id).running("web"))
            assert len(running) == 2
            assert not running & set(on_that_agent)
            return running - set(before)

        replaced = wait_until(
            replaced_elsewhere, "replacements to run elsewhere", UNREACHABLE_DEADLINE_S + 10.0
        )
        assert len(replaced) == len(on_that_agent)
    finally:
        scene.master.return_agent(agent)
    after = set(scene.wait_for_running(framework_id, "web", 2, 20.0))
    if kept == "keep_new":
        assert lost not in after
        assert replaced < after or replaced == after
    else:
        assert lost in after
        assert not replaced & after
    wait_until(lambda: daemon.api.job("web")["tasks"] == {"running": 2}, "our view to agree")


def test_tasks_of_an_agent_that_lost_its_disk_are_replaced(scene: Scene, needs: Needs) -> None:
    needs("new agents")
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3, constraints=["hostname unique"]))
    before = scene.wait_for_running(framework_id, "web", 3)
    scene.master.replace_agent(_agent_of(scene, framework_id, before[0]))

    def replaced() -> bool:
        now = scene.framework(framework_id)
        now.assert_none_twice()
        running = now.running("web")
        return len(running) == 3 and before[0] not in running

    wait_until(replaced, "a task in place of the one that is gone", 20.0)
    assert set(before[1:]) < set(scene.framework(framework_id).running("web"))


def test_wrong_credentials_end_the_daemon_with_a_code_of_its_own(scene: Scene) -> None:
    daemon = scene.daemon(scene.settings(secret="guessed"))
    daemon.spawn()
    assert daemon.wait_for_end(20.0) == 11
    assert "framework.secret_file" in daemon.said()
    assert "guessed" not in daemon.said() + daemon.log_tail()


def test_a_framework_that_was_torn_down_ends_and_says_what_to_do(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 1))
    scene.wait_for_running(framework_id, "web", 1)
    scene.master.tear_down(framework_id)
    assert daemon.wait_for_end(20.0) == 12
    assert "framework.new_id_when_removed" in daemon.said()


def test_a_framework_that_was_torn_down_goes_on_with_a_new_id_when_it_may(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon(scene.settings(new_id_when_removed=True))
    daemon.api.apply(service("web", 2))
    before = scene.wait_for_running(framework_id, "web", 2)
    scene.master.tear_down(framework_id)

    def registered_anew() -> str:
        status = daemon.api.status()
        assert status["connected"]
        assert status["framework_id"] not in ("", framework_id)
        return str(status["framework_id"])

    other_id = wait_until(registered_anew, "a new framework id", 20.0)
    after = scene.wait_for_running(other_id, "web", 2, 20.0)
    assert not set(before) & set(after)


def _agent_of(scene: Scene, framework_id: str, task_id: str) -> int:
    (task,) = [t for t in scene.framework(framework_id).tasks() if t["id"] == task_id]
    return scene.master.index_of(task["slave_id"])


def _lose_agent_of(scene: Scene, framework_id: str, task_id: str) -> int:
    agent = _agent_of(scene, framework_id, task_id)
    scene.master.lose_agent(agent)
    return agent


def _states(tasks: list[Document]) -> dict[str, str]:
    return {task["id"]: task["state"] for task in tasks}
