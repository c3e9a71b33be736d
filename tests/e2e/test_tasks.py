"""What a job says of its tasks holds for them: checks, limits, retries, environment, output."""

from pathlib import Path

from tests.e2e.scene import Document, Scene, batch, service
from tests.support.waiting import wait_until

HEALTH = {"interval": "100ms", "timeout": "1s", "grace": "0s", "failures": 2}


def test_a_task_that_fails_its_health_check_is_replaced(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    checks = {"health": {"command": "test ! -e sick", **HEALTH}}
    restart = {"policy": "always", "backoff": {"initial": "100ms", "factor": 2, "max": "1s"}}
    command = "sleep 1; touch sick; exec sleep 1000"
    daemon.api.apply(service("web", 1, command=command, checks=checks, restart=restart))

    def was_healthy() -> bool:
        (task,) = daemon.api.tasks("web")
        return task["attempt"] == 1 and task["healthy"] is True

    def next_attempt_runs() -> bool:
        (task,) = daemon.api.tasks("web")
        return task["attempt"] > 1 and str(task["state"]) == "running"

    wait_until(was_healthy, "the task to be healthy")
    wait_until(next_attempt_runs, "another attempt", 20.0)
    scene.framework(framework_id).assert_none_twice()
    ended = [task for task in daemon.api.tasks("web", ended=True) if task["attempt"] == 1]
    assert [(task["state"], task["healthy"]) for task in ended] == [("killed", False)]


def test_a_batch_is_retried_until_it_finishes_or_its_retries_are_over(
    scene: Scene, tmp_path: Path
) -> None:
    daemon, _ = scene.running_daemon()
    marker = tmp_path / "marker"
    backoff = {"backoff": {"initial": "100ms", "factor": 1, "max": "1s"}}
    second = f"test -e {marker} || {{ touch {marker}; exit 7; }}"
    daemon.api.apply(batch("second", 1, second, retries=1, restart=backoff))
    daemon.api.apply(batch("never", 1, "exit 7", retries=1, restart=backoff))
    daemon.api.apply(batch("slow", 1, "sleep 1000", retries=0, max_runtime="500ms"))

    def ended() -> bool:
        jobs = [daemon.api.job(name) for name in ("second", "never", "slow")]
        return {str(job["state"]) for job in jobs} == {"ended"}

    wait_until(ended, "all batches to end", 20.0)
    assert daemon.api.job("second")["tasks"] == {"finished": 1}
    assert daemon.api.job("never")["tasks"] == {"failed": 1}
    assert daemon.api.job("slow")["tasks"] == {"failed": 1}
    assert _attempts(daemon.api.tasks("second", ended=True)) == {1: "failed", 2: "finished"}
    assert _attempts(daemon.api.tasks("never", ended=True)) == {1: "failed", 2: "failed"}


def test_a_task_finds_its_environment_ports_and_artifacts_and_its_output_is_read(
    scene: Scene, tmp_path: Path
) -> None:
    daemon, _ = scene.running_daemon()
    artifact = tmp_path / "words.txt"
    artifact.write_text("brought along\n")
    command = 'echo "$GREETING $INSTANCE of $OFFERD_JOB at $PORT_HTTP"; cat words.txt; echo no >&2'
    daemon.api.apply(
        batch(
            "speaker",
            1,
            command,
            env={"GREETING": "hello"},
            ports=[{"name": "http"}],
            artifacts=[f"file://{artifact}"],
        )
    )
    wait_until(lambda: daemon.api.job("speaker")["state"] == "ended", "the batch to end")
    (task,) = daemon.api.tasks("speaker", ended=True)
    assert task["state"] == "finished", task
    output = daemon.command("logs", task["id"])
    assert output.returncode == 0, output.stderr
    port = task["ports"][0]
    assert output.stdout == f"hello 0 of speaker at {port}\nbrought along\n"
    # What fetched the artifact may have written there before.
    assert daemon.command("logs", "--stderr", task["id"]).stdout.endswith("no\n")


def test_every_reading_command_shows_what_there_is(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 1))
    (task,) = scene.wait_for_running(framework_id, "web", 1)
    wait_until(lambda: daemon.api.job("web")["tasks"] == {"running": 1}, "our view to agree")
    agents = [agent["id"] for agent in scene.master.state()["slaves"]]
    wait_until(lambda: len(daemon.api.get("/v1/agents")["items"]) == len(agents), "all agents")
    for arguments, words in (
        (("status",), [framework_id]),
        (("jobs",), ["web"]),
        (("job", "web"), ["web", "running"]),
        (("tasks",), [task, "running"]),
        (("task", task), [task, "running"]),
        (("agents",), agents),
    ):
        shown = daemon.command(*arguments)
        assert shown.returncode == 0, shown.stderr
        assert [word for word in words if word not in shown.stdout] == [], shown.stdout


def _attempts(tasks: list[Document]) -> dict[int, str]:
    return {task["attempt"]: task["state"] for task in tasks}
