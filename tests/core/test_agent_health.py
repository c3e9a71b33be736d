"""Agents that fail tasks by their own fault are avoided for a while, and only those."""

import msgspec
import pytest

from scheduler.core.effects import Accept, Launch, Verdict
from scheduler.core.events import ForgiveAgent, TaskState
from scheduler.core.model.ids import AgentId, AgentKey
from scheduler.core.model.job import Restart
from scheduler.core.policy import AvoidPolicy, Policy
from scheduler.core.records import AgentRecord
from tests.builders import ROLE, a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected

SMALL = a_template(cpus=100, mem=1000)
QUICK = Restart(backoff_initial_s=1.0, backoff_factor=1.0, backoff_s_max=1.0)
FAULT = "container_launch_failed"
BAD = AgentId("S-a1")


def offered(harness: Harness, *names: str) -> list[Launch]:
    """One offer of each agent; what is launched on them."""
    mono = harness.mono
    offers = [an_offer(f"{name}-{mono}", an_agent(name)) for name in names]
    calls = harness.offer(*offers)
    return [launch for call in calls if isinstance(call, Accept) for launch in call.launches]


def a_cluster(policy: AvoidPolicy | None = None, agents: int = 5) -> Harness:
    """Agents a1, a2 … are known, and two jobs wait for offers."""
    harness = connected(Policy(roles=(ROLE,), avoid=policy or AvoidPolicy()))
    offered(harness, *(f"a{number}" for number in range(1, agents + 1)))
    for job in ("one", "two"):
        harness.apply(a_service(job, template=SMALL, restart=QUICK), uid=job)
    return harness


def fail_on(harness: Harness, name: str, reason: str = FAULT) -> int:
    """Whatever is launched on the agent fails; how many that were."""
    launches = offered(harness, name)
    for launch in launches:
        harness.status(
            launch.task_id, TaskState.FAILED, agent=launch.agent_id, uuid=b"f" * 16, reason=reason
        )
    harness.pass_time(2.0)
    return len(launches)


def avoided(harness: Harness) -> set[str]:
    return set(harness.engine.state.avoided)


def test_an_agent_on_which_several_jobs_fail_by_its_fault_is_avoided() -> None:
    harness = a_cluster()
    assert fail_on(harness, "a1") == 2
    assert not avoided(harness)
    fail_on(harness, "a1")
    assert avoided(harness) == {BAD}
    assert fail_on(harness, "a1") == 0
    assert len(offered(harness, "a2")) == 2


@pytest.mark.parametrize("reason", ["", "container_limitation_memory", "executor_terminated"])
def test_what_the_task_did_is_not_the_agents_fault(reason: str) -> None:
    harness = a_cluster()
    for _ in range(6):
        fail_on(harness, "a1", reason)
    assert not avoided(harness)


def test_one_job_that_fails_everywhere_blames_no_agent() -> None:
    harness = connected()
    offered(harness, "a1", "a2", "a3")
    harness.apply(a_service("bad", template=SMALL, restart=QUICK))
    for _ in range(6):
        fail_on(harness, "a1")
    assert not avoided(harness)


def test_one_job_that_runs_elsewhere_is_proof_enough() -> None:
    harness = connected()
    offered(harness, "a1", "a2", "a3")
    harness.apply(a_service("good", instances=2, template=SMALL, restart=QUICK))
    harness.scale("good", 1)
    [launch] = offered(harness, "a2")
    harness.run(launch.task_id, agent="S-a2")
    harness.scale("good", 2)
    for _ in range(3):
        assert fail_on(harness, "a1") == 1
    assert avoided(harness) == {BAD}


def test_failures_long_ago_do_not_count() -> None:
    harness = a_cluster()
    fail_on(harness, "a1")
    harness.pass_time(601.0)
    assert fail_on(harness, "a1") == 2
    assert not avoided(harness)


def test_an_agent_is_used_again_after_a_time_that_doubles() -> None:
    harness = a_cluster()
    for expected_s in (300.0, 600.0):
        fail_on(harness, "a1")
        fail_on(harness, "a1")
        record = harness.stored[AgentKey(BAD)]
        assert isinstance(record, AgentRecord)
        assert record.avoided
        assert record.until - record.since == expected_s
        harness.pass_time(expected_s + 1.0)
        assert not avoided(harness)
    assert len(offered(harness, "a1")) == 2


def test_an_agent_is_used_again_although_the_wall_clock_was_set_back() -> None:
    harness = a_cluster()
    fail_on(harness, "a1")
    fail_on(harness, "a1")
    harness.wall_offset -= 60.0
    harness.pass_time(301.0)
    assert avoided(harness) == {BAD}
    harness.pass_time(60.0)
    assert not avoided(harness)


