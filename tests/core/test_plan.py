"""What declaring jobs would do, told without doing it."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.events import AgentsListed, TaskState
from scheduler.core.model.ids import Role
from scheduler.core.model.job import Constraint, JobSpec, Operator, Port
from scheduler.core.model.offer import AgentSeen, Offer
from scheduler.core.model.resources import Amounts
from scheduler.core.plan import AGENTS_SHOWN_MAX, plan
from scheduler.core.waiting_views import PlannedView, PlanView
from tests.builders import a_batch, a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected, running

UNIQUE = Constraint("hostname", Operator.UNIQUE)


def planned(harness: Harness, *specs: JobSpec) -> PlanView:
    before = (len(harness.calls), dict(harness.stored))
    view = plan(harness.engine.views.plan_question(specs))
    assert (len(harness.calls), harness.stored) == before
    return view


def plan_of(harness: Harness, spec: JobSpec) -> PlannedView:
    [view] = planned(harness, spec).jobs
    return view


def todo(view: PlannedView) -> tuple[int, int, int, int]:
    return view.keep, view.add, view.replace, view.stop


def with_agents(*names: str, cpus: int = 4000) -> Harness:
    """A cluster that only the master's list has shown."""
    harness = connected()
    total = Amounts(cpus, 4_096_000, 10_000_000, 0)
    seen = [AgentSeen(an_agent(name), True, total, Amounts(), Amounts()) for name in names]
    harness.handle(AgentsListed(tuple(seen)))
    return harness


def test_a_new_job_is_placed_on_agents_that_are_not_on_offer() -> None:
    harness = with_agents("a1", "a2")
    view = plan_of(harness, a_service(instances=6))
    assert (view.result, view.version, todo(view)) == ("new", None, (0, 6, 0, 0))
    assert (view.placed, view.missing) == (6, 0)
    assert sorted((one.hostname, one.takes, one.on_offer) for one in view.agents) == [
        ("a1", 4, False),
        ("a2", 2, False),
    ]


def test_what_has_no_room_says_why_and_each_agent_its_verdict() -> None:
    harness = with_agents("a1", "a2")
    view = plan_of(harness, a_service(instances=3, template=a_template(cpus=3000)))
    assert (view.placed, view.missing) == (2, 1)
    assert [(one.reason, one.agents, one.short) for one in view.reasons] == [("cpus", 2, 2.0)]
    assert view.text == "start 3; no room for 1: 2 agents: 2 lack cpus (the best by 2)"
    rack = a_template(constraints=(Constraint("rack", Operator.IS, "r1"),))
    view = plan_of(harness, a_service(template=rack))
    assert {(one.takes, one.reason) for one in view.agents} == {(0, "attribute_missing")}


def test_jobs_of_one_plan_leave_each_other_no_more_than_there_is() -> None:
    harness = with_agents("a1")
    small = a_template(cpus=1000)
    view = planned(
        harness,
        a_service("low", instances=3, template=small, priority=10),
        a_service("high", instances=3, template=small, priority=90),
    )
    assert [(job.job, job.placed, job.missing) for job in view.jobs] == [
        ("low", 1, 2),
        ("high", 3, 0),
    ]


def test_an_unchanged_job_has_nothing_to_do() -> None:
    harness, _ = running(a_service(instances=2))
    view = plan_of(harness, a_service(instances=2))
    assert (view.result, view.version, todo(view)) == ("unchanged", 1, (2, 0, 0, 0))
    assert (view.text, view.agents) == ("keep 2", ())


def test_what_waits_already_and_does_not_change_is_no_change() -> None:
    harness = connected()
    harness.apply(a_service(instances=2))
    view = plan_of(harness, a_service(instances=2))
    assert (view.result, todo(view)) == ("unchanged", (0, 2, 0, 0))
    harness.stop("web")
    assert plan_of(harness, a_service(instances=2)).result == "changed"


def test_scaling_adds_and_stops() -> None:
    harness, _ = running(a_service(instances=2))
    assert todo(plan_of(harness, a_service(instances=3))) == (2, 1, 0, 0)
    view = plan_of(harness, a_service(instances=1))
    assert (view.result, todo(view)) == ("changed", (1, 0, 0, 1))


def test_a_new_template_replaces_and_may_use_what_the_old_tasks_had() -> None:
    harness, _ = running(a_service(instances=4))
    template = a_template(line="other", cpus=1000, ports=(Port("http"),))
    view = plan_of(harness, a_service(instances=4, template=template))
    assert (view.result, todo(view)) == ("changed", (0, 0, 4, 0))
    assert (view.placed, view.missing) == (4, 0)
    larger = plan_of(harness, a_service(instances=4, template=a_template(cpus=2000)))
    assert (larger.placed, larger.missing) == (2, 2)


def test_hosts_of_tasks_that_stay_are_taken() -> None:
    harness, _ = running(a_service(instances=1, template=a_template(constraints=(UNIQUE,))))
    view = plan_of(harness, a_service(instances=2, template=a_template(constraints=(UNIQUE,))))
    assert (view.placed, view.missing) == (0, 1)
    assert [one.reason for one in view.reasons] == ["host_taken"]


