"""Tasks that the master cannot reach, does not know, or has given up; and what comes back."""

import msgspec
import pytest

from scheduler.core.effects import Reconcile
from scheduler.core.events import TaskState
from scheduler.core.model.ids import TaskId
from scheduler.core.model.instance import EndReason
from scheduler.core.model.job import JobSpec, OnReturn, Unreachable
from tests.builders import a_batch, a_service, a_template
from tests.core.harness import Harness, running


def a_patient(on_return: OnReturn = OnReturn.KEEP_NEW, after_s: float | None = 300.0) -> JobSpec:
    return a_service(unreachable=Unreachable(after_s, on_return))


def replaced(spec: JobSpec) -> tuple[Harness, TaskId, TaskId]:
    """The old task is unreachable for long, a new one runs on another agent."""
    harness, [old] = running(spec)
    harness.status(old, TaskState.UNREACHABLE, reason="agent_removed")
    harness.pass_time(301.0)
    [new] = harness.place(agent="a2")
    harness.run(new, agent="S-a2")
    return harness, old, new


def reasons(harness: Harness) -> dict[str, str]:
    record = harness.instance("web")
    return {a.task_id: a.end.reason for a in (*record.live, *record.ended) if a.end is not None}


def test_an_unreachable_task_is_replaced_after_the_time_given() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.UNREACHABLE, reason="agent_removed")
    harness.pass_time(298.0)
    assert harness.launched(harness.offer()) == []
    harness.pass_time(3.0)
    assert harness.place(agent="a2") == ["web.0.2.u1"]
    assert [a.task_id for a in harness.instance("web").live] == [task, "web.0.2.u1"]


def test_it_is_never_replaced_where_the_job_says_so() -> None:
    harness, [task] = running(a_patient(after_s=None))
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(1_000_000.0)
    assert harness.place() == []


def test_a_job_that_changes_its_mind_is_obeyed() -> None:
    harness, [task] = running(a_patient(after_s=None))
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(500.0)
    harness.apply(a_patient(after_s=600.0))
    assert harness.place() == []
    harness.pass_time(100.0)
    assert harness.place() == ["web.0.2.u1"]


def test_one_that_returns_in_time_just_goes_on() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(200.0)
    harness.status(task, TaskState.RUNNING, reason="agent_reregistered")
    harness.pass_time(1000.0)
    assert harness.place() == []
    assert harness.kills() == []


def test_one_that_returns_while_its_replacement_waits_takes_its_seat_again() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(400.0)
    harness.status(task, TaskState.RUNNING, reason="agent_reregistered")
    assert harness.place() == []


@pytest.mark.parametrize("on_return", list(OnReturn))
def test_of_two_one_is_kept_as_the_job_says(on_return: OnReturn) -> None:
    harness, old, new = replaced(a_patient(on_return))
    harness.status(old, TaskState.RUNNING, reason="agent_reregistered")
    ended = old if on_return is OnReturn.KEEP_NEW else new
    assert harness.kills() == [ended]
    assert reasons(harness) == {ended: EndReason.SUPERSEDED}
    harness.status(ended, TaskState.KILLED, uuid=b"k" * 16)
    harness.pass_time(10.0)
    assert harness.place() == []


@pytest.mark.parametrize("on_return", list(OnReturn))
def test_the_oldest_or_newest_is_meant_whichever_returns_last(on_return: OnReturn) -> None:
    harness, first, second = replaced(a_patient(on_return))
    harness.status(second, TaskState.UNREACHABLE)
    harness.status(first, TaskState.RUNNING, reason="agent_reregistered")
    assert harness.kills() == []
    harness.status(second, TaskState.RUNNING, reason="agent_reregistered")
    assert harness.kills() == [second if on_return is OnReturn.KEEP_OLD else first]


def test_the_old_one_is_not_kept_if_it_was_made_from_an_older_template() -> None:
    keep_old = Unreachable(300.0, OnReturn.KEEP_OLD)
    harness, [old] = running(a_service(unreachable=keep_old))
    harness.status(old, TaskState.UNREACHABLE)
    harness.pass_time(301.0)
    harness.apply(a_service(unreachable=keep_old, template=a_template(line="exec sleep 2")))
    [new] = harness.place(agent="a2")
    harness.run(new, agent="S-a2")
    harness.status(old, TaskState.RUNNING)
    assert harness.kills() == [old]


def test_of_two_attempts_of_a_batch_the_first_that_finishes_wins() -> None:
    harness, [old] = running(a_batch())
    harness.status(old, TaskState.UNREACHABLE)
    harness.pass_time(301.0)
    [new] = harness.place(agent="a2")
    harness.run(new, agent="S-a2")
    harness.status(old, TaskState.RUNNING)
    assert harness.kills() == []
    harness.status(old, TaskState.FINISHED, uuid=b"f" * 16)
    assert harness.kills() == [new]
    harness.status(new, TaskState.KILLED, uuid=b"k" * 16)
    harness.pass_time(10.0)
    assert harness.place() == []


def test_a_batch_attempt_that_returns_after_another_has_finished_is_ended() -> None:
    harness, [old] = running(a_batch())
    harness.status(old, TaskState.UNREACHABLE)
    harness.pass_time(301.0)
    [new] = harness.place(agent="a2")
    harness.status(new, TaskState.FINISHED, uuid=b"f" * 16)
    assert harness.kills() == []
    assert harness.kills(harness.status(old, TaskState.RUNNING)) == [old]


