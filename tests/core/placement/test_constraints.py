"""Constraints, one agent at a time and over all rows at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.ids import AgentId, JobId, OfferId
from scheduler.core.model.job import Combined, Condition, Constraint, Junction, Operator
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.placement.constraints import JOB, compared, satisfies, text_of, value_of
from scheduler.core.placement.filters import about_jobs, admitting, names
from scheduler.core.placement.rows import Rows
from tests.core.placement import obvious, values
from tests.core.placement.values import WEB, agent, unhurried

IS, IN, LIKE, UNLIKE, UNIQUE = (
    Operator.IS,
    Operator.IN,
    Operator.LIKE,
    Operator.UNLIKE,
    Operator.UNIQUE,
)
ATTRIBUTES = (("rack", "r1"), ("rack", "r2"), ("kernel", "5.10.0-8-amd64"))
AGENT = AgentInfo(AgentId("a"), "h1.dc", "", ATTRIBUTES, "east", "")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("hostname", "h1.dc"), ("@region", "east"), ("@zone", None), ("rack", "r1"), ("os", None)],
)
def test_the_value_is_the_first_of_that_name(attribute: str, value: str | None) -> None:
    assert value_of(AGENT, attribute) == value


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (Constraint("rack", IS, "r1"), True),
        (Constraint("rack", IS, "r"), False),
        (Constraint("rack", LIKE, "r"), False),
        (Constraint("rack", LIKE, "r[0-9]"), True),
        (Constraint("rack", LIKE, "r1|x"), True),
        (Constraint("os", IS, ""), False),
        (Constraint("os", LIKE, ".*"), False),
        (Constraint("@zone", LIKE, ".*"), False),
        (Constraint("rack", LIKE, "("), False),
        (Constraint("rack", UNLIKE, "r[0-9]"), False),
        (Constraint("rack", UNLIKE, "x.*"), True),
        (Constraint("rack", UNLIKE, "("), True),
        (Constraint("os", UNLIKE, ".*"), True),
        (Constraint("rack", IN, values=("r2", "r1")), True),
        (Constraint("rack", IN, values=("r2",)), False),
        (Constraint("os", IN, values=("",)), False),
        (Constraint("@agent", IS, "a"), True),
        (Constraint("kernel", Operator.AT_LEAST, "5.10"), True),
        (Constraint("kernel", Operator.LESS, "5.10"), False),
        (Constraint("os", Operator.LESS, "5.10"), False),
        (Constraint("hostname", UNIQUE), False),
    ],
)
def test_operators_compare_whole_values_and_a_missing_one_is_only_unlike(
    constraint: Constraint, expected: bool
) -> None:
    assert satisfies(AGENT, constraint) is expected


@pytest.mark.parametrize(
    ("value", "bound", "expected"),
    [
        ("8", "16", -1),
        ("8", "8.0", 0),
        ("2.5", "2.10", 1),
        ("-3", "2", -1),
        ("1.10.1", "1.9.3", 1),
        ("5.10.0-8-amd64", "5.10", 0),
        ("5.10.1-8-amd64", "5.10", 1),
        ("v2.1.0", "2", 1),
        ("0.0", "v0", 0),
        ("fast", "1", None),
        ("1", "", None),
        ("1" * 30, "2", None),
    ],
)
def test_numbers_compare_as_numbers_and_the_rest_as_versions(
    value: str, bound: str, expected: int | None
) -> None:
    assert compared(value, bound) == expected
    assert compared(bound, value) == (None if expected is None else -expected)


@unhurried
@given(
    st.lists(st.lists(values.agents, max_size=6), max_size=4),
    st.lists(values.conditions, min_size=1, max_size=4),
)
def test_masks_agree_with_the_obvious_model_while_agents_come_go_and_change(
    bursts: list[list[AgentInfo]], asked: list[Condition]
) -> None:
    rows = Rows()
    number = 0
    for burst in bursts:
        for row in rows.by_role(WEB)[::2]:
            rows.pop(row)
        for info in burst:
            rows.add(Offer(OfferId(f"o{number}"), WEB, info, ()))
            number += 1
        rows.sync()
        for condition in asked:
            mask = admitting(rows, condition, {})
            for row in rows.by_role(WEB):
                info = rows[row].agent
                assert mask[row] == obvious.admits(info, condition)
                assert mask[row] == satisfies(info, condition)


jobs = st.sampled_from([JobId("db"), JobId("db-2"), JobId("team/cache")])
about_job = st.one_of(
    st.builds(Constraint, st.just(JOB), st.just(Operator.IS), jobs),
    st.builds(
        Constraint,
        st.just(JOB),
        st.sampled_from([Operator.LIKE, Operator.UNLIKE]),
        st.sampled_from(["db.*", "team/.*", "("]),
    ),
    st.builds(
        Constraint, st.just(JOB), st.just(Operator.IN), values=st.lists(jobs, max_size=2).map(tuple)
    ),
)


@unhurried
@given(
    st.lists(values.agents, max_size=6, unique_by=lambda info: info.agent_id),
    st.dictionaries(jobs, st.frozensets(st.sampled_from([f"a{n}" for n in range(6)])), max_size=3),
    st.lists(values.conditions_of(about_job), min_size=1, max_size=4),
)
def test_other_jobs_are_values_that_an_agent_may_have_many_of(
    agents: list[AgentInfo], runs_on: dict[JobId, frozenset[str]], asked: list[Condition]
) -> None:
    rows = Rows()
    for info in agents:
        rows.add(Offer(OfferId(info.agent_id), WEB, info, ()))
    rows.sync()
    for condition in asked:
        company = {
            leaf: {
                AgentId(agent_id)
                for job, agent_ids in runs_on.items()
                for agent_id in agent_ids
                if names(leaf, job)
            }
            for leaf in about_jobs(condition)
        }
        mask = admitting(rows, condition, company)
        for row in rows.by_role(WEB):
            info = rows[row].agent
            tenants = [job for job, agent_ids in runs_on.items() if info.agent_id in agent_ids]
            assert mask[row] == obvious.admits(info, condition, tenants)
            assert mask[row] == satisfies(info, condition, tenants)


def test_values_of_agents_long_gone_are_forgotten() -> None:
    rows = Rows()
    is_old, is_new = Constraint("n", IS, "0"), Constraint("n", IS, "2999")
    for number in range(3000):
        at = rows.add(Offer(OfferId(str(number)), WEB, agent("a", n=str(number)), ()))
        rows.sync()
        assert rows.satisfying(is_old)[at] == (number == 0)
        assert rows.satisfying(is_new)[at] == (number == 2999)
        rows.pop(at)


def test_many_attributes_and_patterns_stay_right_when_the_oldest_are_dropped() -> None:
    rows = Rows()
    names = [f"n{number}" for number in range(200)]
    at = rows.add(Offer(OfferId("o"), WEB, agent("a", **dict.fromkeys(names, "yes")), ()))
    rows.sync()
    for name in names + names:
        assert rows.satisfying(Constraint(name, IS, "yes"))[at]
    for number in range(600):
        assert rows.satisfying(Constraint("n0", LIKE, f"yes|{number}"))[at]
        assert not rows.satisfying(Constraint("n0", LIKE, f"no|{number}"))[at]


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Constraint("rack", IS, "r1"), "rack is r1"),
        (Constraint("disk", IN, values=("ssd", "nvme")), "disk in [ssd, nvme]"),
        (Constraint("kernel", Operator.AT_LEAST, "5.10"), "kernel >= 5.10"),
        (Constraint("hostname", UNIQUE), "hostname unique"),
        (Constraint("rack", Operator.MAX_PER, count=2), "rack max_per 2"),
        (Constraint("rack", Operator.GROUP_BY), "rack group_by"),
        (
            Combined(
                Junction.ANY,
                (
                    Constraint("rack", IS, "r1"),
                    Combined(Junction.NOT, (Constraint("os", LIKE, "w.*"),)),
                ),
            ),
            "(rack is r1 or not (os like w.*))",
        ),
    ],
)
def test_a_condition_reads_as_one_would_say_it(condition: Condition, text: str) -> None:
    assert text_of(condition) == text
