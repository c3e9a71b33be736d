"""How long offers are kept and refused, and what the master is told of our wishes, and when."""

from collections.abc import Iterable

from scheduler.core.effects import (
    Accept,
    Call,
    Decline,
    NoticeKind,
    Revive,
    Suppress,
    UpdateFramework,
    Wanted,
)
from scheduler.core.events import (
    CallOutcome,
    OfferRescinded,
    OffersMade,
    StoreRefusing,
    TaskState,
)
from scheduler.core.model.ids import OfferId, Role
from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.needs import AttributeTest, Needs, Predicate
from scheduler.core.model.resources import Amounts
from scheduler.core.policy import Budget, OfferPolicy, Policy
from tests.builders import ROLE, a_batch, a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected

SOON = Policy(roles=(ROLE,), offers=OfferPolicy(narrow_after_s=3.0))
ON_R1 = (Constraint("rack", Operator.IS, "r1"),)
R1_GROUP = ((AttributeTest("rack", Predicate.EQUALS, "r1"),),)
IMPOSSIBLE = a_template(cpus=1_000_000)


def declines(harness: Harness, calls: Iterable[Call]) -> list[tuple[str, ...]]:
    return [call.offer_ids for call in harness.calls_of(Decline, calls)]


def updates(harness: Harness, calls: Iterable[Call] | None = None) -> list[Wanted]:
    return [call.wanted for call in harness.calls_of(UpdateFramework, calls)]


# --- how long an offer is kept -------------------------------------------------------------------


def test_with_little_waiting_an_offer_is_used_at_once() -> None:
    harness = connected()
    harness.apply(a_batch(instances=3))
    assert len(harness.launched(harness.offer())) == 3


def test_with_much_waiting_what_comes_within_a_moment_is_looked_at_together() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    first = harness.offer(an_offer("o1", cpus=2000))
    harness.pass_time(0.1)
    second = harness.offer(an_offer("o2", cpus=3000))
    assert harness.launched(first + second) == []
    [accept] = harness.calls_of(Accept, harness.pass_time(0.11))
    assert accept.offer_ids == ("o1", "o2")


def test_what_is_enough_for_all_that_waits_is_not_gathered() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    first = harness.offer(an_offer("o1", cpus=500_000, mem=64_000_000))
    assert harness.launched(first) == []
    second = harness.offer(an_offer("o2", an_agent("a2"), cpus=500_000, mem=64_000_000))
    assert len(harness.launched(second)) == 1000


def test_what_is_enough_by_one_resource_alone_is_gathered() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    offered = harness.offer(an_offer("o1", cpus=1_000_000, mem=128_000))
    assert harness.launched(offered) == []
    assert harness.calls_of(Accept, harness.pass_time(0.21)) != []


def test_what_was_gathered_for_a_job_that_was_stopped_is_declined_when_more_comes() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    harness.offer(an_offer("o1"))
    harness.stop("numbers")
    calls = harness.offer(an_offer("o2", an_agent("a2")))
    assert declines(harness, calls) == [("o1", "o2")]


def test_a_burst_is_not_waited_for_longer_than_from_its_first_offer() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    began = harness.mono
    calls: list[Call] = []
    while not harness.launched(calls):
        calls = harness.offer() + harness.pass_time(0.05)
    assert harness.mono - began <= 0.25


def test_what_is_rescinded_while_it_is_gathered_is_not_used() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    harness.offer(an_offer("o1"), an_offer("o2", an_agent("a2")))
    harness.handle(OfferRescinded(OfferId("o1")))
    [accept] = harness.calls_of(Accept, harness.pass_time(0.3))
    assert accept.offer_ids == ("o2",)


def test_what_is_gathered_ends_with_the_stream() -> None:
    harness = connected()
    harness.apply(a_batch(instances=1000))
    harness.offer()
    harness.disconnect()
    harness.subscribe()
    assert harness.calls_of(Accept, harness.pass_time(10.0)) == []


def test_nothing_is_kept_beyond_the_limit_while_the_store_takes_no_writes() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.handle(StoreRefusing("no space left"))
    harness.offer(an_offer("o1"))
    assert declines(harness, harness.pass_time(4.9)) == []
    [decline] = harness.calls_of(Decline, harness.pass_time(0.2))
    assert (decline.offer_ids, decline.refuse_s) == (("o1",), 5.0)


def test_nothing_is_kept_beyond_the_limit_while_a_placement_goes_on() -> None:
    harness = connected()
    harness.apply(a_batch(instances=100))
    none = Budget(launches=0)
    step = harness.engine.handle(harness.now, [OffersMade((an_offer("o1"),))], none)
    assert (step.calls, step.more) == ((), True)
    harness.mono += 5.1
    step = harness.engine.handle(harness.now, [], none)
    assert declines(harness, step.calls) == [("o1",)]


