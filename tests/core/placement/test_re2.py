"""What is told of a regular expression in RE2's words never hides an agent that it would allow."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.placement.constraints import matches
from scheduler.core.placement.re2 import Sense, in_python, to_re2

ALPHABET = "ab09._-٣é\n"
pieces = st.sampled_from(
    [
        *(
            "a",
            "b",
            "0",
            "9",
            "_",
            "-",
            ".",
            r"\.",
            r"\d",
            r"\w",
            "[ab]",
            "[^a]",
            "[0-9]",
            "[a-b-]",
        ),
        *("(", "(?:", ")", "|", "*", "+", "?", "{2}", "{1,2}", "{0,}", "^", "$", r"\s", "[]", "é"),
    ]
)
patterns = st.lists(pieces, max_size=8).map("".join)
texts = st.text(ALPHABET, max_size=6)


@given(patterns, texts)
def test_the_wider_one_matches_all_that_the_expression_does(pattern: str, text: str) -> None:
    regex = to_re2(pattern, Sense.WIDER)
    if regex is not None and matches(pattern, text):
        assert re.fullmatch(in_python(regex), text)


@given(patterns, texts)
def test_the_narrower_one_matches_nothing_else(pattern: str, text: str) -> None:
    regex = to_re2(pattern, Sense.NARROWER)
    if regex is not None and re.fullmatch(in_python(regex), text):
        assert matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "regex"),
    [
        ("r[12]", "r[12]"),
        ("^r1$", "r1"),
        (r"node-\d+\.example\.com", r"node-[0-9]+\.example\.com"),
        ("(east|west)-[a-c]{1,2}", "(east|west)-[a-c]{1,2}"),
        (".*-ssd", ".*-ssd"),
    ],
)
def test_what_people_write_is_translated(pattern: str, regex: str) -> None:
    assert to_re2(pattern, Sense.NARROWER) == regex


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bx",
        r"(?i)r1",
        "(?=a)b",
        r"(a)\1",
        "a{,3}",
        "a*+",
        "^a|b$",
        "[[:alpha:]]",
        "a" * 81,
        "(",
        "é",
    ],
)
def test_of_what_differs_or_is_too_large_nothing_is_said(pattern: str) -> None:
    assert to_re2(pattern, Sense.WIDER) is None