def test_a_good_while_in_use_clears_an_agents_past() -> None:
    harness = a_cluster()
    fail_on(harness, "a1")
    fail_on(harness, "a1")
    harness.pass_time(300.0 + 21_600.0 + 2.0)
    assert AgentKey(BAD) not in harness.stored


def test_no_more_than_a_share_of_the_cluster_is_avoided() -> None:
    harness = a_cluster(AvoidPolicy(share_max=0.4))
    for name in ("a1", "a2", "a3", "a4"):
        for _ in range(3):
            fail_on(harness, name)
    assert avoided(harness) == {"S-a1", "S-a2"}


def test_of_two_agents_none_is_avoided() -> None:
    harness = a_cluster(agents=2)
    for _ in range(5):
        fail_on(harness, "a1")
    assert not avoided(harness)


def test_avoiding_outlives_a_takeover_and_ends_in_time() -> None:
    harness = a_cluster()
    fail_on(harness, "a1")
    fail_on(harness, "a1")
    heir = harness.restart()
    heir.subscribe()
    assert avoided(heir) == {BAD}
    assert not offered(heir, "a1")
    heir.pass_time(301.0)
    assert not avoided(heir)


def test_an_operator_may_forgive_an_agent() -> None:
    harness = a_cluster()
    fail_on(harness, "a1")
    fail_on(harness, "a1")
    assert forgive(harness, BAD) is Verdict.DONE
    assert not avoided(harness)
    assert AgentKey(BAD) not in harness.stored
    assert len(offered(harness, "a1")) == 2
    assert forgive(harness, BAD) is Verdict.UNCHANGED
    assert forgive(harness, AgentId("S-nobody")) is Verdict.NOT_FOUND


def test_why_an_agent_is_not_used_is_shown() -> None:
    harness = a_cluster()
    fail_on(harness, "a1")
    fail_on(harness, "a1")
    [shown] = [one for one in harness.engine.views.agents("", 10).items if one.id == BAD]
    assert shown.avoided_for == FAULT
    assert shown.avoided_until is not None
    offered(harness, "a1")
    waiting = harness.engine.views.queue("", 10).items
    assert {one.text for one in waiting} == {"1 offer: 1 avoided, as tasks failed there"}


def test_nothing_is_avoided_where_that_is_switched_off() -> None:
    harness = a_cluster(AvoidPolicy(failures=0))
    for _ in range(5):
        fail_on(harness, "a1")
    assert not avoided(harness)


# --- planned maintenance -------------------------------------------------------------------------


def offer_that_leaves(harness: Harness, name: str, in_s: float) -> list[Launch]:
    offer = msgspec.structs.replace(
        an_offer(f"{name}-{harness.mono}", an_agent(name)),
        unavailable_from=harness.now.wall + in_s,
    )
    calls = harness.offer(offer)
    return [launch for call in calls if isinstance(call, Accept) for launch in call.launches]


def test_a_service_is_not_placed_where_maintenance_begins_soon() -> None:
    harness = connected()
    harness.apply(a_service(template=SMALL))
    assert not offer_that_leaves(harness, "a1", 600.0)
    [waiting] = harness.engine.views.queue("", 10).items
    assert waiting.text == "1 offer: 1 with maintenance planned too soon"
    assert len(offered(harness, "a2")) == 1


def test_a_service_takes_what_leaves_late_only_if_nothing_else_fits() -> None:
    harness = connected()
    harness.apply(a_service(template=SMALL))
    late = msgspec.structs.replace(
        an_offer("late", an_agent("a1"), cpus=100), unavailable_from=harness.now.wall + 40_000.0
    )
    calls = harness.offer(late, an_offer("stays", an_agent("a2")))
    [accept] = [call for call in calls if isinstance(call, Accept)]
    assert accept.offer_ids == ("stays",)
    harness.apply(a_service("other", template=SMALL), uid="u2")
    assert len(offer_that_leaves(harness, "a1", 40_000.0)) == 1


@pytest.mark.parametrize(("runs_s", "launched"), [(300.0, 1), (900.0, 0)])
def test_a_task_that_says_how_long_it_runs_needs_its_agent_for_that_long(
    runs_s: float, launched: int
) -> None:
    harness = connected()
    template = msgspec.structs.replace(SMALL, max_runtime_s=runs_s)
    harness.apply(a_service(template=template))
    assert len(offer_that_leaves(harness, "a1", 600.0)) == launched


def forgive(harness: Harness, agent: AgentId) -> Verdict:
    ticket = harness.ticket()
    harness.handle(ForgiveAgent(ticket, agent))
    return harness.answers[ticket].verdict
