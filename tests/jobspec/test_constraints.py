"""Constraints as text, and the bound on what an expression may cost."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.model.job import Constraint, Operator
from scheduler.jobspec.constraints import check_expression, constraint_value, parse_constraint
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
]


@pytest.mark.parametrize(("text", "constraint"), GOOD)
def test_a_constraint_is_read_and_written(text: str, constraint: Constraint) -> None:
    assert parse_constraint(text) == constraint
    assert constraint_value(constraint) == text


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
