"""Why a job waits, as a whole engine tells it."""

import pytest

from scheduler.core.events import AgentsListed, StoreRefusing, TaskState
from scheduler.core.explain import AgentUnknown, explain
from scheduler.core.model.ids import JobId
from scheduler.core.model.job import Constraint, Operator, Restart
from scheduler.core.model.offer import AgentInfo, AgentSeen
from scheduler.core.model.resources import Amounts
from scheduler.core.waiting_views import ExplanationView
from tests.builders import ROLE, a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected, running

BIG = a_template(cpus=9000)


def explained(harness: Harness, job: str = "web") -> ExplanationView:
    question = harness.engine.views.question(JobId(job))
    assert question is not None
    return explain(question)


def reasons(harness: Harness, job: str = "web") -> list[str]:
    return [reason.reason for reason in explained(harness, job).reasons]


def listed(*agents: AgentInfo, offered: int = 0) -> AgentsListed:
    total = Amounts(16_000, 64_000_000, 0, 0)
    return AgentsListed(
        tuple(AgentSeen(one, True, total, Amounts(), Amounts(offered)) for one in agents)
    )


def test_nobody_explains_a_job_that_is_not_there() -> None:
    assert connected().engine.views.question(JobId("web")) is None


def test_a_job_that_runs_waits_for_nothing() -> None:
    harness, _ = running(a_service(instances=2))
    view = explained(harness)
    assert (view.reasons, view.waiting, view.since) == ((), 0, None)
    assert view.text == "Nothing waits: 2 of 2 instances have a task."
    harness.stop("web")
    assert explained(harness).text == "The job is stopping; nothing of it is to be placed."


def test_a_job_waits_since_its_first_task_was_lost_under_the_next_leader_too() -> None:
    harness, tasks = running(a_service(instances=3))
    harness.pass_time(100.0)
    harness.status(tasks[2], TaskState.FAILED)
    since = harness.now.wall
    harness.pass_time(50.0)
    harness.status(tasks[0], TaskState.FAILED)
    harness.pass_time(500.0)
    assert (explained(harness).waiting, explained(harness).since) == (2, since)

    heir = harness.restart()
    heir.subscribe()
    heir.answer_marker()

    assert (explained(heir).waiting, explained(heir).since) == (2, since)
    assert [waiting.since for waiting in heir.engine.views.queue("", 9).items] == [since]


def test_a_job_that_was_never_placed_waits_since_it_was_declared() -> None:
    harness = connected()
    since = harness.now.wall
    harness.apply(a_service(template=BIG))
    harness.pass_time(500.0)

    heir = harness.restart()

    assert explained(harness).since == explained(heir).since == since


def test_no_master_and_a_refusing_store_are_reasons() -> None:
    harness = Harness()
    harness.apply(a_service())
    assert reasons(harness) == ["disconnected"]
    harness.subscribe()
    harness.handle(StoreRefusing("no space"))
    view = explained(harness)
    assert [reason.reason for reason in view.reasons] == ["store_refusing"]
    assert view.text == (
        "1 of 1 instances waits for an offer. The store takes no writes: no space."
    )


def test_before_anything_is_known_of_the_cluster_it_says_so() -> None:
    harness = connected()
    harness.apply(a_service())
    assert reasons(harness) == ["no_agents"]
    harness.handle(AgentsListed(None, "403: not you"))
    view = explained(harness)
    assert view.agents_hidden == "403: not you"
    assert "No agent is known: the master lists none (403: not you)." in view.text


def test_a_role_whose_offers_are_about_to_be_asked_for_says_when() -> None:
    harness = connected()
    harness.handle(listed(an_agent("a1")))
    harness.apply(a_service())
    view = explained(harness)
    [suppressed] = view.reasons
    in_s = harness.policy.offers.revive_gather_s
    assert (suppressed.reason, suppressed.until) == ("suppressed", harness.now.wall + in_s)
    assert f"All offers are asked for anew in {in_s:.1f} s." in view.text
    harness.pass_time(in_s)
    assert reasons(harness) == ["not_offered"]


def test_an_offer_that_was_declined_is_still_known() -> None:
    harness = connected()
    harness.apply(a_service(template=BIG))
    since = harness.now.wall
    harness.pass_time(5.0)
    harness.offer(an_offer("o1", an_agent("a1"), cpus=8500), an_offer("o2", an_agent("a2")))
    view = explained(harness)
    [cpus] = view.reasons
    assert (cpus.reason, cpus.agents, cpus.alone, cpus.short) == ("cpus", 2, 2, 0.5)
    assert (cpus.of, view.agents, view.since, view.tries) == ("offered", 2, since, 1)
    assert [(one.reason, one.agents, one.by) for one in view.helps] == [("cpus", 1, 0.5)]
    assert view.text == (
        "1 of 1 instances waits for an offer. 2 agents: 2 lack cpus (the best by 0.5). "
        "Fits on 1 agent with 0.5 less cpus."
    )


