"""The schema for editors takes what the parser takes, and refuses what an editor can see."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from scheduler.jobspec import json_schema
from scheduler.jobspec.yaml_lines import read_documents
from tests.jobspec.documents import BATCH, SERVICE, unhurried, valid_documents

EXAMPLES = Path(__file__).parents[2] / "config" / "jobs"
VALIDATOR = Draft202012Validator(json_schema())


def is_valid(text: str) -> bool:
    ((document, _),) = read_documents(text).documents
    return VALIDATOR.is_valid(document.value)


def test_it_is_a_schema_of_its_dialect() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert yaml.safe_load(yaml.safe_dump(json_schema())) == json_schema()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: str(path.name))
def test_the_examples_are_valid(path: Path) -> None:
    assert is_valid(path.read_text())


@given(valid_documents())
@settings(unhurried, max_examples=100)
def test_every_document_that_the_parser_takes_is_valid(document: dict[str, object]) -> None:
    assert VALIDATOR.is_valid(document), list(VALIDATOR.iter_errors(document))


@pytest.mark.parametrize("text", [SERVICE, BATCH])
def test_the_shortest_jobs_are_valid(text: str) -> None:
    assert is_valid(text)


@pytest.mark.parametrize(
    "line",
    [
        *("volumes: []", "limits: {disk: 1GiB}", "instnces: 3", "instances: -1", "priority: 101"),
        *("kill: {grace: 10}", "kill: {grace: 12:30:00}", "env: {1a: b}", "env: {A: true}"),
        *("env: {A: {secret: a}}", "ports: [{name: Http}]", "ports: [{host: 0, name: a}]"),
        *("constraints: [zone group_by x]", "constraints: [rack max_per]", "labels:", "role: a b"),
        *("constraints: [{either: []}]", "constraints: [{any: []}]", "affinities: [{weight: 5}]"),
        *("affinities: [{not: a is b, weight: 101}]", "spread: [zone]", "placement: full"),
        *("checks: {ready: {}}", "checks: {health: {interval: 1s}}", "update: {max_surge: 1}"),
        *("checks: {health: {command: a, tcp: {port: a}}}", "restart: {policy: no}", "retries: 1"),
        *("checks: {health: {command: a, interval: 0s}}", "max_runtime: 1h", "artifacts: [7]"),
    ],
)
def test_a_wrong_line_is_not_valid(line: str) -> None:
    assert not is_valid(SERVICE + line)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("kind: service", "kind: cron"),
        lambda text: text.replace("job: web", "job: Web"),
        lambda text: text.replace("command: run\n", ""),
        lambda text: text.replace("64MiB", "64"),
        lambda text: text.replace("cpus: 1, ", ""),
        lambda text: text.replace("kind: service\n", ""),
        lambda text: text.replace("kind: service", "kind: batch") + "update: {}\n",
        lambda text: text.replace("kind: service", "kind: batch") + "restart: {attempts: 1}\n",
    ],
)
def test_a_wrong_job_is_not_valid(change: Callable[[str], str]) -> None:
    assert not is_valid(change(SERVICE))
