"""Another daemon over what was stored: nothing is done on the mere absence of an answer."""

import msgspec
import pytest

from scheduler.core.effects import Accept, Decline, Reconcile
from scheduler.core.engine import Engine
from scheduler.core.events import Disconnected, Now, OffersMade, Subscribed, TaskState
from scheduler.core.model.ids import FrameworkId, JobId, MasterId, TaskId
from scheduler.core.model.instance import Instance
from scheduler.core.model.job import Restart, Unreachable
from scheduler.core.policy import Budget, Policy
from scheduler.core.reconcile import MARKER_AGENT
from scheduler.core.records import FRAMEWORK, FrameworkRecord, JobRecord, Remove
from tests.builders import ROLE, a_batch, a_service, a_status, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected, running


def asked(harness: Harness) -> list[list[str]]:
    """Every RECONCILE, as the ids it names; the marker as `marker`."""
    return [
        ["marker" if agent == MARKER_AGENT else task for task, agent in call.tasks]
        for call in harness.calls_of(Reconcile)
    ]


def test_every_point_of_a_life_can_be_taken_up() -> None:
    harness = Harness()
    lives = [harness]

    def next_life() -> Harness:
        lives.append(lives[-1].restart(term=len(lives) + 1))
        return lives[-1]

    harness.apply(a_service(instances=2))
    harness = next_life()
    harness.subscribe()
    harness.answer_marker()
    tasks = harness.place()
    assert tasks == ["web.0.1.u1", "web.1.1.u1"]
    harness = next_life()
    harness.subscribe()
    assert harness.place() == []
    for task in tasks:
        harness.status(task, TaskState.STAGING, reason="reconciliation")
    harness.run(*tasks)
    harness = next_life()
    harness.subscribe()
    assert [harness.state_of(task) for task in tasks] == ["running", "running"]
    harness.status(tasks[0], TaskState.FAILED, uuid=b"f" * 16)
    harness.stop("web")
    harness = next_life()
    harness.subscribe()
    assert harness.place() == []
    assert harness.kills(harness.status(tasks[1], TaskState.RUNNING)) == [tasks[1]]
    harness = next_life()
    harness.subscribe()
    harness.status(tasks[1], TaskState.KILLED, uuid=b"k" * 16)
    harness.delete("web")
    assert list(next_life().stored) == [FRAMEWORK]


def test_the_framework_id_is_subscribed_with_the_real_timeout() -> None:
    harness = Harness(records=[FrameworkRecord("F-1", False, 1.0)])  # type: ignore[arg-type]
    assert harness.engine.wanted().failover_timeout_s == 604_800.0
    harness.subscribe()
    assert harness.engine.armed


def test_with_what_a_framework_was_registered_is_kept_whatever_is_said_later() -> None:
    harness = Harness()
    said = Subscribed(FrameworkId("F-1"), MasterId("M-1"), "http://m1:5050", "1.11.0", "web", True)
    harness.handle(said)
    harness.handle(Disconnected("restart"), msgspec.structs.replace(said, user="other"))
    framework = harness.engine.framework
    assert framework is not None
    assert (framework.user, framework.checkpoint) == ("web", True)


def test_first_each_task_then_everything_then_the_marker() -> None:
    harness, tasks = running(a_service(instances=2))
    other = harness.restart()
    other.subscribe()
    assert asked(other) == [list(tasks), [], ["marker"]]
    other.answer_marker()
    assert "reconcile.ended" in other.notices


def test_an_attempt_that_is_not_answered_is_neither_replaced_nor_killed() -> None:
    harness, [task] = running(a_service(unreachable=Unreachable(0.0)))
    harness.status(task, TaskState.UNREACHABLE)
    other = harness.restart()
    other.subscribe()
    other.answer_marker()
    other.pass_time(5000.0)
    assert other.place() == []
    assert other.kills() == []


def test_an_answer_that_it_is_still_away_lets_it_be_replaced() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(200.0)
    other = harness.restart()
    other.pass_time(150.0)
    other.subscribe()
    assert other.place() == []
    other.status(task, TaskState.UNREACHABLE, reason="reconciliation")
    assert other.place() == ["web.0.2.u1"]


def test_an_unknown_task_is_gone_when_the_next_master_does_not_know_it_either() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.UNKNOWN)
    other = harness.restart()
    other.pass_time(1000.0)
    other.subscribe()
    assert other.state_of(task) == "unknown"
    other.status(task, TaskState.UNKNOWN, reason="reconciliation")
    assert other.state_of(task) == "gone"