def test_a_role_in_which_nothing_waits_keeps_nothing_while_another_is_being_placed() -> None:
    other = Role("other")
    harness = connected(Policy(roles=(ROLE, other)))
    harness.apply(a_batch(instances=100))
    offers = (an_offer("o1"), an_offer("o2", an_agent("a2"), role=other))
    step = harness.engine.handle(harness.now, [OffersMade(offers)], Budget(launches=0))
    assert declines(harness, step.calls) == [("o2",)]


def test_a_newer_offer_of_the_agent_does_not_prolong_the_older_ones_time() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.handle(StoreRefusing("no space left"))
    harness.offer(an_offer("o1"))
    harness.pass_time(3.0)
    harness.offer(an_offer("o2"))
    assert declines(harness, harness.pass_time(2.1)) == [("o1", "o2")]
    assert declines(harness, harness.pass_time(10.0)) == []


# --- how long what is left is refused ------------------------------------------------------------


def test_what_a_placement_that_goes_on_may_still_use_is_refused_for_a_moment() -> None:
    harness = connected()
    harness.budget = Budget(rows=20, launches=20)
    for number in range(30):
        harness.apply(a_service(f"j{number}", template=a_template(cpus=100, mem=1000)))
    calls = harness.offer(an_offer("o1", cpus=150), an_offer("o2", an_agent("a2"), cpus=4000))
    first, *later = harness.calls_of(Accept, calls)
    assert (first.offer_ids, len(first.launches)) == (("o1",), 1)
    assert first.refuse_s > 90.0  # 0.05 cpus are left, and the least asked for is 0.1
    assert later[0].refuse_s == 1.0


def test_what_was_tried_for_all_that_waits_is_refused_for_long() -> None:
    harness = connected()
    harness.apply(a_service(instances=2, template=a_template(cpus=3000)))
    [accept] = harness.calls_of(Accept, harness.offer(an_offer("o1", cpus=4000)))
    assert accept.refuse_s > 90.0


# --- REVIVE --------------------------------------------------------------------------------------


def test_a_revive_that_brings_nothing_is_said_once_more_and_no_more() -> None:
    harness = connected()
    harness.apply(a_service())
    calls = harness.pass_time(600.0)
    assert len(harness.calls_of(Revive, calls)) == 2


def test_a_revive_that_brought_an_offer_is_not_repeated() -> None:
    harness = connected()
    harness.apply(a_service(template=IMPOSSIBLE))
    assert len(harness.calls_of(Revive, harness.pass_time(1.0))) == 1
    harness.offer()
    assert harness.calls_of(Revive, harness.pass_time(600.0)) == []


def test_more_of_what_waits_already_does_not_revive() -> None:
    harness = connected()
    harness.apply(a_service(instances=3, template=a_template(cpus=3000)))
    harness.pass_time(1.0)
    [task] = harness.launched(harness.offer(an_offer("o1", cpus=4000)))
    harness.run(task)
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    assert harness.calls_of(Revive, harness.pass_time(60.0)) == []


# --- UPDATE_FRAMEWORK ----------------------------------------------------------------------------


def test_the_master_is_told_what_an_offer_needs_when_something_has_waited_for_a_while() -> None:
    harness = connected(SOON)
    harness.apply(a_service(template=a_template(cpus=1000, mem=128_000, constraints=ON_R1)))
    assert updates(harness, harness.pass_time(2.9)) == []
    [wanted] = updates(harness, harness.pass_time(0.2))
    assert wanted.needs == (
        (ROLE, Needs(groups=R1_GROUP, minimums=(Amounts(cpus=896, mem=114_688),))),
    )
    assert updates(harness, harness.pass_time(3600.0)) == []


def test_what_is_placed_soon_costs_no_update() -> None:
    harness = connected(SOON)
    for number in range(20):
        harness.apply(a_service(f"j{number}", template=a_template(constraints=ON_R1)))
        harness.pass_time(1.0)
        harness.offer(an_offer(f"o{number}", an_agent(f"a{number}", rack="r1")))
    assert len(updates(harness)) == 1  # which set the real failover timeout


