"""The reference pages say what the models say: every key, its meaning, its default."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scheduler.core.model.job import JobSpec
from scheduler.jobspec import from_document
from scheduler.jobspec.bodies import Body, body_in, keys_of
from scheduler.jobspec.schema import JobBody
from scheduler.jobspec.yaml_lines import read_documents
from scheduler.settings import Settings, load_settings
from tests.jobspec.documents import BATCH, DEFAULTS, SERVICE

DOCS = Path(__file__).parents[2] / "docs"
_ROW = re.compile(r"^\| `([^`]+)` \| (.*) \| (.*) \|$", re.MULTILINE)


class Row(NamedTuple):
    key: str
    meaning: str
    default: str


def rows_of(page: str, heading: str) -> list[Row]:
    _, _, table = (DOCS / page).read_text().partition(heading)
    return [Row(*found) for found in _ROW.findall(table)]


def rows_in(body: type[Body], prefix: str = "") -> Iterator[tuple[str, str | None, bool]]:
    for key, field in keys_of(body).items():
        yield prefix + key, field.description, field.is_required()
        inner = body_in(field.annotation)
        if inner is not None:
            listed = "[]" if "list[" in str(field.annotation) else ""
            yield from rows_in(inner, f"{prefix}{key}{listed}.")


JOB_ROWS = rows_of("jobs.md", "## Every key")
SETTING_ROWS = rows_of("settings.md", "| setting |")


@pytest.mark.parametrize(
    ("rows", "body"), [(JOB_ROWS, JobBody), (SETTING_ROWS, Settings)], ids=["jobs", "settings"]
)
def test_every_key_has_a_row_with_its_meaning(rows: list[Row], body: type[Body]) -> None:
    assert [(row.key, row.meaning, row.default == "required") for row in rows] == list(
        rows_in(body)
    )


def value_of(text: str) -> object:
    ((document, _),) = read_documents(text).documents
    return document.value


def with_value(document: Any, key: str, value: object) -> dict[str, object]:
    """A copy of the document with the key set; in a list its first item is meant."""
    changed = copy.deepcopy(document)
    inner = changed
    *around, last = key.replace("[]", ".0").split(".")
    for step in around:
        inner = inner[0] if step == "0" else inner.setdefault(step, {})
    inner[last] = value
    return dict(changed)


FULL = """
container: {image: a}
ports: [{name: http}]
artifacts: [{uri: /a}]
spread: [{attribute: zone}]
checks: {health: {http: {port: http}}}
"""


@pytest.mark.parametrize("row", [row for row in JOB_ROWS if row.default.startswith("`")])
def test_the_default_of_a_job_key_is_the_one_in_its_row(row: Row) -> None:
    base = value_of((BATCH if row.meaning.endswith("(batch)") else SERVICE) + FULL)
    plain = from_document(base, DEFAULTS)
    assert isinstance(plain, JobSpec)
    written = with_value(base, row.key, value_of(row.default.strip("`")))
    assert from_document(written, DEFAULTS) == plain


@pytest.mark.parametrize("row", [row for row in SETTING_ROWS if row.default.startswith("`")])
def test_the_default_of_a_setting_is_the_one_in_its_row(row: Row) -> None:
    name = "OFFERD_" + row.key.upper().replace(".", "__")
    assert load_settings(None, {name: row.default.strip("`")}) == load_settings(None, {})


def test_the_examples_of_the_page_are_a_job_and_a_piece_of_one() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "jobs.md").read_text(), re.DOTALL)
    whole, piece = examples
    for example in (whole, SERVICE + piece):
        assert isinstance(from_document(value_of(example), DEFAULTS), JobSpec)


@pytest.mark.parametrize(
    "key", sorted(JobBody.later - {"schedule", "timezone", "overlap", "missed", "deadline"})
)
def test_what_comes_later_is_named(key: str) -> None:
    _, _, later = (DOCS / "jobs.md").read_text().partition("## What comes later")
    assert f"`{key}`" in later