def test_a_seat_given_up_under_one_stream_is_held_again_under_the_next() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.UNREACHABLE)
    harness.pass_time(301.0)
    harness.disconnect()
    harness.subscribe()
    assert harness.place() == []
    harness.status(task, TaskState.RUNNING, reason="reconciliation")
    harness.pass_time(100.0)
    assert harness.place() == []


def test_of_two_attempts_none_is_ended_before_both_are_answered() -> None:
    harness, [old] = running(a_service())
    harness.status(old, TaskState.UNREACHABLE)
    harness.pass_time(301.0)
    [new] = harness.place(agent="a2")
    other = harness.restart()
    other.subscribe()
    other.status(old, TaskState.RUNNING, reason="reconciliation")
    other.pass_time(5.0)
    assert other.kills() == []
    other.status(new, TaskState.RUNNING, agent="S-a2", reason="reconciliation")
    assert other.kills() == [old]


def test_a_stop_kills_each_task_as_it_answers() -> None:
    harness, tasks = running(a_service(instances=2))
    other = harness.restart()
    other.subscribe()
    other.stop("web")
    assert other.kills() == []
    for task in tasks:
        assert other.kills(other.status(task, TaskState.RUNNING)) == [task]


def test_instances_that_were_never_attempted_are_placed_at_once() -> None:
    harness = Harness()
    harness.apply(a_service())
    other = harness.restart()
    other.subscribe()
    assert other.place() == ["web.0.1.u1"]


def test_what_stays_unanswered_is_asked_again_with_growing_pauses() -> None:
    harness, [silent, answered] = running(a_service(instances=2))
    other = harness.restart()
    other.subscribe()
    other.status(answered, TaskState.RUNNING, reason="reconciliation")
    began = other.mono
    at: list[float] = []
    for _ in range(80):
        if other.calls_of(Reconcile, other.pass_time(1.0)):
            at.append(other.mono - began)
            assert asked(other)[-2:] == [[silent], ["marker"]]
    assert at == [10.0, 30.0, 70.0]


def test_everything_is_asked_again_every_quarter_of_an_hour_and_in_one_chain() -> None:
    harness, [task] = running(a_service())
    for _ in range(5):
        harness.disconnect()
        harness.subscribe()
        harness.status(task, TaskState.RUNNING, reason="reconciliation")
    before = len(asked(harness))
    for _ in range(7200):
        calls = harness.pass_time(1.0)
        if harness.calls_of(Reconcile, calls):
            harness.status(task, TaskState.RUNNING, reason="reconciliation")
    passes = asked(harness)[before:].count([])
    assert 7 <= passes <= 9


def test_unknown_tasks_are_killed_by_policy_but_not_before_a_pass_has_ended() -> None:
    harness = Harness(Policy(roles=(ROLE,), unknown_kill_after_s=60.0))
    harness.subscribe()
    stranger = TaskId("stranger.0.1.zz")
    harness.handle(a_status(stranger, TaskState.RUNNING))
    assert harness.kills(harness.pass_time(200.0)) == []
    harness.answer_marker()
    assert set(harness.kills(harness.pass_time(31.0))) == {stranger}
    harness.handle(a_status(stranger, TaskState.KILLED, uuid=b"k" * 16))
    assert harness.kills(harness.pass_time(200.0)) == []


def test_unknown_tasks_are_left_alone_without_such_a_policy() -> None:
    harness = connected()
    harness.handle(a_status(TaskId("stranger.0.1.zz"), TaskState.RUNNING))
    assert harness.kills(harness.pass_time(100_000.0)) == []


def test_records_left_over_from_a_deletion_are_removed() -> None:
    harness, [task] = running(a_service())
    del harness.stored[JobId("web")]
    other = harness.restart()
    assert list(other.stored) == [FRAMEWORK]
    other.subscribe()
    other.status(task, TaskState.RUNNING, reason="reconciliation")
    assert [view.id for view in other.engine.views.unknown_tasks()] == [task]


def test_a_finished_record_of_a_deleted_job_does_not_finish_its_successor() -> None:
    harness, [task] = running(a_batch())
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    leftover = harness.instance("numbers")
    harness.delete("numbers")
    harness.apply(a_batch(), uid="u2")
    harness.stored[leftover.key] = leftover
    other = harness.restart()
    other.subscribe()
    assert other.place() == ["numbers.0.1.u2"]


def test_an_end_that_was_stored_before_the_last_status_was_is_taken_back() -> None:
    harness, [task] = running(a_batch())
    before = harness.instance("numbers")
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    harness.stored[before.key] = before
    other = harness.restart()
    record = other.stored[JobId("numbers")]
    assert isinstance(record, JobRecord)
    assert record.ended_at is None
    other.subscribe()
    other.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    assert "job.ended" in other.notices


