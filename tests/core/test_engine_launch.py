"""From a declared job to a running task: what is stored, called and answered, in which order."""

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Decline,
    Reconcile,
    Revive,
    Suppress,
    UpdateFramework,
    Verdict,
)
from scheduler.core.events import (
    CallEnded,
    CallOutcome,
    OfferRescinded,
    OffersMade,
    StoreRecovered,
    StoreRefusing,
    TaskState,
)
from scheduler.core.model.ids import InstanceKey, JobId, OfferId, Role, TaskId
from scheduler.core.model.instance import AttemptState, Instance
from scheduler.core.model.job import Constraint, Operator, Port
from scheduler.core.policy import Budget, Policy
from scheduler.core.records import FRAMEWORK, FrameworkRecord
from tests.builders import a_batch, a_service, a_status, a_template, an_agent, an_offer
from tests.core.harness import Harness


def connected() -> Harness:
    harness = Harness()
    harness.subscribe()
    harness.answer_marker()
    return harness


def test_the_first_subscribe_asks_for_nothing_that_could_stay_behind() -> None:
    harness = Harness()
    wanted = harness.engine.wanted()
    assert wanted.failover_timeout_s == 0.0
    assert wanted.suppressed == wanted.roles


def test_the_framework_id_is_stored_and_then_the_real_timeout_is_set() -> None:
    harness = Harness()
    calls = harness.subscribe("F-9")
    armed = harness.calls_of(UpdateFramework, calls)
    assert [call.wanted.failover_timeout_s for call in armed] == [604_800.0]
    record = harness.stored[FRAMEWORK]
    assert isinstance(record, FrameworkRecord)
    assert (record.framework_id, record.armed) == ("F-9", True)
    assert harness.engine.wanted().failover_timeout_s == 604_800.0


def test_nothing_is_launched_before_there_is_a_stream() -> None:
    harness = Harness()
    harness.apply(a_service())
    assert harness.offer() == []


def test_a_job_is_answered_and_its_task_launched_from_an_offer() -> None:
    harness = connected()
    answer = harness.apply(a_service(instances=2))
    assert (answer.verdict, answer.version) == (Verdict.DONE, 1)
    revived = harness.pass_time(1.0)
    assert [call.roles for call in harness.calls_of(Revive, revived)] == [("prod",)]
    calls = harness.offer(an_offer("o1"))
    [accept] = harness.calls_of(Accept, calls)
    assert accept.offer_ids == ("o1",)
    assert harness.launched(calls) == ["web.0.1.u1", "web.1.1.u1"]


def test_a_status_is_written_in_the_step_that_acknowledges_it() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.launched(harness.offer())
    calls = harness.status(task, TaskState.RUNNING, uuid=b"u" * 16)
    assert [(c.task_id, c.uuid) for c in harness.calls_of(Acknowledge, calls)] == [
        (task, b"u" * 16)
    ]
    attempt = harness.stored_attempt(task)
    assert attempt is not None
    assert attempt.state is AttemptState.RUNNING


def test_every_copy_with_a_uuid_is_acknowledged_and_none_without() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.launched(harness.offer())
    for _ in range(3):
        calls = harness.status(task, TaskState.RUNNING, uuid=b"u" * 16)
        assert len(harness.calls_of(Acknowledge, calls)) == 1
    assert harness.calls_of(Acknowledge, harness.status(task, TaskState.RUNNING)) == []


def test_an_offer_that_nobody_needs_is_declined_at_once_and_the_role_suppressed() -> None:
    harness = connected()
    harness.apply(a_batch())
    harness.pass_time(1.0)
    calls = harness.offer(an_offer("o1"), an_offer("o2", an_agent("a2")))
    [decline] = harness.calls_of(Decline, calls)
    assert decline.refuse_s == 3600.0
    assert [call.roles for call in harness.calls_of(Suppress, calls)] == [("prod",)]


def test_what_does_not_fit_is_declined_for_minutes_and_waits_with_a_reason() -> None:
    harness = connected()
    harness.apply(a_service(template=a_template(cpus=64_000)))
    harness.pass_time(1.0)
    calls = harness.offer(an_offer("o1"))
    [decline] = harness.calls_of(Decline, calls)
    assert 90.0 <= decline.refuse_s <= 150.0
    [task] = harness.engine.views.tasks("", 10).items
    assert task.state == "queued"
    assert "cpus" in task.waits_for


