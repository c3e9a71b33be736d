"""Where a job's tasks go, over several offers, steps and leaders: what is counted is counted on."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.effects import Accept, Decline, Revive
from scheduler.core.events import TaskState
from scheduler.core.model.ids import AgentId, JobId
from scheduler.core.model.instance import Attempt
from scheduler.core.model.job import (
    Affinity,
    Combined,
    Condition,
    Constraint,
    JobSpec,
    Junction,
    Operator,
    Preferences,
    Spread,
    Strategy,
    Target,
)
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.placement.constraints import value_of
from scheduler.core.policy import Budget
from tests.builders import a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected
from tests.core.placement.obvious import admits, is_counted
from tests.core.placement.test_carve import total


def wanting(job: str, *constraints: Condition, instances: int = 1) -> JobSpec:
    return a_service(job, instances=instances, template=a_template(constraints=constraints))


def keeping_off(name: str) -> Constraint:
    return Constraint("@job", Operator.UNLIKE, name)


def offered(harness: Harness, *agents: AgentInfo, cpus: int = 4000) -> list[tuple[str, str]]:
    """The job and the agent of each launch that offers of these agents brought."""
    harness.pass_time(30.0)
    calls = harness.offer(
        *(an_offer(f"{agent.agent_id}-{harness.mono}", agent, cpus=cpus) for agent in agents)
    )
    return [(launch.job, launch.agent_id) for launch in harness.launches(calls)]


UNIQUE_RACK = Constraint("rack", Operator.UNIQUE)
A1, A2 = an_agent("a1", rack="r1"), an_agent("a2", rack="r2")
A3 = an_agent("a3", rack="r1")


def test_a_value_stays_taken_for_the_next_leader() -> None:
    harness = connected()
    harness.apply(wanting("web", UNIQUE_RACK, instances=2))
    assert offered(harness, A1) == [("web", "S-a1")]
    assert harness.instance("web").live[0].attributes == (("rack", "r1"),)

    harness = harness.restart()
    harness.subscribe()
    harness.answer_marker()

    assert offered(harness, A3) == []
    assert offered(harness, A2) == [("web", "S-a2")]


def test_a_task_that_ends_frees_its_value() -> None:
    harness = connected()
    harness.apply(wanting("web", UNIQUE_RACK, instances=2))
    offered(harness, A1)
    (task,) = harness.launched()
    harness.run(task)
    assert offered(harness, A3) == []

    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)

    assert offered(harness, A3) == [("web", "S-a3")]


def test_spread_goes_on_from_what_runs() -> None:
    harness = connected()
    spread = Preferences(spread=(Spread("rack", (Target("r1", 75),)),))
    harness.apply(a_service("web", instances=4, prefer=spread))
    first = offered(harness, A1, A2, cpus=9000)
    assert Counter(first) == {("web", "S-a1"): 3, ("web", "S-a2"): 1}

    harness = harness.restart()
    harness.subscribe()
    harness.answer_marker()
    harness.scale("web", 8)

    second = offered(harness, A1, A2, cpus=9000)
    assert Counter(second) == {("web", "S-a1"): 3, ("web", "S-a2"): 1}


def test_a_large_job_is_placed_in_one_step_by_several_decisions() -> None:
    harness = connected()
    spreads = Preferences(spread=(Spread("zone"), Spread("rack")))
    harness.apply(a_service("web", instances=100, prefer=spreads))
    agents = [
        an_agent(f"a{number}", zone=f"z{number % 2}", rack=f"r{number % 3}") for number in range(6)
    ]

    placed = offered(harness, *agents, cpus=20_000)

    racks = Counter(int(agent.removeprefix("S-a")) % 3 for _, agent in placed)
    assert sorted(racks.values()) == [33, 33, 34]


def test_a_changed_preference_replaces_nothing() -> None:
    harness = connected()
    harness.apply(a_service("web", instances=2))
    offered(harness, A1)
    harness.run(*harness.launched())

    liked = Affinity(Constraint("rack", Operator.IS, "r2"), 50)
    prefer = Preferences((liked,), (Spread("rack"),), Strategy.SPREAD)
    harness.apply(a_service("web", instances=3, prefer=prefer))
    harness.pass_time(60.0)

    assert harness.kills() == []
    assert offered(harness, A1, A2) == [("web", "S-a2")]


def test_a_job_keeps_off_agents_where_another_runs() -> None:
    harness = connected()
    harness.apply(wanting("db"))
    offered(harness, A1)

    harness.apply(wanting("web", keeping_off("db.*")))

    assert offered(harness, A1) == []
    assert offered(harness, A1, A2) == [("web", "S-a2")]


def test_keeping_off_is_mutual_and_lasts_as_long_as_the_task() -> None:
    harness = connected()
    harness.apply(wanting("web", keeping_off("db")))
    offered(harness, A1)
    (task,) = harness.launched()
    harness.run(task)

    harness.apply(wanting("db"))
    assert offered(harness, A1) == []
    harness.stop("web")
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)

    assert offered(harness, A1) == [("db", "S-a1")]


def test_a_job_does_not_keep_off_itself() -> None:
    harness = connected()
    harness.apply(wanting("web", keeping_off(".*"), instances=2))

    assert offered(harness, A1) == [("web", "S-a1")] * 2


def test_a_job_follows_another_as_soon_as_that_runs() -> None:
    harness = connected()
    harness.apply(wanting("web", Constraint("@job", Operator.IS, "cache")))
    assert offered(harness, A1, A2) == []

    harness.apply(wanting("cache"))
    assert offered(harness, A1) == [("cache", "S-a1")]

    assert harness.calls_of(Revive, harness.pass_time(30.0)), "its agent's offer was turned down"
    assert offered(harness, A2) == []
    assert offered(harness, A1) == [("web", "S-a1")]


# --- whatever is asked for -----------------------------------------------------------------------

NAMES = [JobId(name) for name in ("db", "web", "web-2", "batch")]
plain = st.one_of(
    st.builds(Constraint, st.just("rack"), st.just(Operator.UNLIKE), st.sampled_from(["r1", "x"])),
    st.builds(Constraint, st.just("@zone"), st.just(Operator.IN), values=st.just(("z1", "z2"))),
    st.just(Combined(Junction.NOT, (Constraint("rack", Operator.IS, "r2"),))),
)
counted = st.one_of(
    st.builds(
        Constraint,
        st.sampled_from(["hostname", "rack", "@zone"]),
        st.sampled_from([Operator.UNIQUE, Operator.CLUSTER]),
    ),
    st.builds(
        Constraint,
        st.sampled_from(["hostname", "rack", "@zone"]),
        st.sampled_from([Operator.MAX_PER, Operator.GROUP_BY]),
        count=st.integers(1, 3),
    ),
)
others = st.builds(
    Constraint, st.just("@job"), st.just(Operator.UNLIKE), st.sampled_from(["db", "web.*"])
)
preferences = st.builds(
    Preferences,
    affinities=st.lists(st.builds(Affinity, plain, st.integers(-9, 9)), max_size=1).map(tuple),
    spread=st.lists(
        st.builds(Spread, st.sampled_from(["rack", "@zone", "hostname"])), max_size=1
    ).map(tuple),
    strategy=st.sampled_from(list(Strategy)),
)
specs = st.builds(
    lambda job, instances, cpus, constraints, prefer: a_service(
        job,
        instances=instances,
        template=a_template(cpus=cpus, constraints=tuple(constraints)),
        prefer=prefer,
    ),
    st.sampled_from(NAMES),
    st.integers(0, 6),
    st.sampled_from([500, 1000, 3000]),
    st.lists(st.one_of(plain, counted, others), max_size=2, unique=True),
    preferences,
)
cluster_agents = st.lists(
    st.builds(
        lambda number, rack, zone: AgentInfo(
            AgentId(f"S-{number}"), f"h{number}", "", rack, "", zone
        ),
        st.integers(0, 7),
        st.sampled_from([(), (("rack", "r1"),), (("rack", "r2"),), (("rack", "r3"),)]),
        st.sampled_from(["", "z1", "z2"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda agent: agent.agent_id,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(
    st.lists(specs, min_size=1, max_size=4, unique_by=lambda spec: spec.job),
    cluster_agents,
    st.lists(st.integers(0, 7), max_size=3),
    st.sampled_from([Budget(), Budget(rows=3, launches=2)]),
    st.booleans(),
)
def test_matching_is_total_never_over_commits_and_heeds_every_word(
    jobs: list[JobSpec],
    agents: list[AgentInfo],
    ending: list[int],
    budget: Budget,
    leader_changes: bool,
) -> None:
    harness = connected()
    harness.budget = budget
    for spec in jobs:
        harness.apply(spec)
    for _ in range(3):
        harness.pass_time(30.0)
        offers = [
            an_offer(f"{agent.agent_id}-{harness.mono}", agent, cpus=3000) for agent in agents
        ]
        check_total(harness, offers, harness.offer(*offers))
        check_reasons(harness, jobs)
        check_words(harness, jobs, {agent.agent_id: agent for agent in agents})
        for attempt in live_attempts(harness):
            harness.status(attempt.task_id, TaskState.RUNNING, agent=attempt.agent_id)
        for number in ending:
            end_one(harness, number)
        if leader_changes:
            harness = harness.restart()
            harness.budget = budget
            harness.subscribe()
            harness.answer_marker()


def live_attempts(harness: Harness) -> list[Attempt]:
    return [
        attempt
        for job in harness.engine.state.jobs.values()
        for instance in job.instances.values()
        for attempt in instance.live
    ]


def check_total(harness: Harness, offers: Sequence[Offer], calls: Sequence[object]) -> None:
    """Each offer is launched on or declined, once, and nothing is used that it does not hold."""
    answered: Counter[str] = Counter()
    for call in calls:
        match call:
            case Accept(offer_ids=offer_ids, launches=launches):
                answered.update(offer_ids)
                used = [offer for offer in offers if offer.offer_id in offer_ids]
                entries = [entry for offer in used for entry in offer.resources]
                pieces = [piece for launch in launches for piece in launch.resources]
                assert total(pieces) <= total(entries)
                assert {launch.agent_id for launch in launches} == {used[0].agent.agent_id}
            case Decline(offer_ids=offer_ids):
                answered.update(offer_ids)
            case _:
                pass
    assert answered == Counter(offer.offer_id for offer in offers)


def check_reasons(harness: Harness, jobs: Sequence[JobSpec]) -> None:
    """Each instance is placed, or waits: to be tried again at once (its budget ran out), or with
    reasons that count every offer."""
    groups = {waiting.job: waiting for waiting in harness.engine.queue}
    for spec in jobs:
        job = harness.engine.state.jobs[spec.job]
        waiting = groups.get(spec.job)
        active = len(waiting.active) if waiting is not None else 0
        backing_off = len(waiting.backoff) if waiting is not None else 0
        assert job.live + active + backing_off == spec.instances
        if waiting is not None and active and not waiting.awake:
            assert waiting.shortfall is not None
            assert sum(cause.rows for cause in waiting.shortfall.causes) == waiting.shortfall.rows


def check_words(
    harness: Harness, jobs: Sequence[JobSpec], agents: dict[AgentId, AgentInfo]
) -> None:
    live = {
        spec.job: [
            agents[attempt.agent_id]
            for instance in harness.engine.state.jobs[spec.job].instances.values()
            for attempt in instance.live
        ]
        for spec in jobs
    }
    for spec in jobs:
        for agent in live[spec.job]:
            tenants = [other for other in live if other != spec.job and agent in live[other]]
            for condition in spec.template.constraints:
                if not is_counted(condition):
                    assert admits(agent, condition, tenants), condition
        for condition in spec.template.constraints:
            if is_counted(condition):
                check_counted(condition, live[spec.job])


def check_counted(constraint: Condition, used: list[AgentInfo]) -> None:
    assert isinstance(constraint, Constraint)
    values = Counter(value_of(agent, constraint.attribute) for agent in used)
    assert None not in values
    most = max(values.values(), default=0)
    match constraint.operator:
        case Operator.UNIQUE:
            assert most <= 1
        case Operator.MAX_PER:
            assert most <= constraint.count
        case Operator.CLUSTER:
            assert len(values) <= 1
        case Operator.GROUP_BY if len(values) < constraint.count:
            assert most <= 1
        case _:
            pass


def end_one(harness: Harness, number: int) -> None:
    """One of the tasks that run now fails."""
    live = sorted(live_attempts(harness), key=lambda attempt: attempt.task_id)
    if live:
        attempt = live[number % len(live)]
        agent = attempt.agent_id
        harness.status(attempt.task_id, TaskState.FAILED, agent=agent, uuid=b"f" * 16)