def test_a_batch_keeps_what_runs_and_what_finished() -> None:
    harness, tasks = running(a_batch(instances=3))
    harness.status(tasks[0], TaskState.FINISHED, uuid=b"f" * 16)
    assert todo(plan_of(harness, a_batch(instances=4))) == (3, 1, 0, 0)
    other = a_batch(instances=4, template=a_template(line="other"))
    assert todo(plan_of(harness, other)) == (3, 1, 0, 0)
    for task in tasks[1:]:
        harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    assert todo(plan_of(harness, other)) == (0, 4, 0, 0)


def test_what_would_not_be_taken_is_refused_with_the_reason() -> None:
    harness, _ = running(a_service())
    view = plan_of(harness, a_batch("web"))
    assert (view.result, todo(view)) == ("refused", (0, 0, 0, 0))
    assert view.detail == "the job is a service; delete it before it becomes a batch"
    stranger = plan_of(harness, a_service("x", template=a_template(role=Role("nobody"))))
    assert stranger.result == "refused"


def test_who_waits_ahead_is_counted() -> None:
    harness = with_agents("a1")
    harness.apply(a_service("big", template=a_template(cpus=9000)))
    harness.apply(a_service("small", priority=10, template=a_template(cpus=9000)))
    assert plan_of(harness, a_service()).ahead == 1
    assert plan_of(harness, a_service(priority=5)).ahead == 2


def test_what_other_frameworks_have_or_reserve_is_not_there() -> None:
    harness = connected()
    total = Amounts(8000, 4_096_000, 10_000_000, 0)
    reserved = ((Role("ops"), Amounts(2000)),)
    one = AgentSeen(an_agent("a1"), True, total, Amounts(3000), Amounts(1000), reserved)
    dead = AgentSeen(an_agent("a2"), False, total, Amounts(), Amounts())
    harness.handle(AgentsListed((one, dead)))
    view = plan_of(harness, a_service(instances=4))
    assert (view.placed, view.missing) == (2, 2)
    assert [(one.hostname, one.takes) for one in view.agents] == [("a1", 2), ("a2", 0)]


def test_ports_are_those_of_the_last_offer() -> None:
    harness = connected()
    harness.apply(a_service("big", template=a_template(cpus=9000)))
    harness.offer(an_offer("o1", ports=((31000, 31000),)))
    template = a_template(ports=(Port("http"),))
    view = plan_of(harness, a_service(instances=2, template=template))
    assert (view.placed, view.missing) == (1, 1)


def test_few_of_many_agents_are_shown_and_those_that_take_some_first() -> None:
    harness = with_agents(*(f"a{number:03}" for number in range(2 * AGENTS_SHOWN_MAX)))
    here = a_template(constraints=(Constraint("hostname", Operator.IS, "a150"),))
    view = plan_of(harness, a_service(template=here))
    assert len(view.agents) == AGENTS_SHOWN_MAX
    assert (view.agents[0].hostname, view.agents[0].takes) == ("a150", 1)
    assert view.placed == 1


def test_without_a_master_the_plan_says_so() -> None:
    harness = with_agents("a1")
    harness.disconnect()
    view = planned(harness, a_service())
    assert (view.connected, view.agents, view.jobs[0].placed) == (False, 1, 1)


JOBS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from([500, 1000, 3000]),
        st.sampled_from([10, 50]),
        st.sampled_from(["", "unique", "a1", "port"]),
    ),
    min_size=1,
    max_size=4,
)


def a_spec(at: int, instances: int, cpus: int, priority: int, kind: str) -> JobSpec:
    here = Constraint("hostname", Operator.IS, kind)
    constraints = {"unique": (UNIQUE,), "a1": (here,)}.get(kind, ())
    ports = (Port("p", 31000),) if kind == "port" else ()
    template = a_template(cpus=cpus, constraints=constraints, ports=ports)
    return a_service(f"job-{at}", instances=instances, priority=priority, template=template)


def offers(kind: str, sizes: list[int]) -> list[Offer]:
    """One of each agent; no two are equally full at any time, as it is chance which is taken."""
    return [
        an_offer(f"{kind}-{at}", an_agent(f"a{at}"), cpus=cpus, mem=4_096_000 + at)
        for at, cpus in enumerate(sizes)
    ]


def hosts_of(harness: Harness, spec: JobSpec) -> list[str]:
    instances = harness.engine.state.jobs[spec.job].instances.values()
    return [attempt.hostname for instance in instances for attempt in instance.live]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(jobs=JOBS, sizes=st.lists(st.sampled_from([500, 2000, 4500]), min_size=1, max_size=3))
def test_a_plan_comes_true_when_the_same_is_offered(
    jobs: list[tuple[int, int, int, str]], sizes: list[int]
) -> None:
    harness = connected()
    specs = [a_spec(at, *job) for at, job in enumerate(jobs)]
    harness.offer(*offers("seen", sizes))
    view = planned(harness, *specs)
    for spec in specs:
        harness.apply(spec)
    harness.offer(*offers("again", sizes))
    live = [harness.engine.state.jobs[spec.job].live for spec in specs]
    assert [job.placed for job in view.jobs] == live
    for spec, job in zip(specs, view.jobs, strict=True):
        takes = {one.hostname: one.takes for one in job.agents if one.takes}
        assert takes == Counter(hosts_of(harness, spec))
