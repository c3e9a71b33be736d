"""Constraints as text, and the bound on what an expression may cost."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.model.job import Affinity, Combined, Condition, Constraint, Junction, Operator
from scheduler.jobspec.constraints import (
    affinity_value,
    condition_value,
    parse_affinity,
    parse_condition,
    parse_constraint,
)
from scheduler.jobspec.expressions import check_expression
from scheduler.jobspec.problems import Wrong
from tests.jobspec.documents import unhurried

GOOD = [
    ("hostname unique", Constraint("hostname", Operator.UNIQUE)),
    ("rack like r[12]", Constraint("rack", Operator.LIKE, "r[12]")),
    ("@region is eu", Constraint("@region", Operator.IS, "eu")),
    ("@zone is eu-1", Constraint("@zone", Operator.IS, "eu-1")),
    ("hostname like web-[0-9]+[.]eu", Constraint("hostname", Operator.LIKE, "web-[0-9]+[.]eu")),
    ("disk.kind is solid  state", Constraint("disk.kind", Operator.IS, "solid  state")),
    ("gen is [1-2]", Constraint("gen", Operator.IS, "[1-2]")),
    ("os unlike win.*", Constraint("os", Operator.UNLIKE, "win.*")),
    ("disk in [ssd, nvme 2]", Constraint("disk", Operator.IN, values=("ssd", "nvme 2"))),
    ("kernel >= 5.10", Constraint("kernel", Operator.AT_LEAST, "5.10")),
    ("cores < 8", Constraint("cores", Operator.LESS, "8")),
    ("rack unique", Constraint("rack", Operator.UNIQUE)),
    ("rack max_per 2", Constraint("rack", Operator.MAX_PER, count=2)),
    ("@zone cluster", Constraint("@zone", Operator.CLUSTER)),
    ("zone group_by", Constraint("zone", Operator.GROUP_BY)),
    ("zone group_by 3", Constraint("zone", Operator.GROUP_BY, count=3)),
    ("@job unlike team/db", Constraint("@job", Operator.UNLIKE, "team/db")),
    ("@agent is S-1", Constraint("@agent", Operator.IS, "S-1")),
]


@pytest.mark.parametrize(("text", "constraint"), GOOD)
def test_a_constraint_is_read_and_written(text: str, constraint: Constraint) -> None:
    assert parse_condition(text) == constraint
    assert condition_value(constraint) == text


def test_a_cluster_with_a_value_is_an_is() -> None:
    assert parse_constraint("zone cluster a") == Constraint("zone", Operator.IS, "a")


IN_EU = Constraint("@region", Operator.IS, "eu")
OLD = Constraint("kernel", Operator.LESS, "5")
COMBINED = [
    ({"any": ["@region is eu", "kernel < 5"]}, Combined(Junction.ANY, (IN_EU, OLD))),
    ({"not": "kernel < 5"}, Combined(Junction.NOT, (OLD,))),
    ({"not": ["kernel < 5", "@region is eu"]}, Combined(Junction.NOT, (OLD, IN_EU))),
    (
        {"all": ["@region is eu", {"not": {"any": ["kernel < 5"]}}]},
        Combined(
            Junction.ALL,
            (IN_EU, Combined(Junction.NOT, (Combined(Junction.ANY, (OLD,)),))),
        ),
    ),
]


@pytest.mark.parametrize(("value", "condition"), COMBINED)
def test_a_combination_is_read_and_written(value: object, condition: Condition) -> None:
    assert parse_condition(value) == condition
    assert condition_value(condition) == value


@pytest.mark.parametrize(
    ("value", "affinity"),
    [
        ("kernel < 5 weight -100", Affinity(OLD, -100)),
        (
            {"not": "kernel < 5", "weight": 7},
            Affinity(Combined(Junction.NOT, (OLD,)), 7),
        ),
        (
            "name is a weight 3 weight 4",
            Affinity(Constraint("name", Operator.IS, "a weight 3"), 4),
        ),
    ],
)
def test_an_affinity_is_read_and_written(value: object, affinity: Affinity) -> None:
    assert parse_affinity(value) == affinity
    assert affinity_value(affinity) == value


def test_an_affinity_without_a_weight_has_the_usual_one() -> None:
    assert parse_affinity("kernel < 5") == Affinity(OLD, 50)


def test_white_space_around_the_words_does_not_count() -> None:
    assert parse_constraint("  rack   is  a b ") == Constraint("rack", Operator.IS, "a b")


@pytest.mark.parametrize(
    "expression",
    [
        *("r[12]", "r(1|2)", "(a|b)c+", "web-\\d{1,3}", "(?:eu|us)-.*", "[(+]+", "[]*+]", "a{3}"),
        *("(ab){2}c", "\\(a+\\)+", "[^]a]*"),
    ],
)
def test_ordinary_expressions_are_taken(expression: str) -> None:
    check_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
        *("(a+)+", "(a|a)*", "(a*){2,}", "((a?)b)*", "(?:a+)*", "(.*)\\1", "(?=a)b", "(?P<n>a)"),
        *("a*a*a*a*", "a+a+a+(){255}", "[a", "*", "(", "a{2,1}", "x" * 201, "(?i)a", "(a+){30}"),
        *("(a|a)" * 25, "a?" * 30, "(a|b)[ab]*[ab]*[ab]*", "[^]", "[]"),
        *("((){255}){255}", "a{256}", "(){4000000000}", "a{0,999}"),
        *("[[a]", "[a--b]", "[a||b]"),
    ],
)
def test_expressions_that_are_wrong_or_could_take_long_are_refused(expression: str) -> None:
    with pytest.raises(Wrong):
        check_expression(expression)


@given(
    st.lists(
        st.sampled_from([*"ab.*+?|()[]{},\\12^$:-", "()", "{255}", "{2}", "(a|", "(?:"]),
        max_size=14,
    ).map("".join)
)
@settings(unhurried, max_examples=1000)
def test_every_expression_that_is_taken_is_matched_quickly(expression: str) -> None:
    try:
        check_expression(expression)
    except Wrong:
        return
    compiled = re.compile(expression)
    started = time.process_time()
    for text in ("a" * 255 + "!", "ab" * 127 + "!", "." * 255):
        compiled.fullmatch(text)
    assert time.process_time() - started < 2