def test_a_big_job_does_not_block_the_small_one_behind_it() -> None:
    harness = connected()
    harness.apply(a_service("big", template=a_template(cpus=64_000), priority=90))
    harness.apply(a_service("small"))
    assert harness.launched(harness.offer()) == ["small.0.1.u1"]


def test_higher_priority_is_placed_first() -> None:
    harness = connected()
    harness.apply(a_service("low", template=a_template(cpus=3000), priority=10))
    harness.apply(a_service("high", template=a_template(cpus=3000), priority=90))
    assert harness.launched(harness.offer()) == ["high.0.1.u1"]


def test_revives_are_coalesced_and_rare() -> None:
    harness = connected()
    for number in range(10):
        harness.apply(a_service(f"job-{number}", template=a_template(cpus=64_000)))
    first = harness.pass_time(0.5)
    assert len(harness.calls_of(Revive, first)) == 1
    later = []
    for number in range(10, 70):
        harness.apply(a_service(f"job-{number}", template=a_template(cpus=64_000)))
        later += harness.offer()
        later += harness.pass_time(0.5)
    assert 1 <= len(harness.calls_of(Revive, later)) <= 8  # 30 s, one in 5 s, and the burst


def test_offers_of_one_agent_go_into_one_accept() -> None:
    harness = connected()
    harness.apply(a_service(template=a_template(cpus=6000)))
    calls = harness.offer(an_offer("o1", cpus=4000), an_offer("o2", cpus=2000))
    [accept] = harness.calls_of(Accept, calls)
    assert accept.offer_ids == ("o1", "o2")


def test_a_rescinded_offer_is_not_used() -> None:
    harness = connected()
    harness.apply(a_service())
    assert harness.handle(OffersMade((an_offer("o1"),)), OfferRescinded(OfferId("o1"))) == []


def test_a_rescind_after_the_accept_changes_nothing_until_the_master_says_so() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.launched(harness.offer(an_offer("o1")))
    harness.handle(OfferRescinded(OfferId("o1")))
    assert harness.stored_attempt(task) is not None
    harness.status(task, TaskState.DROPPED, reason="invalid_offers")
    harness.pass_time(1.5)
    assert harness.launched(harness.offer()) == ["web.0.2.u1"]


def test_a_refused_or_unsent_accept_is_taken_back_and_an_unknown_one_is_not() -> None:
    for outcome, relaunched in (
        (CallOutcome.REFUSED, True),
        (CallOutcome.NOT_SENT, True),
        (CallOutcome.UNKNOWN, False),
    ):
        harness = connected()
        harness.apply(a_service())
        [accept] = harness.calls_of(Accept, harness.offer())
        harness.handle(CallEnded(accept.call_id, outcome, "403"))
        harness.pass_time(2.0)
        assert bool(harness.launched(harness.offer())) is relaunched


def test_a_launch_without_an_answer_is_asked_about_then_killed_and_replaced() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.launched(harness.offer())
    asked = harness.calls_of(Reconcile, harness.pass_time(301.0))
    assert ((task, "S-a1"),) in [call.tasks for call in asked]
    harness.pass_time(31.0)
    attempt = harness.stored_attempt(task)
    assert attempt is not None
    assert attempt.end is not None
    harness.status(task, TaskState.GONE, reason="reconciliation")
    harness.pass_time(5.0)
    assert harness.launched(harness.offer()) == ["web.0.2.u1"]


def test_very_many_launches_without_an_answer_are_asked_about_together() -> None:
    harness = connected()
    harness.apply(a_service(instances=2500, template=a_template(cpus=10, mem=1)))
    harness.budget = Budget(rows=2500, launches=2500)
    harness.offer(an_offer("o1", cpus=25_000))
    harness.pass_time(0.3)  # many wait: offers are gathered
    tasks = harness.launched()
    assert len(tasks) == 2500

    asked = harness.calls_of(Reconcile, harness.pass_time(301.0))

    assert sorted(task for call in asked for task, _ in call.tasks) == sorted(tasks)
    assert len(asked) == 3


def test_unique_hosts_are_kept_apart_over_several_offers() -> None:
    harness = connected()
    apart = (Constraint("hostname", Operator.UNIQUE),)
    harness.apply(a_service(instances=3, template=a_template(constraints=apart)))
    calls = harness.offer(an_offer("o1"), an_offer("o2", an_agent("a2")))
    assert len(harness.launched(calls)) == 2
    assert harness.launched(harness.offer(an_offer("o3"))) == []
    [third] = harness.launches(harness.offer(an_offer("o4", an_agent("a3"))))
    assert third.agent_id == "S-a3"


