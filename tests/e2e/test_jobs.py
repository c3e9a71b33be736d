"""Jobs from files to running tasks, and what users do with them; judged by the master's /state."""

from pathlib import Path

from tests.e2e.scene import Scene, batch, service
from tests.support.rest import RefusedRequest
from tests.support.waiting import stays, wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "jobs"


def test_the_daemon_registers_as_a_framework(scene: Scene) -> None:
    _, framework_id = scene.running_daemon()

    def armed() -> bool:
        shown = scene.framework(framework_id).framework
        return bool(shown["active"]) and shown["failover_timeout"] == 604_800.0

    wait_until(armed, "the real failover timeout")


def test_the_example_jobs_run_within_ten_seconds(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    applied = daemon.command("apply", str(EXAMPLES))
    assert applied.returncode == 0, applied.stderr

    def all_there() -> bool:
        now = scene.framework(framework_id)
        now.assert_none_twice()
        assert len(now.running("web")) == 3, now.live("web")
        assert len(now.finished("numbers")) == 20
        (flaky,) = daemon.api.tasks("flaky")
        assert flaky["failures"] >= 1
        return str(flaky["waits_for"]) == "back-off"

    wait_until(all_there, "the example jobs", 10.0)


def test_a_batch_finishes_each_instance_once(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(batch("numbers", 20, "sleep 0.2"))

    def finished() -> bool:
        return len(scene.framework(framework_id).finished("numbers")) == 20

    wait_until(finished, "20 tasks to finish")
    now = scene.framework(framework_id)
    now.assert_none_twice()
    assert len(now.tasks("numbers")) == 20
    wait_until(lambda: daemon.api.job("numbers")["state"] == "ended", "the job to end")
    assert daemon.api.job("numbers")["tasks"] == {"finished": 20}


def test_a_failing_service_is_seen_backing_off(scene: Scene) -> None:
    daemon, _ = scene.running_daemon()
    restart = {"policy": "always", "backoff": {"initial": "500ms", "factor": 2, "max": "1m"}}
    daemon.api.apply(service("flaky", command="exit 1", restart=restart))

    def backs_off() -> bool:
        (task,) = daemon.api.tasks("flaky")
        return (task["state"], task["waits_for"]) == ("queued", "back-off") and task["failures"] > 1

    wait_until(backs_off, "flaky to back off")


def test_scaling_up_and_down_keeps_the_others(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    three = scene.wait_for_running(framework_id, "web", 3)
    assert daemon.command("scale", "web", "5").returncode == 0
    five = scene.wait_for_running(framework_id, "web", 5)
    assert set(three) < set(five)
    assert daemon.command("scale", "web", "2").returncode == 0
    two = scene.wait_for_running(framework_id, "web", 2)
    assert set(two) < set(three)


def test_stop_ends_the_tasks_and_delete_the_job(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    scene.wait_for_running(framework_id, "web", 3)
    assert daemon.command("stop", "web").returncode == 0
    scene.wait_for_running(framework_id, "web", 0)
    wait_until(lambda: daemon.api.job("web")["state"] == "stopped", "the job to be stopped")
    assert daemon.command("delete", "web").returncode == 0

    def deleted() -> bool:
        try:
            daemon.api.job("web")
        except RefusedRequest as refused:
            return refused.status == 404
        return False

    wait_until(deleted, "the job to be gone")


def test_deleting_a_running_job_ends_its_tasks_and_its_name_can_be_used_again(
    scene: Scene,
) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2))
    first = scene.wait_for_running(framework_id, "web", 2)
    daemon.api.delete("/v1/jobs/web")
    scene.wait_for_running(framework_id, "web", 0)
    wait_until(lambda: daemon.api.apply(service("web", 2)), "the name to be free")
    again = scene.wait_for_running(framework_id, "web", 2)
    assert not set(first) & set(again)


def test_a_killed_task_of_a_service_is_replaced(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2))
    killed, other = scene.wait_for_running(framework_id, "web", 2)
    assert daemon.command("kill", killed).returncode == 0

    def replaced() -> bool:
        running = scene.framework(framework_id).running("web")
        return len(running) == 2 and killed not in running and other in running

    wait_until(replaced, "another task in its place")
    scene.framework(framework_id).assert_none_twice()


def test_a_changed_template_replaces_one_instance_at_a_time(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    old = set(scene.wait_for_running(framework_id, "web", 3))
    daemon.api.apply(service("web", 3, command="exec sleep 2000"))

    def replaced() -> bool:
        now = scene.framework(framework_id)
        now.assert_none_twice()
        running = now.running("web")
        # Not a condition to wait for: it must hold at every look.
        if len(running) < 2:
            raise RuntimeError(f"more than one is away: {now.live('web')}")
        return len(running) == 3 and not old & set(running)

    wait_until(replaced, "all to run the new template", 20.0)
    wait_until(lambda: daemon.api.job("web")["update"] == "", "the update to be over")


def test_labels_and_instances_change_without_a_restart(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2))
    before = scene.wait_for_running(framework_id, "web", 2)
    daemon.api.apply(service("web", 3, labels={"team": "shop"}, priority=70))
    after = scene.wait_for_running(framework_id, "web", 3)
    assert set(before) < set(after)
    assert daemon.api.job("web")["labels"] == {"team": "shop"}


def test_an_update_that_fails_to_run_halts_and_leaves_the_others(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    old = set(scene.wait_for_running(framework_id, "web", 3))
    daemon.api.apply(service("web", 3, command="exit 1"))

    def halts() -> bool:
        return "halted" in daemon.api.job("web")["update"]

    def two_are_left() -> bool:
        running = set(scene.framework(framework_id).running("web"))
        return len(running & old) == 2

    wait_until(halts, "the update to halt")
    stays(two_are_left, "two of the old tasks", 2.0)
    daemon.api.apply(service("web", 3, command="exec sleep 3000"))

    def repaired() -> bool:
        running = scene.framework(framework_id).running("web")
        return len(running) == 3 and not old & set(running)

    wait_until(repaired, "the repaired template to run everywhere", 20.0)


def test_two_roles_have_jobs_of_their_own(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon(scene.settings(roles=["prod", "dev"]))
    daemon.api.apply(service("web", 2))
    daemon.api.apply(service("trial", 2, role="dev"))
    scene.wait_for_running(framework_id, "web", 2)
    scene.wait_for_running(framework_id, "trial", 2)
    now = scene.framework(framework_id)
    assert {task["role"] for task in now.live("web")} == {"prod"}
    assert {task["role"] for task in now.live("trial")} == {"dev"}
    assert set(now.framework["roles"]) == {"prod", "dev"}


def test_limits_reach_the_master_as_they_were_declared(scene: Scene) -> None:
    """The real agents here isolate nothing, so they drop the task, and say so."""
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 1, limits={"cpus": 0.5, "mem": "64MiB"}))
    if scene.master.name == "emulated":
        scene.wait_for_running(framework_id, "web", 1)
        return

    def limits() -> object:
        [framework] = scene.frameworks()
        return [task["limits"] for task in framework["completed_tasks"]]

    wait_until(limits, "the master to show the task")
    assert limits() == [{"cpus": 0.5, "mem": 64.0}]
    [waiting] = daemon.api.tasks("web")
    assert "isolator" in waiting["message"]
