"""Ended batches are kept for a while, and only so many."""

from scheduler.core.events import TaskState
from scheduler.core.model.ids import InstanceKey, JobId
from scheduler.core.policy import EndedPolicy, Policy
from scheduler.core.records import FRAMEWORK
from tests.builders import ROLE, a_batch, a_service
from tests.core.harness import Harness, connected, running

DAY_S = 86_400.0


def finish(harness: Harness, job: str, uid: str = "u1") -> None:
    harness.apply(a_batch(job), uid=uid)
    [task] = harness.place()
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)


def jobs(harness: Harness) -> list[str]:
    return [key for key in harness.stored if isinstance(key, str)]


def test_an_ended_batch_is_forgotten_after_its_time() -> None:
    harness = connected()
    finish(harness, "one")
    harness.pass_time(DAY_S - 10)
    assert jobs(harness) == ["one"]
    harness.pass_time(20.0)
    assert list(harness.stored) == [FRAMEWORK]
    assert "job.forgotten" in harness.notices


def test_the_one_that_ended_first_goes_when_there_are_too_many() -> None:
    policy = Policy(roles=(ROLE,), ended=EndedPolicy(keep_max=2))
    harness = connected(policy)
    for name in ("c", "b", "a"):
        finish(harness, name)
        harness.pass_time(10.0)
    assert jobs(harness) == ["b", "a"]


def test_the_next_daemon_keeps_those_that_ended_last() -> None:
    harness = connected()
    for name in ("c", "b", "a"):
        finish(harness, name)
        harness.pass_time(10.0)
    records = dict(sorted(harness.stored.items(), key=str))
    policy = Policy(roles=(ROLE,), ended=EndedPolicy(keep_max=2))
    other = Harness(policy, records=records.values(), wall_offset=harness.wall_offset + 60.0)
    assert sorted(jobs(other)) == ["a", "b"]


def test_the_next_daemon_forgets_in_time_as_well() -> None:
    harness = connected()
    finish(harness, "one")
    harness.pass_time(DAY_S / 2)
    other = harness.restart()
    other.pass_time(DAY_S / 2 - 10.0)
    assert jobs(other) == ["one"]
    other.pass_time(20.0)
    assert jobs(other) == []


def test_a_batch_that_is_run_again_is_not_forgotten_meanwhile() -> None:
    harness = connected()
    finish(harness, "one")
    harness.pass_time(DAY_S - 10.0)
    harness.apply(a_batch("one", instances=2))
    [task] = harness.place()
    assert task == "one.1.1.u1"
    harness.pass_time(DAY_S)
    assert jobs(harness) == ["one"]
    harness.status(task, TaskState.FINISHED, uuid=b"g" * 16)
    harness.pass_time(DAY_S + 1.0)
    assert jobs(harness) == []


def test_a_job_whose_given_up_task_is_back_has_not_ended_and_is_not_forgotten() -> None:
    harness, [task] = running(a_batch(retries=0))
    harness.status(task, TaskState.LOST)
    harness.pass_time(2.0)
    [second] = harness.place()
    harness.status(second, TaskState.FINISHED, uuid=b"f" * 16)
    harness.status(task, TaskState.RUNNING)
    harness.pass_time(DAY_S + 10.0)
    assert jobs(harness) == ["numbers"]
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    harness.pass_time(DAY_S + 10.0)
    assert jobs(harness) == []


def test_services_and_stopped_batches_stay() -> None:
    harness, _ = running(a_service())
    harness.apply(a_batch())
    harness.stop("numbers")
    harness.pass_time(3 * DAY_S)
    assert sorted(jobs(harness)) == ["numbers", "web"]


def test_nothing_of_a_forgotten_job_is_left() -> None:
    harness = connected()
    finish(harness, "one")
    harness.pass_time(DAY_S + 1.0)
    assert not [key for key in harness.stored if isinstance(key, InstanceKey)]
    assert harness.engine.views.job(JobId("one")) is None
    finish(harness, "one", uid="u2")
    assert harness.launched()[-1] == "one.0.1.u2"