def test_a_job_that_needs_more_than_is_told_widens_it_before_it_revives() -> None:
    harness = connected(SOON)
    harness.apply(a_service("picky", template=a_template(constraints=ON_R1)))
    harness.pass_time(10.0)
    harness.offer()
    harness.apply(a_service("any", template=a_template(cpus=100)))
    update, revive = [
        call for call in harness.pass_time(1.0) if isinstance(call, UpdateFramework | Revive)
    ]
    assert isinstance(update, UpdateFramework)
    assert update.wanted.needs_of(ROLE).groups == ()
    assert update.wanted.needs_of(ROLE).minimums == (Amounts(cpus=96, mem=114_688),)
    assert isinstance(revive, Revive)


def test_a_churning_queue_updates_at_most_once_a_second() -> None:
    harness = connected(SOON)
    harness.apply(a_service("picky", template=a_template(cpus=900_000, constraints=ON_R1)))
    harness.pass_time(10.0)
    calls: list[Call] = []
    for number in range(100):
        rack = (Constraint("rack", Operator.IS, f"r{number}"),)
        template = a_template(cpus=900_000 - 100 * number, constraints=rack)
        harness.apply(a_service(f"j{number}", template=template))
        calls += harness.pass_time(0.1)
    assert 5 <= len(updates(harness, calls)) <= 11


def test_agents_with_gpus_are_asked_for_as_long_as_a_job_wants_some() -> None:
    harness = connected(SOON)
    harness.apply(a_service("gpu", template=a_template(gpus=1000)))
    [wanted] = updates(harness, harness.pass_time(1.5))
    assert wanted.gpus
    harness.delete("gpu")
    harness.apply(a_service("web", template=IMPOSSIBLE))
    [wanted] = updates(harness, harness.pass_time(5.0))
    assert not wanted.gpus


def test_revocable_cpus_are_asked_for_as_long_as_a_job_takes_some() -> None:
    harness = connected(SOON)
    harness.apply(a_service("spare", template=a_template(cpus=0, revocable_cpus=1000)))
    [wanted] = updates(harness, harness.pass_time(1.5))
    assert wanted.revocable
    harness.delete("spare")
    harness.apply(a_service("web", template=IMPOSSIBLE))
    [wanted] = updates(harness, harness.pass_time(5.0))
    assert not wanted.revocable


def test_needs_that_the_master_refuses_are_taken_back_shown_and_not_said_again() -> None:
    harness = connected(SOON)
    harness.update_outcome = CallOutcome.REFUSED
    harness.apply(a_service(template=a_template(cpus=900_000, constraints=ON_R1)))
    harness.pass_time(10.0)
    assert NoticeKind.NEEDS_REFUSED in harness.notices
    before = len(updates(harness))
    harness.apply(a_service("other", template=IMPOSSIBLE))
    harness.pass_time(100.0)
    assert len(updates(harness)) == before
    status = harness.engine.views.status()
    assert status.needs_refused == "400: no"
    assert (status.offers[0].constraints, status.offers[0].minimums) == ((), ())


def test_needs_that_were_taken_go_along_with_the_next_subscribe_but_not_with_a_second_try() -> None:
    harness = connected(SOON)
    harness.apply(a_service(template=a_template(cpus=900_000, constraints=ON_R1)))
    harness.pass_time(10.0)
    harness.disconnect()
    assert harness.engine.wanted().needs_of(ROLE).groups == R1_GROUP
    assert harness.engine.wanted().needs == ()


def test_needs_that_no_master_has_taken_yet_are_in_no_subscribe() -> None:
    harness = connected(SOON)
    harness.apply(a_service(template=a_template(constraints=ON_R1)))
    harness.disconnect()
    assert harness.engine.wanted().needs == ()


def test_an_idle_role_is_suppressed_and_nothing_more_is_said() -> None:
    harness = connected(SOON)
    harness.apply(a_batch(template=a_template(constraints=ON_R1)))
    harness.pass_time(10.0)
    [task] = harness.launched(harness.offer(an_offer("o1", an_agent(rack="r1"))))
    assert harness.calls_of(Suppress)
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    assert harness.pass_time(600.0) == []


def test_the_arming_update_has_nothing_that_a_master_might_refuse() -> None:
    harness = Harness(SOON)
    harness.apply(a_service(template=a_template(constraints=ON_R1)))
    [armed] = updates(harness, harness.subscribe())
    assert armed.needs == ()


def test_a_refused_update_leaves_what_was_told_before() -> None:
    harness = connected(SOON)
    harness.apply(a_service(template=a_template(constraints=ON_R1)))
    harness.pass_time(10.0)
    harness.update_outcome = CallOutcome.REFUSED
    harness.apply(
        a_service("two", template=a_template(constraints=(Constraint("x", Operator.IS, "y"),)))
    )
    calls = harness.pass_time(10.0)
    assert updates(harness, calls)[-1].needs == ()
