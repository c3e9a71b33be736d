"""What offers need to have, as told to the master: never so much that a useful one is hidden."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.job import Combined, Condition, Constraint, Junction, Operator, Template
from scheduler.core.model.needs import AttributeTest, Needs, Predicate, at_most
from scheduler.core.model.offer import AgentInfo
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.constraints import satisfies, value_of
from scheduler.core.placement.needs import CLAUSES_MAX, JOBS_MAX, hides, needs_of
from scheduler.core.placement.re2 import in_python
from tests.builders import a_template
from tests.core.placement import values

RACK_1 = Constraint("rack", Operator.IS, "r1")
RACK_2 = Constraint("rack", Operator.IS, "r2")
ZONE_A = Constraint("@zone", Operator.IS, "a")
MANY = tuple(f"v{number}" for number in range(CLAUSES_MAX + 1))


def of(*constraints: Condition) -> Template:
    return a_template(constraints=constraints)


def groups(*templates: Template) -> list[list[str]]:
    return [[str(test) for test in group] for group in needs_of(templates, 100).groups]


# --- as the master judges it ---------------------------------------------------------------------


def holds(agent: AgentInfo, test: AttributeTest) -> bool:
    value = value_of(agent, test.attribute)
    match test.test:
        case Predicate.EXISTS:
            return value is not None
        case Predicate.NOT_EXISTS:
            return value is None
        case Predicate.EQUALS:
            return value == test.text
        case Predicate.NOT_EQUALS:
            return value != test.text
        case Predicate.MATCHES:
            return value is not None and bool(re.fullmatch(in_python(test.text), value))
        case Predicate.NOT_MATCHES:
            return value is None or not re.fullmatch(in_python(test.text), value)


def admits(needs: Needs, agent: AgentInfo) -> bool:
    return not needs.groups or any(
        all(holds(agent, test) for test in group) for group in needs.groups
    )


jobs = st.lists(
    st.lists(values.conditions, max_size=3).map(lambda conditions: of(*conditions)),
    min_size=1,
    max_size=4,
)


@values.unhurried
@given(values.agents, jobs, st.integers(0, 6))
def test_no_agent_is_hidden_on_which_a_job_may_run(
    agent: AgentInfo, templates: list[Template], groups_max: int
) -> None:
    needs = needs_of(templates, groups_max)
    assert len(needs.groups) <= groups_max
    if any(all(satisfies(agent, one) for one in each.constraints) for each in templates):
        assert admits(needs, agent)


@given(
    st.lists(
        st.builds(Amounts, *[st.integers(0, 20)] * 5),
        min_size=1,
        max_size=80,
    )
)
def test_no_offer_is_too_small_that_holds_an_instance(amounts: list[Amounts]) -> None:
    """Of an agent the master counts whatever has one name together, revocable or not."""
    templates = [msgspec.structs.replace(a_template(), amounts=one) for one in amounts]
    minimums = needs_of(templates, 100).minimums
    assert 1 <= len(minimums) <= 4
    assert not any(least.revocable_cpus for least in minimums)
    for one in amounts:
        seen = Amounts(one.cpus + one.revocable_cpus, one.mem, one.disk, one.gpus)
        assert any(at_most(least, seen) for least in minimums)


def test_an_agent_is_not_taken_for_hidden_whose_cpus_are_revocable() -> None:
    needs = needs_of([a_template(cpus=0, revocable_cpus=2000)], 100)
    assert needs.minimums == (Amounts(cpus=1792, mem=114_688),)
    free = Amounts(cpus=500, mem=200_000, revocable_cpus=1500)
    assert not hides(needs, values.agent("a"), free)
    assert hides(needs, values.agent("a"), msgspec.structs.replace(free, revocable_cpus=1000))


@values.unhurried
@given(values.agents, jobs, jobs)
def test_needs_that_cover_others_admit_whatever_those_do(
    agent: AgentInfo, some: list[Template], others: list[Template]
) -> None:
    wider, needs = needs_of([*some, *others], 10_000), needs_of(some, 10_000)
    if wider.covers(needs) and admits(needs, agent):
        assert admits(wider, agent)


def test_needs_are_covered_by_those_with_more_alternatives() -> None:
    both = needs_of([of(RACK_1), of(RACK_2)], 100)
    assert both.covers(needs_of([of(RACK_1, ZONE_A)], 100))
    assert not needs_of([of(RACK_1)], 100).covers(both)
    assert not both.covers(needs_of([of(RACK_1), a_template(cpus=10)], 100))


# --- in words ------------------------------------------------------------------------------------


def test_a_job_is_one_group_of_what_must_all_hold() -> None:
    assert groups(of(RACK_1, ZONE_A)) == [["@zone equals a", "rack equals r1"]]


def test_jobs_are_alternatives() -> None:
    assert groups(of(RACK_1), of(ZONE_A)) == [["@zone equals a"], ["rack equals r1"]]


def test_a_job_that_may_run_anywhere_lifts_the_constraints_of_its_role() -> None:
    assert groups(of(RACK_1), of()) == []
    assert groups(of(RACK_1), of(Constraint("@job", Operator.UNLIKE, "db"))) == []
    assert groups(of(RACK_1), of(Constraint("hostname", Operator.UNIQUE))) == []


def test_combined_conditions_are_taken_apart() -> None:
    either = Combined(Junction.ANY, (RACK_1, RACK_2))
    neither = Combined(Junction.NOT, (RACK_1, RACK_2))
    assert groups(of(ZONE_A, either)) == [
        ["@zone equals a", "rack equals r1"],
        ["@zone equals a", "rack equals r2"],
    ]
    assert groups(of(neither)) == [["rack not equals r1", "rack not equals r2"]]


def test_what_is_compared_or_counted_needs_at_least_to_be_there() -> None:
    assert groups(of(Constraint("kernel", Operator.AT_LEAST, "5.10"))) == [["kernel exists"]]
    assert groups(of(Constraint("rack", Operator.MAX_PER, count=2))) == [["rack exists"]]


def test_too_many_alternatives_are_said_wider() -> None:
    assert groups(of(Constraint("rack", Operator.IN, values=MANY))) == []
    half = Constraint("rack", Operator.IN, values=MANY[:40])
    other = Constraint("zone", Operator.IN, values=MANY[:30])
    assert len(groups(of(half, other))) == 30
    assert needs_of([of(half)], groups_max=39).groups == ()


def test_expressions_are_told_where_re2_has_the_same() -> None:
    assert groups(of(Constraint("rack", Operator.LIKE, "r[12]"))) == [["rack matches r[12]"]]
    assert groups(of(Constraint("rack", Operator.UNLIKE, "r[12]"))) == [["rack not matches r[12]"]]
    assert groups(of(Constraint("rack", Operator.LIKE, "(?i)r1"))) == [["rack exists"]]
    assert groups(of(Constraint("rack", Operator.UNLIKE, "(?i)r1"))) == []


def test_of_too_many_jobs_nothing_is_told() -> None:
    assert needs_of([of(RACK_1)] * JOBS_MAX, 100).groups
    assert needs_of([of(RACK_1)] * (JOBS_MAX + 1), 100) == Needs()


def test_minimums_are_rounded_down_so_that_they_seldom_change() -> None:
    first = needs_of([a_template(cpus=1000, mem=128_000)], 100)
    assert first.minimums == (Amounts(cpus=896, mem=114_688),)
    assert needs_of([a_template(cpus=990, mem=120_000)], 100) == first


def test_a_task_of_nothing_asks_for_no_minimum() -> None:
    assert needs_of([a_template(cpus=0, mem=0), a_template()], 100).minimums == (Amounts(),)