def test_the_launch_watch_is_taken_up() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.place()
    other = harness.restart()
    other.subscribe()
    other.status(task, TaskState.STAGING, reason="reconciliation")
    other.pass_time(335.0)
    assert other.kills()[:1] == [task]


def test_a_launch_that_never_left_is_gone_and_made_anew() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.place()
    other = harness.restart()
    other.subscribe()
    other.status(task, TaskState.GONE, reason="reconciliation")
    other.pass_time(1.1)
    assert other.place() == ["web.0.2.u1"]


@pytest.mark.parametrize(("down_s", "left_s"), [(0.0, 300.0), (100.0, 200.0), (1000.0, 0.0)])
def test_a_back_off_goes_on_by_the_wall_clock(down_s: float, left_s: float) -> None:
    harness, [task] = running(a_service(restart=Restart(backoff_initial_s=300.0)))
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    harness.pass_time(down_s)
    other = harness.restart()
    other.subscribe()
    if left_s:
        other.pass_time(left_s - 2.0)
        assert other.launched(other.offer()) == []
        other.pass_time(2.1)
    assert other.place() == ["web.0.2.u1"]


def heir_with_much_to_plan(*, waiting_first: bool) -> tuple[Engine, Now]:
    """An engine that has loaded 30 running instances and one that waits, and has planned none."""
    harness, _ = running(a_service("a-large-one", instances=30, template=a_template(cpus=100)))
    harness.apply(a_service("waiting"), uid="u2")
    records = sorted(
        harness.stored.values(), key=lambda one: ("waiting" in str(one)) ^ waiting_first
    )
    engine = Engine(harness.policy, term=2, seed=1)
    engine.load(records)
    engine.start(harness.now)
    return engine, harness.now


SUBSCRIBED = Subscribed(FrameworkId("F-1"), MasterId("M-1"), "http://m1:5050", "1.11.0")


def test_offers_are_neither_suppressed_nor_declined_while_work_is_still_being_planned() -> None:
    engine, now = heir_with_much_to_plan(waiting_first=False)
    assert engine.wanted().suppressed == ()
    offer = OffersMade((an_offer("early", an_agent("a9")),))
    calls = list(engine.handle(now, [SUBSCRIBED, offer], Budget(rows=0)).calls)
    while not any(isinstance(call, Accept) for call in calls):
        step = engine.handle(now, [], Budget(rows=5))
        assert step.more or step.calls, "the offer is gone"
        calls += step.calls
    assert not any(isinstance(call, Decline) for call in calls)


@pytest.mark.parametrize("waiting_first", [True, False])
def test_work_that_waits_is_planned_before_what_has_its_tasks(waiting_first: bool) -> None:
    engine, now = heir_with_much_to_plan(waiting_first=waiting_first)
    engine.wanted()
    offer = OffersMade((an_offer("early", an_agent("a9")),))
    step = engine.handle(now, [SUBSCRIBED, offer], Budget(rows=1))
    assert [
        launch.job for call in step.calls if isinstance(call, Accept) for launch in call.launches
    ] == ["waiting"]


def test_of_one_job_the_instance_that_waits_is_planned_before_those_that_have_their_tasks() -> None:
    harness, _ = running(a_service(instances=30, template=a_template(cpus=100)))
    harness.scale("web", 31)
    engine = Engine(harness.policy, term=2, seed=1)
    engine.load(harness.stored.values())
    engine.start(harness.now)
    offer = OffersMade((an_offer("early", an_agent("a9")),))
    step = engine.handle(harness.now, [SUBSCRIBED, offer], Budget(rows=1))
    [accept] = [call for call in step.calls if isinstance(call, Accept)]
    assert [launch.index for launch in accept.launches] == [30]


def test_what_a_deleted_job_has_left_is_removed_within_the_budget() -> None:
    harness, _ = running(a_service(instances=30, template=a_template(cpus=100)))
    left = [record for record in harness.stored.values() if isinstance(record, Instance)]
    engine = Engine(harness.policy, term=2, seed=1)
    engine.load(left)
    step = engine.start(harness.now)
    removed = [step.writes]
    while step.more:
        step = engine.handle(harness.now, [], Budget(rows=10))
        removed.append(step.writes)
    assert max(map(len, removed)) == 10
    assert sorted(sum(removed, ()), key=str) == sorted((Remove(r.key) for r in left), key=str)


def test_a_takeover_in_which_nothing_waits_asks_for_no_offers() -> None:
    harness, _ = running(a_service(instances=30, template=a_template(cpus=100)))
    engine = Engine(harness.policy, term=2, seed=1)
    engine.load(harness.stored.values())
    engine.start(harness.now)
    assert engine.wanted().suppressed == (ROLE,)
