"""A changed template replaces a service's tasks: one at a time, the old one first."""

import pytest

from scheduler.core.events import TaskState
from scheduler.core.model.ids import JobId, TaskId
from scheduler.core.model.instance import EndReason
from scheduler.core.model.job import HealthCheck, Port, TcpProbe
from scheduler.core.policy import Policy
from tests.builders import ROLE, a_batch, a_service, a_template
from tests.core.harness import Harness, running

NEW = a_template(line="exec sleep 2000")


def update_of(harness: Harness, job: str = "web") -> str:
    view = harness.engine.views.job(JobId(job))
    assert view is not None
    return view.update


def halted(harness: Harness, job: str = "web") -> bool:
    view = harness.engine.views.job(JobId(job))
    assert view is not None
    return view.halted


def replace_one(harness: Harness, task: TaskId) -> TaskId:
    """The old task ends as it was told; the new one is placed, and runs."""
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    [new] = harness.place()
    harness.run(new)
    return new


def test_one_after_another_the_old_one_first() -> None:
    harness, old = running(a_service(instances=3, min_healthy_s=10.0))
    harness.apply(a_service(instances=3, min_healthy_s=10.0, template=NEW))
    for index, task in enumerate(old):
        assert harness.kills()[index:] == [task]
        assert harness.place() == []
        new = replace_one(harness, task)
        assert new == f"web.{index}.2.u1"
        assert harness.kills(harness.pass_time(9.0)) == []
        harness.pass_time(1.1)
    assert harness.kills() == old
    harness.pass_time(1000.0)
    assert harness.kills() == old
    assert update_of(harness) == ""


def test_the_reason_is_stored_with_the_wanted_end() -> None:
    harness, [task] = running(a_service())
    harness.apply(a_service(template=NEW))
    attempt = harness.stored_attempt(task)
    assert attempt is not None
    assert attempt.end is not None
    assert attempt.end.reason is EndReason.REPLACED


def test_the_next_one_waits_until_the_new_one_is_healthy() -> None:
    check = HealthCheck(TcpProbe("http"))
    template = a_template(line="one", ports=(Port("http"),), health=check)
    harness, old = running(a_service(instances=2, template=template, min_healthy_s=0.0))
    for task in old:
        harness.status(task, TaskState.RUNNING, uuid=b"h" * 16, healthy=True)
    changed = a_template(line="two", ports=(Port("http"),), health=check)
    harness.apply(a_service(instances=2, template=changed, min_healthy_s=0.0))
    new = replace_one(harness, old[0])
    harness.pass_time(500.0)
    assert harness.kills() == old[:1]
    assert "instance 0 is not healthy yet" in update_of(harness)
    harness.status(new, TaskState.RUNNING, uuid=b"i" * 16, healthy=True)
    harness.pass_time(0.1)
    assert harness.kills() == old


def test_it_halts_when_the_new_one_fails_and_says_why() -> None:
    harness, old = running(a_service(instances=2))
    harness.apply(a_service(instances=2, template=NEW))
    harness.status(old[0], TaskState.KILLED, uuid=b"k" * 16)
    for _ in range(3):
        [task] = harness.place()
        harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
        harness.pass_time(301.0)
    assert harness.kills() == old[:1]
    assert "halted, instance 0 failed" in update_of(harness)
    assert halted(harness)


def test_a_failed_one_is_told_before_those_that_only_take_their_time() -> None:
    harness, old = running(a_service(instances=3))
    harness.apply(a_service(instances=3, template=NEW))
    assert not halted(harness)
    replace_one(harness, old[0])
    harness.pass_time(10.1)
    harness.status(old[1], TaskState.KILLED, uuid=b"k" * 16)
    [second] = harness.place()
    harness.disconnect()
    harness.subscribe()
    harness.status(old[2], TaskState.RUNNING)
    assert "not spoken of instance 0" in update_of(harness)
    assert not halted(harness)
    harness.status(second, TaskState.FAILED, uuid=b"f" * 16)
    assert "halted, instance 1 failed" in update_of(harness)
    assert halted(harness)


def test_it_goes_on_by_itself_when_the_new_one_runs_after_all() -> None:
    harness, old = running(a_service(instances=2))
    harness.apply(a_service(instances=2, template=NEW))
    harness.status(old[0], TaskState.KILLED, uuid=b"k" * 16)
    [task] = harness.place()
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    harness.pass_time(2.0)
    harness.run(*harness.place())
    harness.pass_time(10.1)
    assert harness.kills() == old
    assert not halted(harness)