def test_of_one_agent_all_reasons_are_told() -> None:
    harness = connected()
    rack = Constraint("rack", Operator.IS, "r9")
    harness.apply(a_service(template=a_template(cpus=9000, constraints=(rack,))))
    harness.offer(an_offer("o1", an_agent("a1", rack="r1")), an_offer("o2", an_agent("a2")))
    question = harness.engine.views.question(JobId("web"))
    assert question is not None
    for name in ("a1", "S-a1"):
        seen = explain(question, name).on_agent
        assert seen is not None
        assert [reason.reason for reason in seen.reasons] == ["constraint", "cpus"]
    with pytest.raises(AgentUnknown):
        explain(question, "a3")


def test_agents_that_made_no_offer_are_known_from_the_list() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.pass_time(1.0)
    harness.handle(listed(an_agent("a1"), an_agent("a2")))
    assert reasons(harness) == ["not_offered"]
    harness.handle(listed(an_agent("a1"), an_agent("a2"), offered=16_000))
    assert reasons(harness) == ["offered_elsewhere"]


def test_what_is_left_after_our_own_launch_counts() -> None:
    harness = connected()
    harness.apply(a_service(instances=3, template=a_template(cpus=3000)))
    harness.launched(harness.offer(an_offer("o1", cpus=4000)))
    view = explained(harness)
    [cpus] = view.reasons
    assert (cpus.reason, cpus.short, cpus.of) == ("cpus", 2.0, "offered")
    assert view.waiting == 2


def test_a_refused_offer_that_would_do_says_until_when_and_a_revive_ends_it() -> None:
    harness = connected()
    harness.apply(a_service("big", template=BIG))
    harness.pass_time(1.0)
    harness.offer(an_offer("o1"))
    harness.apply(a_service())
    view = explained(harness)
    [refused] = view.reasons
    assert refused.reason == "refused"
    assert refused.until is not None
    assert refused.until > harness.now.wall
    harness.pass_time(30.0)
    assert reasons(harness) == ["not_offered"]


def test_needs_of_ours_that_are_told_no_more_are_a_reason_until_the_master_is_told() -> None:
    harness = connected()
    rack = Constraint("rack", Operator.IS, "r9")
    harness.apply(a_service("choosy", template=a_template(constraints=(rack,))))
    harness.pass_time(120.0)
    harness.handle(listed(an_agent("a1", rack="r1")))
    harness.apply(a_service())
    assert reasons(harness) == ["offer_constraints"]
    harness.pass_time(5.0)
    assert reasons(harness) == ["not_offered"]


def test_back_off_says_until_when_and_why() -> None:
    harness = connected()
    harness.apply(a_service(instances=2, restart=Restart(backoff_initial_s=60.0)))
    first, _ = harness.launched(harness.offer())
    harness.status(first, TaskState.FAILED, uuid=b"f" * 16, reason="command_executor_failed")
    view = explained(harness)
    assert view.back_off is not None
    assert (view.back_off.instances, view.back_off.failures) == (1, 1)
    assert round(view.back_off.until - harness.now.wall) == 60
    assert [reason.reason for reason in view.reasons] == ["back_off"]
    assert view.text == (
        "1 instance is in back-off after it ended as failed (command_executor_failed)."
    )


def test_what_the_master_has_not_confirmed_is_said() -> None:
    harness, _ = running(a_service(instances=2))
    harness.disconnect()
    harness.subscribe()
    view = explained(harness)
    assert [reason.reason for reason in view.reasons] == ["reconciling"]
    assert "The master has not said yet what became of 2 instances." in view.text


def test_the_reasons_before_are_remembered() -> None:
    harness = connected()
    rack = Constraint("rack", Operator.IS, "r9")
    harness.apply(a_service(template=a_template(cpus=9000, constraints=(rack,))))
    harness.offer(an_offer("o1", an_agent("a1")))
    harness.pass_time(60.0)
    harness.offer(an_offer("o2", an_agent("a2", rack="r9"), cpus=9000))
    view = explained(harness)
    assert [told.reasons for told in view.history] == [(), ("constraint",)]
    assert view.history[0].at - view.history[1].at == 60.0


def test_the_queue_is_listed_in_order_and_in_pages() -> None:
    harness = connected()
    rack = Constraint("rack", Operator.IS, "r9")
    harness.apply(a_service("plain", template=BIG))
    harness.apply(a_service("choosy", template=a_template(constraints=(rack,))))
    harness.apply(a_service("urgent", template=BIG, priority=90))
    harness.offer()
    harness.apply(a_service("team/new", template=BIG))
    first = harness.engine.views.queue("", 3)
    rest = harness.engine.views.queue(first.next or "", 3)
    assert [view.job for view in first.items] == ["urgent", "choosy", "plain"]
    assert [(view.job, view.state, view.owner) for view in rest.items] == [
        ("team/new", "awake", "team")
    ]
    assert rest.next is None
    assert {(view.state, view.tries, view.role) for view in first.items} == {("parked", 1, ROLE)}
    assert "lacks cpus" in first.items[0].text


def test_what_backs_off_is_listed_with_its_end() -> None:
    harness = connected()
    harness.apply(a_service(restart=Restart(backoff_initial_s=60.0)))
    [task] = harness.launched(harness.offer())
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    [view] = harness.engine.views.queue("", 3).items
    assert (view.state, view.waiting, view.backing_off, view.text) == ("backoff", 0, 1, "back-off")
    assert view.next_at is not None
    assert round(view.next_at - harness.now.wall) == 60
