"""The daemon goes and comes back: nothing is lost, nothing runs twice."""

import time

from tests.e2e.scene import Scene, batch, service
from tests.support.waiting import stays, wait_until


def test_a_killed_daemon_comes_back_to_the_same_tasks(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    daemon.api.apply(batch("numbers", 5, "sleep 0.2"))
    before = scene.wait_for_running(framework_id, "web", 3)
    wait_until(
        lambda: len(scene.framework(framework_id).finished("numbers")) == 5, "the batch to finish"
    )
    daemon.kill9()
    daemon.start()
    assert daemon.wait_until_connected() == framework_id
    wait_until(lambda: not daemon.api.status()["reconciling"], "the reconciliation to end")
    stays(lambda: scene.framework(framework_id).running("web") == before, "the same tasks", 1.0)
    now = scene.framework(framework_id)
    now.assert_none_twice()
    assert len(now.tasks("numbers")) == 5
    assert [task["id"] for task in daemon.api.tasks("web")] == before


def test_a_daemon_killed_amid_launches_doubles_nothing(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 20))
    for pause_s in (0.0, 0.1, 0.3):
        time.sleep(pause_s)  # how long a daemon lives is what this test varies
        daemon.kill9()
        daemon.start()
    assert daemon.wait_until_connected() == framework_id
    scene.wait_for_running(framework_id, "web", 20, 20.0)


def test_sigterm_leaves_the_tasks_running(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2))
    before = scene.wait_for_running(framework_id, "web", 2)
    began = time.monotonic()
    assert daemon.sigterm() == 0
    assert time.monotonic() - began < 10.0
    wait_until(
        lambda: not scene.framework(framework_id).framework["active"], "the framework to be away"
    )
    assert scene.framework(framework_id).running("web") == before
    daemon.start()
    assert daemon.wait_until_connected() == framework_id
    assert scene.wait_for_running(framework_id, "web", 2) == before


def test_what_ended_while_the_daemon_was_away_is_seen_and_replaced(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2, command="exec sleep 3"))
    daemon.api.apply(batch("work", 1, "sleep 3"))
    before = scene.wait_for_running(framework_id, "web", 2)
    daemon.kill9()

    def all_ended() -> bool:
        return not scene.framework(framework_id).live()

    wait_until(all_ended, "all tasks to end")
    daemon.start()
    after = scene.wait_for_running(framework_id, "web", 2)
    assert not set(before) & set(after)
    wait_until(lambda: daemon.api.job("work")["tasks"] == {"finished": 1}, "the batch's end")
    assert len(scene.framework(framework_id).tasks("work")) == 1


def test_a_second_daemon_on_the_same_store_ends_with_a_code_of_its_own(scene: Scene) -> None:
    first, framework_id = scene.running_daemon()
    second = scene.daemon()
    second.configure({**scene.settings(), "store": f"sqlite:{first.store}"})
    second.spawn()
    assert second.wait_for_end() == 22
    assert str(first.store) in second.said()
    assert str(first.pid) in second.said()
    assert first.alive()
    assert first.api.status()["framework_id"] == framework_id