def test_a_template_that_fixes_a_broken_one_is_launched_at_once() -> None:
    harness, old = running(a_service(instances=1))
    harness.apply(a_service(instances=1, template=NEW))
    harness.status(old[0], TaskState.KILLED, uuid=b"k" * 16)
    [task] = harness.place()
    harness.status(task, TaskState.ERROR)
    harness.apply(a_service(instances=1, template=a_template(line="exec sleep 3")))
    assert harness.place() == ["web.0.3.u1"]


@pytest.mark.parametrize(
    "changed",
    [
        a_service(instances=2, labels={"team": "shop"}),
        a_service(instances=2, priority=90),
        a_service(instances=3),
        a_service(instances=2, min_healthy_s=99.0),
    ],
)
def test_what_is_not_the_template_restarts_nothing(changed: object) -> None:
    harness, _ = running(a_service(instances=2))
    answer = harness.apply(changed)  # type: ignore[arg-type]
    assert answer.version == 2
    harness.pass_time(100.0)
    assert harness.kills() == []


def test_applying_the_same_again_changes_nothing() -> None:
    harness, _ = running(a_service(instances=2))
    assert harness.apply(a_service(instances=2)).verdict == "unchanged"
    assert harness.kills() == []


def test_a_second_change_under_way_replaces_what_the_first_had_made() -> None:
    harness, old = running(a_service(instances=2, min_healthy_s=0.0))
    harness.apply(a_service(instances=2, template=NEW, min_healthy_s=0.0))
    second = replace_one(harness, old[0])
    harness.apply(
        a_service(instances=2, template=a_template(line="exec sleep 3"), min_healthy_s=0.0)
    )
    harness.pass_time(1.0)
    killed = harness.kills()
    assert killed[0] == old[0]
    for task in [second, old[1]]:
        if harness.stored_attempt(task) is not None:
            harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
            harness.run(*harness.place())
            harness.pass_time(1.0)
    assert {launch.template.command for launch in harness.launches()[-2:]} == {
        a_template(line="exec sleep 3").command
    }


def half_way() -> tuple[Harness, TaskId, TaskId]:
    """The next daemon after instance 0 of two was replaced: its new task, and the old one left."""
    harness, old = running(a_service(instances=2))
    harness.apply(a_service(instances=2, template=NEW))
    new = replace_one(harness, old[0])
    other = harness.restart()
    other.subscribe()
    return other, new, old[1]


def test_a_rollout_is_taken_up_by_the_next_daemon_once_the_tasks_are_answered() -> None:
    other, new, old = half_way()
    for task in (new, old):
        other.status(task, TaskState.RUNNING, reason="reconciliation")
    assert other.kills() == []
    other.pass_time(10.1)
    assert other.kills() == [old]


def test_nothing_is_replaced_on_the_word_of_a_former_master() -> None:
    other, _, old = half_way()
    other.status(old, TaskState.RUNNING, reason="reconciliation")
    other.pass_time(30.0)
    assert other.kills() == []
    assert "has not spoken of instance 0" in update_of(other)


def test_an_instance_beside_an_unreachable_old_task_is_replaced_by_its_present_one() -> None:
    policy = Policy(roles=(ROLE,))
    harness, [old] = running(a_service(min_healthy_s=0.0), policy)
    harness.status(old, TaskState.UNREACHABLE)
    harness.pass_time(301.0)
    [second] = harness.place()
    harness.run(second)
    harness.apply(a_service(min_healthy_s=0.0, template=NEW))
    assert harness.kills() == [second]


def test_a_batch_goes_on_with_the_old_template_and_retries_with_the_new_one() -> None:
    harness, [one, two] = running(a_batch(instances=2))
    harness.apply(a_batch(instances=2, template=NEW))
    harness.pass_time(10.0)
    assert harness.kills() == []
    harness.status(one, TaskState.FINISHED, uuid=b"k" * 16)
    harness.status(two, TaskState.FAILED, uuid=b"l" * 16)
    harness.pass_time(10.0)
    assert harness.place() == ["numbers.1.2.u1"]
    assert harness.launches()[-1].template == NEW


def test_a_changed_template_runs_an_ended_batch_again() -> None:
    harness, [task] = running(a_batch())
    harness.status(task, TaskState.FINISHED, uuid=b"k" * 16)
    assert harness.apply(a_batch()).verdict == "unchanged"
    harness.apply(a_batch(template=NEW))
    [again] = harness.place()
    assert again == "numbers.0.2.u1"
    harness.status(again, TaskState.FINISHED, uuid=b"k" * 16)
    assert harness.notices.count("job.ended") == 2
