"""YAML 1.2 scalars, lines of values, and the bounds of what is taken in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.yaml_text import yaml_text
from scheduler.jobspec.yaml_lines import (
    DEPTH_MAX,
    DOCUMENT_NODES_MAX,
    FILE_BYTES_MAX,
    NODES_MAX,
    Document,
    read_documents,
)
from scheduler.yaml_scalars import resolve_plain
from tests.jobspec.documents import unhurried


def only_document(text: str) -> Document:
    reading = read_documents(text)
    assert reading.broken is None
    ((document, findings),) = reading.documents
    assert findings == ()
    return document


def broken(text: str) -> str:
    found = read_documents(text).broken
    assert found is not None
    return f"{found.line}: {found.text}"


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "off", "y", "N", "12:30:00", "2026-01-01", "1_000", "0b1", "=", "nan"],
)
def test_what_only_yaml_1_1_takes_for_something_else_is_text(text: str) -> None:
    assert only_document(f"a: {text}").value == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("Null", None),
        ("", None),
        ("1" * 41, "1" * 41),
    ],
)
def test_plain_scalars_mean_what_the_core_schema_says(text: str, value: object) -> None:
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_scalars_and_blocks_are_text() -> None:
    text = "a: '12'\nb: \"true\"\nc: |\n  12\nd: !!str 12\n"
    assert only_document(text).value == {"a": "12", "b": "true", "c": "12\n", "d": "12"}


def test_every_value_and_key_has_its_line() -> None:
    document = only_document("a: 1\nb:\n  - x\n  - c: |\n      text\n")
    assert dict(document.lines.values) == {
        (): 1,
        ("a",): 1,
        ("b",): 3,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "c"): 4,
    }
    assert document.lines.keys[("b",)] == 2


def test_lines_count_on_through_all_documents() -> None:
    reading = read_documents("a: 1\n---\n# nothing\n---\na: 2\n")
    assert [document.lines.values[()] for document, _ in reading.documents] == [1, 5]


def test_numbers_are_kept_as_they_are_written() -> None:
    assert only_document("a: 1.10\nb: [0o17, no]").written == {("a",): "1.10", ("b", 0): "0o17"}


def test_a_duplicate_key_names_both_lines_and_the_first_counts() -> None:
    ((document, findings),) = read_documents("a: 1\nb: 2\na: 3\n").documents
    assert document.value == {"a": 1, "b": 2}
    assert [(found.path, found.line, found.text) for found in findings] == [
        (("a",), 3, "is given twice, in line 1 and in line 3")
    ]


def test_aliases_stand_for_what_they_name() -> None:
    assert only_document("a: &x [1]\nb: *x\n").value == {"a": [1], "b": [1]}


def test_an_alias_does_not_reach_into_another_document() -> None:
    assert broken("a: &x 1\n---\na: *x\n") == "3: the alias *x names no anchor before it"


def test_aliases_cannot_unfold_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{inner}]")
    too_many = "holds too many values (at most {}, aliases unfolded)"
    assert broken("\n".join(lines)).endswith(too_many.format(DOCUMENT_NODES_MAX))
    bounded = "\n".join(lines[:4]) + "\n---\n"
    assert broken(bounded * 100).endswith(too_many.format(NODES_MAX))


def test_depth_is_bounded_also_through_aliases() -> None:
    too_deep = f"is nested too deeply (at most {DEPTH_MAX} levels)"
    assert only_document("[" * DEPTH_MAX + "]" * DEPTH_MAX).value is not None
    assert broken("[" * 100_000) == f"1: {too_deep}"
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40))]
    assert broken("\n".join(lines)).endswith(too_deep)


def test_a_text_that_is_too_large_is_refused_unread() -> None:
    assert broken("#" * (FILE_BYTES_MAX + 1)) == "0: is too large (at most 1048576 bytes)"


@pytest.mark.parametrize("char", ["\0", "\x07", "\x1b", "\ud800", "\uffff"])
def test_characters_that_are_no_text_are_refused_with_their_line(char: str) -> None:
    assert broken(f"a: 1\nb: {char}") == f"2: holds the character U+{ord(char):04X} (text only)"


def test_a_byte_order_mark_is_passed_over() -> None:
    assert only_document("\ufeffa: 1").value == {"a": 1}


@given(st.text())
@unhurried
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read_documents(text)


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
    | st.sampled_from(["no", "1e3", "0o17", "12:30:00", "<<", "- a", "a: b", "a\nb\n", "\n", " a"])
)


@given(
    st.recursive(
        _SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc<:# ", min_size=1, max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    ).filter(lambda value: value is not None)
)
@unhurried
def test_what_is_written_as_yaml_is_read_back_the_same(value: object) -> None:
    assert only_document(yaml_text(value)).value == value


_WITHOUT_C = """
import json, sys
sys.modules["yaml._yaml"] = None
import yaml
from scheduler.jobspec.yaml_lines import read_documents
assert not yaml.__with_libyaml__
for escape in ("UFFFFFFFF", "U00110000"):
    assert read_documents(f'a: "\\\\{escape}"').broken
reading = read_documents(sys.stdin.read())
json.dump([reading.documents[0][0].value, reading.broken[0]], sys.stdout)
"""


def test_without_the_c_parser_the_same_is_read() -> None:
    text = "a: &x [1, no, 12:30:00]\nb:\n  c: *x\n  d: |\n    text\n---\na: b: c\n"
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_C],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    reading = read_documents(text)
    assert reading.broken is not None
    assert json.loads(done.stdout) == [reading.documents[0][0].value, reading.broken.line]