def test_ports_are_those_offered() -> None:
    harness = connected()
    harness.apply(a_service(template=a_template(ports=(Port("http"), Port("admin", 31005)))))
    [launch] = harness.launches(harness.offer())
    assert launch.ports[1] == 31005
    assert 31000 <= launch.ports[0] <= 31999


def test_roles_are_kept_apart() -> None:
    roles = (Role("prod"), Role("batch"))
    harness = Harness(Policy(roles=roles))
    harness.subscribe()
    harness.apply(a_service("web", template=a_template(role=roles[0])))
    harness.apply(a_service("sum", template=a_template(role=roles[1])))
    calls = harness.offer(an_offer("o1", role=roles[1]))
    assert harness.launched(calls) == ["sum.0.1.u1"]


def test_steps_that_may_place_nothing_take_no_role_its_turn() -> None:
    roles = (Role("prod"), Role("batch"))
    harness = Harness(Policy(roles=roles))
    harness.subscribe()
    for role in roles:
        template = a_template(role=role, cpus=10, mem=1)
        harness.apply(a_service(f"of-{role}", instances=50, template=template))
    offers = [an_offer(f"o-{role}", cpus=4000, role=role) for role in roles]
    engine, now = harness.engine, harness.now
    step = engine.handle(now, [OffersMade(tuple(offers))], Budget(rows=0, launches=0))
    placed = set()
    for _ in range(2):
        assert (step.calls, step.more) == ((), True)
        [accept] = engine.handle(now, [], Budget(rows=20, launches=20)).calls
        assert isinstance(accept, Accept)
        placed |= {launch.job for launch in accept.launches}
        step = engine.handle(now, [], Budget(rows=0, launches=0))
    assert placed == {"of-prod", "of-batch"}


def test_a_role_that_the_framework_has_not_is_refused() -> None:
    harness = connected()
    answer = harness.apply(a_service(template=a_template(role=Role("other"))))
    assert answer.verdict is Verdict.INVALID
    assert "other" in answer.detail


def test_offers_are_forgotten_with_the_stream() -> None:
    harness = connected()
    harness.apply(a_service())
    held = harness.engine.handle(harness.now, [OffersMade((an_offer("old"),))], Budget(launches=0))
    assert held.more
    assert held.calls == ()
    harness.disconnect()
    assert harness.launched(harness.subscribe()) == []


def test_a_refusing_store_launches_nothing_and_says_so() -> None:
    harness = connected()
    harness.handle(StoreRefusing("no space left"))
    answer = harness.apply(a_service())
    assert answer.verdict is Verdict.UNAVAILABLE
    assert "no space left" in answer.detail
    harness.handle(StoreRecovered())
    assert harness.apply(a_service()).verdict is Verdict.DONE


def test_a_hundred_thousand_instances_are_planned_within_the_budget_of_each_step() -> None:
    harness = connected()
    harness.apply(a_batch(instances=100_000))
    assert harness.steps >= 50
    harness.offer()
    assert len(harness.launched(harness.pass_time(0.3))) == 4
    key = InstanceKey(JobId("numbers"), 99_999)
    assert harness.engine.waits(key)


def test_an_unknown_task_is_acknowledged_kept_and_shown() -> None:
    harness = connected()
    stranger = TaskId("stranger.0.1.zz")
    calls = harness.handle(a_status(stranger, TaskState.RUNNING, uuid=b"u" * 16))
    assert len(harness.calls_of(Acknowledge, calls)) == 1
    assert [task.id for task in harness.engine.views.unknown_tasks()] == [stranger]
    harness.handle(a_status(stranger, TaskState.FINISHED, uuid=b"v" * 16))
    assert harness.engine.views.unknown_tasks() == []


def test_a_record_holds_the_whole_truth_of_its_instance() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.launched(harness.offer())
    record = harness.stored[InstanceKey(JobId("web"), 0)]
    assert isinstance(record, Instance)
    [attempt] = record.live
    assert (attempt.agent_id, attempt.hostname) == ("S-a1", "a1")
    assert attempt.agent_url == "http://a1:5051"
    assert record.attempts == 1