def test_a_task_unknown_to_the_master_is_gone_after_the_time_given() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.UNKNOWN, reason="reconciliation")
    harness.pass_time(298.0)
    assert harness.state_of(task) == "unknown"
    harness.pass_time(3.0)
    assert harness.state_of(task) == "gone"
    assert harness.place() == ["web.0.2.u1"]
    assert harness.instance("web").failures == 0


def test_unknown_counts_from_when_it_was_first_away() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(1000.0)
    harness.status(task, TaskState.UNKNOWN, reason="reconciliation")
    harness.pass_time(0.1)
    assert harness.state_of(task) == "gone"


@pytest.mark.parametrize("state", [TaskState.GONE, TaskState.GONE_BY_OPERATOR])
def test_a_task_that_is_gone_is_replaced_at_once(state: TaskState) -> None:
    harness, [task] = running(a_patient())
    harness.status(task, state)
    harness.pass_time(1.1)
    assert harness.place() == ["web.0.2.u1"]


@pytest.mark.parametrize("given_up", [TaskState.LOST, TaskState.GONE, TaskState.DROPPED])
def test_a_task_given_up_that_comes_back_is_one_of_two(given_up: TaskState) -> None:
    harness, [old] = running(a_patient())
    harness.status(old, given_up)
    harness.pass_time(2.0)
    [new] = harness.place(agent="a2")
    harness.run(new, agent="S-a2")
    harness.status(old, TaskState.RUNNING, reason="agent_reregistered")
    assert harness.kills() == [old]


def test_a_task_given_up_that_comes_back_before_it_was_replaced_is_kept() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.LOST, reason="agent_removed")
    harness.status(task, TaskState.RUNNING, reason="agent_reregistered")
    harness.pass_time(5.0)
    assert harness.place() == []
    assert harness.state_of(task) == "running"


def test_a_batch_given_up_for_good_takes_a_late_success() -> None:
    harness, [old] = running(a_batch(retries=0, unreachable=Unreachable(0.0)))
    harness.status(old, TaskState.UNREACHABLE)
    [new] = harness.place(agent="a2")
    harness.status(new, TaskState.FAILED, uuid=b"f" * 16)
    assert harness.instance("numbers").outcome == "failed"
    harness.status(old, TaskState.RUNNING)
    harness.status(old, TaskState.FINISHED, uuid=b"g" * 16)
    assert harness.instance("numbers").outcome == "finished"


def test_a_launch_that_was_away_and_returns_unstarted_is_watched_again() -> None:
    harness, [task] = running(a_patient())
    harness.kill(task)
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    [again] = harness.place()
    harness.status(again, TaskState.UNREACHABLE)
    harness.status(again, TaskState.STAGING, reason="agent_reregistered")
    asked = harness.calls_of(Reconcile, harness.pass_time(302.0))
    assert ((again, "S-a1"),) in [call.tasks for call in asked]


def test_a_deleted_job_waits_for_its_unreachable_task() -> None:
    harness, [task] = running(a_patient())
    harness.status(task, TaskState.UNREACHABLE)
    harness.delete("web")
    harness.pass_time(10_000.0)
    assert harness.kills() == []
    assert harness.kills(harness.status(task, TaskState.RUNNING)) == [task]
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.engine.state.jobs == {}


# --- the end of a job one of whose tasks the master does not know ---------------------------------


def a_stubborn() -> JobSpec:
    """It never replaces a task that is away."""
    return a_patient(after_s=None)


def test_a_job_is_deleted_although_the_master_does_not_know_its_task() -> None:
    harness, [task] = running(a_stubborn())
    harness.status(task, TaskState.UNKNOWN)
    harness.pass_time(100_000.0)
    assert harness.place() == []
    harness.delete("web")
    harness.settle()
    assert harness.engine.state.jobs == {}


def test_a_task_of_a_job_in_deletion_ends_when_the_master_says_that_it_does_not_know_it() -> None:
    harness, [task] = running(a_stubborn())
    harness.status(task, TaskState.UNREACHABLE)
    harness.delete("web")
    harness.pass_time(100_000.0)
    # It may run on: nothing is given up by itself.
    assert [attempt.task_id for attempt in harness.instance("web").live] == [task]
    harness.status(task, TaskState.UNKNOWN)
    assert harness.engine.state.jobs == {}


def test_what_another_master_did_not_know_is_not_given_up() -> None:
    harness, [task] = running(a_stubborn())
    harness.status(task, TaskState.UNKNOWN)
    harness.disconnect()
    harness.subscribe()
    harness.stop("web")
    assert harness.state_of(task) == "unknown"
    harness.status(task, TaskState.UNKNOWN)
    assert harness.state_of(task) == "gone"


def test_a_task_of_a_stopped_job_that_comes_back_after_all_is_killed() -> None:
    harness, [task] = running(a_stubborn())
    harness.status(task, TaskState.UNKNOWN)
    harness.stop("web")
    assert harness.state_of(task) == "gone"
    assert harness.kills(harness.status(task, TaskState.RUNNING)) == [task]
    assert harness.state_of(task) == "running"


def test_fewer_instances_do_not_wait_for_unknown_ones() -> None:
    spec = msgspec.structs.replace(a_stubborn(), instances=2)
    harness, [_, second] = running(spec)
    harness.status(second, TaskState.UNKNOWN)
    harness.scale("web", 1)
    assert harness.state_of(second) == "gone"
