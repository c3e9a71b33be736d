"""Constraints, one agent at a time and over all rows at once."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.ids import AgentId, OfferId
from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.placement.constraints import satisfies, text_of, value_of
from scheduler.core.placement.rows import Rows
from tests.core.placement import values
from tests.core.placement.values import WEB, agent, unhurried

IS, LIKE, UNIQUE = Operator.IS, Operator.LIKE, Operator.UNIQUE
AGENT = AgentInfo(AgentId("a"), "h1.dc", "", (("rack", "r1"), ("rack", "r2")), "east", "")


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
        (Constraint("hostname", UNIQUE), True),
        (Constraint("rack", UNIQUE), False),
    ],
)
def test_operators_compare_whole_values_and_nothing_matches_a_missing_one(
    constraint: Constraint, expected: bool
) -> None:
    assert satisfies(AGENT, constraint) is expected


def test_unique_refuses_a_host_that_is_taken() -> None:
    assert not satisfies(AGENT, Constraint("hostname", UNIQUE), {"h1.dc"})
    assert satisfies(AGENT, Constraint("hostname", UNIQUE), {"h2.dc"})


def obvious(info: AgentInfo, constraint: Constraint, taken: frozenset[str]) -> bool:
    """The rules once more, written without the code under test."""
    known = {"hostname": [info.hostname], "@region": [info.region], "@zone": [info.zone]}
    found = known.get(constraint.attribute)
    if found is None:
        found = [text for name, text in info.attributes if name == constraint.attribute]
    elif constraint.attribute != "hostname":
        found = [text for text in found if text]
    if not found:
        return False
    if constraint.operator is UNIQUE:
        return constraint.attribute == "hostname" and found[0] not in taken
    if constraint.operator is IS:
        return found[0] == constraint.value
    try:
        return re.fullmatch(constraint.value, found[0]) is not None
    except re.error:
        return False


@unhurried
@given(
    st.lists(st.lists(values.agents, max_size=6), max_size=4),
    st.lists(values.constraints, min_size=1, max_size=4),
    st.frozensets(st.sampled_from(["h0", "h1", "nowhere"])),
)
def test_masks_agree_with_the_obvious_model_while_agents_come_go_and_change(
    bursts: list[list[AgentInfo]], asked: list[Constraint], taken: frozenset[str]
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
        for constraint in asked:
            mask = rows.satisfying(constraint, taken)
            for row in rows.by_role(WEB):
                info = rows[row].agent
                assert mask[row] == obvious(info, constraint, taken)
                assert mask[row] == satisfies(info, constraint, taken)


def test_values_of_agents_long_gone_are_forgotten() -> None:
    rows = Rows()
    is_old, is_new = Constraint("n", IS, "0"), Constraint("n", IS, "2999")
    for number in range(3000):
        at = rows.add(Offer(OfferId(str(number)), WEB, agent("a", n=str(number)), ()))
        rows.sync()
        assert rows.satisfying(is_old, frozenset())[at] == (number == 0)
        assert rows.satisfying(is_new, frozenset())[at] == (number == 2999)
        rows.pop(at)


def test_many_attributes_and_patterns_stay_right_when_the_oldest_are_dropped() -> None:
    rows = Rows()
    names = [f"n{number}" for number in range(200)]
    at = rows.add(Offer(OfferId("o"), WEB, agent("a", **dict.fromkeys(names, "yes")), ()))
    rows.sync()
    for name in names + names:
        assert rows.satisfying(Constraint(name, IS, "yes"), frozenset())[at]
    for number in range(600):
        assert rows.satisfying(Constraint("n0", LIKE, f"yes|{number}"), frozenset())[at]
        assert not rows.satisfying(Constraint("n0", LIKE, f"no|{number}"), frozenset())[at]


def test_a_constraint_reads_as_it_was_written() -> None:
    assert text_of(Constraint("rack", IS, "r1")) == "rack is r1"
    assert text_of(Constraint("hostname", UNIQUE)) == "hostname unique"
