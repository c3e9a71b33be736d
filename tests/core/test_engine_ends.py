"""What the engine does when tasks end by themselves."""

import pytest

from scheduler.core.effects import Accept
from scheduler.core.events import CallEnded, CallOutcome, TaskState
from scheduler.core.model.instance import Outcome
from scheduler.core.model.job import Restart, RestartPolicy
from tests.builders import a_batch, a_service, a_template
from tests.core.harness import Harness, connected, running


def waits_s(harness: Harness, job: str = "web") -> float:
    """Until the instance may be launched again."""
    not_before = harness.instance(job).not_before
    return 0.0 if not_before is None else not_before - harness.now.wall


def end_and_relaunch(harness: Harness, task: str, state: TaskState = TaskState.FAILED) -> str:
    harness.status(task, state, uuid=b"e" * 16)  # type: ignore[arg-type]
    harness.pass_time(301.0)
    [again] = harness.place()
    return again


def test_a_crash_loop_is_slowed_down_to_the_limit() -> None:
    restart = Restart(backoff_initial_s=1.0, backoff_factor=4.0, backoff_s_max=30.0)
    harness, [task] = running(a_service(restart=restart))
    waits: list[float] = []
    for _ in range(5):
        harness.status(task, TaskState.FAILED, uuid=b"e" * 16)
        waits.append(waits_s(harness))
        harness.pass_time(31.0)
        [task] = harness.place()
    assert waits == [1.0, 4.0, 16.0, 30.0, 30.0]
    assert harness.instance("web").failures == 5


def test_nothing_is_launched_before_the_back_off_ends() -> None:
    harness, [task] = running(a_service(restart=Restart(backoff_initial_s=50.0)))
    harness.status(task, TaskState.FAILED, uuid=b"e" * 16)
    harness.pass_time(49.0)
    assert harness.launched(harness.offer()) == []
    harness.pass_time(2.0)
    assert harness.place() == ["web.0.2.u1"]


def test_a_stable_run_begins_the_row_anew() -> None:
    harness, [task] = running(a_service())
    for _ in range(3):
        task = end_and_relaunch(harness, task)  # type: ignore[assignment]
    harness.run(task)
    harness.pass_time(61.0)
    harness.status(task, TaskState.FAILED, uuid=b"e" * 16)
    assert harness.instance("web").failures == 1
    assert waits_s(harness) == 1.0


def test_an_error_is_final_until_the_template_changes() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.ERROR, uuid=b"e" * 16)
    harness.pass_time(1000.0)
    assert harness.place() == []
    assert harness.instance("web").outcome is Outcome.ERROR
    harness.apply(a_service(labels={"team": "shop"}))
    assert harness.place() == []
    harness.apply(a_service(template=a_template(line="exec sleep 9")))
    assert harness.place() == ["web.0.2.u1"]


def test_the_limit_of_attempts_ends_it_and_a_new_template_starts_counting_anew() -> None:
    harness, [task] = running(a_service(restart=Restart(attempts=3)))
    for _ in range(2):
        task = end_and_relaunch(harness, task)  # type: ignore[assignment]
    harness.status(task, TaskState.FAILED, uuid=b"e" * 16)
    harness.pass_time(1000.0)
    assert harness.place() == []
    assert harness.instance("web").outcome is Outcome.FAILED
    changed = a_service(restart=Restart(attempts=3), template=a_template(line="exec true"))
    harness.apply(changed)
    [task] = harness.place()
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    assert (harness.instance("web").outcome, harness.instance("web").failures) == (None, 1)


def test_a_new_template_does_not_wait_for_the_back_off_of_the_old_one() -> None:
    harness, [task] = running(a_service(restart=Restart(backoff_initial_s=300.0)))
    harness.status(task, TaskState.FAILED, uuid=b"e" * 16)
    restart = Restart(backoff_initial_s=300.0)
    harness.apply(a_service(restart=restart, template=a_template(line="exec sleep 9")))
    assert harness.place() == ["web.0.2.u1"]


def test_a_batch_is_tried_as_often_as_its_retries_say() -> None:
    harness = connected()
    harness.apply(a_batch(retries=2))
    for attempt in (1, 2, 3):
        harness.pass_time(10.0)
        [task] = harness.place()
        assert task == f"numbers.0.{attempt}.u1"
        harness.status(task, TaskState.FAILED, uuid=b"e" * 16)
    harness.pass_time(1000.0)
    assert harness.place() == []
    view = harness.engine.views.job(harness.instance("numbers").job)
    assert view is not None
    assert (view.state, view.tasks) == ("ended", {"failed": 1})


def test_a_finished_batch_instance_is_not_run_again() -> None:
    harness, [one, two] = running(a_batch(instances=2))
    harness.status(one, TaskState.FINISHED, uuid=b"e" * 16)
    harness.pass_time(100.0)
    assert harness.place() == []
    harness.status(two, TaskState.FINISHED, uuid=b"f" * 16)
    assert "job.ended" in harness.notices


@pytest.mark.parametrize("state", [TaskState.DROPPED, TaskState.LOST, TaskState.GONE])
def test_ends_that_are_not_the_tasks_fault_are_not_counted(state: TaskState) -> None:
    harness, [task] = running(a_service(restart=Restart(attempts=1)))
    harness.status(task, state, reason="agent_removed")
    assert harness.instance("web").failures == 0
    harness.pass_time(2.0)
    assert harness.place() == ["web.0.2.u1"]


def test_a_kill_by_the_health_check_counts_as_a_failure() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.RUNNING, uuid=b"h" * 16, healthy=False)
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16, healthy=False)
    assert harness.instance("web").failures == 1


def test_a_kill_by_draining_does_not_count() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16, reason="agent_draining")
    assert harness.instance("web").failures == 0


def test_a_service_that_may_end_well_stays_ended_until_its_template_changes() -> None:
    spec = a_service(restart=Restart(RestartPolicy.ON_FAILURE))
    harness, [task] = running(spec)
    harness.status(task, TaskState.FINISHED, uuid=b"e" * 16)
    harness.pass_time(100.0)
    assert harness.place() == []
    changed = a_service(
        restart=Restart(RestartPolicy.ON_FAILURE), template=a_template(line="exec date")
    )
    harness.apply(changed)
    assert harness.place() == ["web.0.2.u1"]


def test_only_the_last_few_ended_attempts_are_kept() -> None:
    harness, [task] = running(a_service())
    for _ in range(6):
        task = end_and_relaunch(harness, task)  # type: ignore[assignment]
    record = harness.instance("web")
    assert [attempt.number for attempt in record.ended] == [6, 5, 4]
    assert record.attempts == 7


def test_a_job_called_marker_is_a_job() -> None:
    harness, [task] = running(a_service("marker"))
    assert harness.state_of(task) == "running"


def test_many_jobs_that_do_not_fit_are_gone_through_once_and_the_offer_is_declined() -> None:
    harness = connected()
    for number in range(300):
        harness.apply(a_service(f"big-{number}", template=a_template(cpus=100_000)))
    harness.apply(a_service("small", labels={"last": "in the queue"}))
    harness.pass_time(1.0)
    calls = harness.offer() + harness.pass_time(0.3)
    assert harness.launched(calls) == ["small.0.1.u1"]
    assert len(harness.calls_of(Accept, calls)) == 1


def test_a_job_in_deletion_whose_launch_was_never_sent_goes_at_once() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.pass_time(1.0)
    [accept] = harness.calls_of(Accept, harness.offer())
    harness.delete("web")
    harness.handle(CallEnded(accept.call_id, CallOutcome.NOT_SENT))
    assert harness.engine.state.jobs == {}
