"""The daemon goes and comes back: nothing is lost, nothing runs twice."""

import contextlib
import sqlite3
import time

import pytest

from tests.e2e.scene import Scene, batch, service
from tests.support.proxy import CallProxy, Cut, Hold, Pass, SentCall, Stall, Swallow, Verdict
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
    # An agent whose last update was not acknowledged tells of the end when it tries again.
    wait_until(lambda: not scene.framework(framework_id).live(), "all tasks to end", 20.0)
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


@pytest.mark.parametrize("way", ["lost", "late", "arrived"])
def test_a_daemon_killed_while_its_accept_is_on_the_way_doubles_nothing(
    scene: Scene, way: str
) -> None:
    with CallProxy(scene.master.url) as proxy:
        daemon, framework_id = scene.running_daemon(scene.settings(master_url=proxy.url))

        def hurt(sent: SentCall) -> Verdict:
            if sent.kind != "ACCEPT" or proxy.held.is_set():
                return Pass()
            half = len(sent.request) // 2
            ways: dict[str, Verdict] = {"lost": Cut(half), "late": Stall(half)}
            return ways.get(way, Swallow())

        proxy.on_call = hurt
        daemon.api.apply(service("web", 2))
        assert proxy.held.wait(10.0), "no ACCEPT came"
        daemon.kill9()
        daemon.start()
        assert daemon.wait_until_connected() == framework_id
        running = scene.wait_for_running(framework_id, "web", 2)
        first_attempts = [task for task in running if task.split(".")[2] == "1"]
        # What never arrived is replaced; what did is kept. Of two agents' offers one may be whole.
        assert way != "arrived" or first_attempts == running
        wait_until(lambda: daemon.api.job("web")["tasks"] == {"running": 2}, "our view to agree")
        assert daemon.api.status()["unknown_tasks"] == 0


def test_a_first_subscribe_that_was_cut_off_takes_nothing_of_the_cluster(scene: Scene) -> None:
    """Mostly it is forgotten at once. But where the connection ends while a real master looks at
    SUBSCRIBE, it is now and then never told so, and the framework stays listed (1 of 5 in one run,
    for the 100 s that were looked at). Its roles are all suppressed, so that it is offered
    nothing."""
    with CallProxy(scene.master.url) as proxy:

        def cut_the_first(sent: SentCall) -> Verdict:
            first = sent.kind == "SUBSCRIBE" and not proxy.held.is_set()
            return Cut(len(sent.request)) if first else Pass()

        proxy.on_call = cut_the_first
        daemon, framework_id = scene.running_daemon(scene.settings(master_url=proxy.url))
        daemon.api.apply(service("web", 1))
        scene.wait_for_running(framework_id, "web", 1)

    left = [one for one in scene.frameworks() if one["id"] != framework_id]
    assert len(left) <= 1
    for one in left:
        assert not one["offers"]
        assert not one["tasks"]
        assert one["failover_timeout"] == 0


def test_a_daemon_killed_before_its_framework_was_whole_starts_over(scene: Scene) -> None:
    """The id is stored, the master does not know our real failover timeout yet: it removes us."""
    with CallProxy(scene.master.url) as proxy:
        proxy.on_call = lambda sent: Hold() if sent.kind == "UPDATE_FRAMEWORK" else Pass()
        daemon = scene.daemon(scene.settings(master_url=proxy.url)).start()
        assert proxy.held.wait(10.0), "no UPDATE_FRAMEWORK came"
        daemon.api.apply(service("web", 2))
        daemon.kill9()
        wait_until(lambda: not scene.registered(), "the master to remove the framework")
        proxy.on_call = lambda _: Pass()
        daemon.start()
        framework_id = daemon.wait_until_connected(20.0)
        scene.wait_for_running(framework_id, "web", 2)
        assert scene.registered() == [framework_id]


def test_tasks_in_no_record_of_ours_are_kept_and_shown_until_somebody_ends_them(
    scene: Scene,
) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2))
    before = scene.wait_for_running(framework_id, "web", 2)
    daemon.kill9()
    with contextlib.closing(sqlite3.connect(daemon.store)) as store, store:
        store.execute("DELETE FROM records WHERE path != 'framework'")
    daemon.start()

    def shown() -> bool:
        items = daemon.api.get("/v1/unknown_tasks")["items"]
        return sorted(str(task["id"]) for task in items) == before

    wait_until(shown, "the unknown tasks to be shown")
    stays(lambda: scene.framework(framework_id).running("web") == before, "keeping them", 1.0)
    daemon.api.post(f"/v1/tasks/{before[0]}/kill")
    scene.wait_for_running(framework_id, "web", 1)


def test_a_changed_user_or_checkpoint_does_not_keep_our_wishes_from_the_master(
    scene: Scene,
) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.sigterm()
    settings = scene.settings(user="nobody", checkpoint=False)
    settings["offers"]["narrow_after"] = "200ms"
    daemon.configure(settings)
    daemon.start()
    assert daemon.wait_until_connected() == framework_id
    daemon.api.apply(service("web", 1, constraints=["rack is nowhere"]))
    wait_until(lambda: daemon.api.status()["offers"][0]["constraints"], "the master to be told")
    stays(lambda: daemon.api.status()["needs_refused"] == "", "the master to agree", 1.0)
