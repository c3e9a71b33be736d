"""Files and bodies to jobs: what is read, the way back, and that nothing written ever raises."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cli.yaml_text import yaml_text
from scheduler.core.model.job import INSTANCES_MAX, JobSpec, Kind, RestartPolicy, Shell
from scheduler.core.model.resources import Amounts
from scheduler.jobspec import from_document, load_paths, parse_jobs, to_document
from scheduler.jobspec.documents import JOB_BYTES_MAX
from scheduler.jobspec.yaml_lines import FILE_BYTES_MAX
from tests.jobspec.documents import BATCH, DEFAULTS, SERVICE, unhurried, valid_documents


def only_job(text: str) -> JobSpec:
    parsed = parse_jobs(text, "web.yaml", DEFAULTS)
    assert parsed.problems == ()
    (job,) = parsed.jobs
    return job


def problems_of(*paths: str | Path) -> list[str]:
    return [str(problem) for problem in load_paths(paths, DEFAULTS).problems]


def test_the_shortest_service_has_every_default_of_the_core() -> None:
    job = only_job(SERVICE)
    assert job.job == "web"
    assert job.kind is Kind.SERVICE
    assert job.instances == 1
    assert job.template.role == "prod"
    assert job.template.command == Shell("run")
    assert job.template.amounts == Amounts(cpus=1000, mem=64_000)
    assert job == JobSpec(job.job, job.kind, job.instances, job.template)


def test_retries_of_a_batch_are_the_failures_after_the_first() -> None:
    assert only_job(BATCH).restart.attempts == 4
    assert only_job(BATCH + "retries: 0").restart.attempts == 1
    assert only_job(BATCH).restart.policy is RestartPolicy.ON_FAILURE


def test_the_order_of_variables_and_labels_changes_no_job() -> None:
    one = only_job(SERVICE + "env: {A: a, B: b}\nlabels: {x: x, y: y}")
    other = only_job(SERVICE + "env: {B: b, A: a}\nlabels: {y: y, x: x}")
    assert one == other


def test_numbers_in_variables_labels_and_arguments_stay_as_they_are_written() -> None:
    job = only_job(
        SERVICE.replace("command: run", "command: [sleep, 0o17, 1e3]")
        + "env: {VERSION: 1.10, CODE: 007, ANSWER: no}\nlabels: {year: 2_000, v: 1.0}"
    )
    assert job.template.env == (("ANSWER", "no"), ("CODE", "007"), ("VERSION", "1.10"))
    assert job.labels == (("v", "1.0"), ("year", "2_000"))
    assert to_document(job)["command"] == ["sleep", "0o17", "1e3"]


def test_many_documents_are_many_jobs_and_empty_ones_are_none() -> None:
    parsed = parse_jobs(f"---\n{SERVICE}---\n---\n# nothing\n---\n{BATCH}", "jobs.yaml", DEFAULTS)
    assert [job.job for job in parsed.jobs] == ["web", "numbers"]
    assert parsed.problems == ()


def test_a_broken_document_does_not_hide_the_others() -> None:
    parsed = parse_jobs(f"{SERVICE}---\njob: X\n---\n{BATCH}", "jobs.yaml", DEFAULTS)
    assert [job.job for job in parsed.jobs] == ["web", "numbers"]
    assert {problem.line for problem in parsed.problems} == {6}


def test_a_job_declared_twice_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"# first\n{SERVICE}")
    (tmp_path / "b.yml").write_text(f"{BATCH}---\n{SERVICE}")
    parsed = load_paths([tmp_path], DEFAULTS)
    assert [job.job for job in parsed.jobs] == ["web", "numbers"]
    assert [str(problem) for problem in parsed.problems] == [
        f'{tmp_path}/b.yml:6: job: "web" is declared twice, first in {tmp_path}/a.yaml:2'
    ]


def test_folders_are_read_at_any_depth_and_files_once(tmp_path: Path) -> None:
    inner = tmp_path / "team" / "shop"
    inner.mkdir(parents=True)
    (inner / "web.yaml").write_text(SERVICE)
    (tmp_path / "numbers.yml").write_text(BATCH)
    (tmp_path / "notes.txt").write_text("not: [yaml")
    parsed = load_paths([tmp_path, inner / "web.yaml"], DEFAULTS)
    assert [job.job for job in parsed.jobs] == ["numbers", "web"]
    assert parsed.problems == ()


def test_what_cannot_be_read_is_a_problem_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"job: web\nlabels: {a: caf\xe9}\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    (tmp_path / "nothing.yaml").write_text("# nothing\n")
    assert problems_of(
        tmp_path / "missing.yaml",
        tmp_path / "empty",
        tmp_path / "latin.yaml",
        tmp_path / "large.yaml",
        tmp_path / "nothing.yaml",
    ) == [
        f"{tmp_path}/empty: holds no *.yaml or *.yml file",
        f"{tmp_path}/missing.yaml: cannot be read: No such file or directory",
        f"{tmp_path}/latin.yaml:2: is not UTF-8",
        f"{tmp_path}/large.yaml: is too large (at most 1048576 bytes)",
        f"{tmp_path}/nothing.yaml: holds no job",
    ]


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SERVICE.encode())))
    assert [job.job for job in load_paths(["-"], DEFAULTS).jobs] == ["web"]


def test_a_body_is_judged_like_a_file_but_without_lines() -> None:
    found = from_document({"job": "web", "kind": "cron", "env": {"A": True}}, DEFAULTS)
    assert not isinstance(found, JobSpec)
    assert [str(problem) for problem in found] == [
        "body: command: is missing (text or a list; or a container with its own)",
        "body: env.A: must be text, not true or false (quote it)",
        'body: kind: "cron" is not carried out by this version (service, batch)',
        "body: resources: is missing (what one instance gets: cpus and mem at least)",
    ]


@pytest.mark.parametrize("body", [None, 3, "web", [], [{"job": "web"}]])
def test_a_body_that_is_no_mapping_is_refused(body: object) -> None:
    found = from_document(body, DEFAULTS)
    assert not isinstance(found, JobSpec)
    assert found[0].text.startswith("a job is a mapping, not ")


def test_a_job_that_is_too_large_is_refused() -> None:
    text = SERVICE + f"env: {{A: {'x' * JOB_BYTES_MAX}}}"
    (problem,) = parse_jobs(text, "web.yaml", DEFAULTS).problems
    assert str(problem).endswith(f"bytes as a whole (at most {JOB_BYTES_MAX})")


def test_the_largest_number_of_instances_is_that_of_the_core() -> None:
    assert only_job(f"{SERVICE}instances: {INSTANCES_MAX}").instances == INSTANCES_MAX


@given(valid_documents())
@settings(unhurried, max_examples=150)
def test_every_valid_document_is_a_job_and_every_job_is_shown_as_its_document(
    document: dict[str, object],
) -> None:
    spec = from_document(document, DEFAULTS)
    assert isinstance(spec, JobSpec), spec
    assert from_document(to_document(spec), DEFAULTS) == spec
    parsed = parse_jobs(yaml_text(to_document(spec)), "web.yaml", DEFAULTS)
    assert parsed.problems == ()
    assert parsed.jobs == (spec,)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@unhurried
def test_any_text_gives_jobs_or_problems(text: str) -> None:
    parse_jobs(text, "any.yaml", DEFAULTS)


_YAML_PIECES = st.sampled_from(
    [
        *("job: ", "kind: service\n", "\n", "  ", "- ", "? ", ": ", "&a ", "*a", "<<: ", "{", "}"),
        *("[", "]", ",", "'", '"', "|\n", ">\n", "---\n", "...\n", "!!str ", "!x ", "%YAML 1.2\n"),
        *("env: ", "ports: ", "resources: {cpus: 1, mem: 1GiB}\n", "12:30:00", "1e999", "\t", "#"),
    ]
)


@given(st.lists(_YAML_PIECES, max_size=25).map("".join))
@settings(unhurried, max_examples=200)
def test_any_arrangement_of_yaml_gives_jobs_or_problems(text: str) -> None:
    parse_jobs(text, "any.yaml", DEFAULTS)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(valid_documents(), st.data())
@settings(unhurried, max_examples=150)
def test_any_value_in_any_place_gives_a_job_or_problems(
    document: dict[str, object], data: st.DataObject
) -> None:
    outer: dict[str, object] = document
    key = data.draw(st.sampled_from(sorted(document)))
    inner = document[key]
    if isinstance(inner, dict) and inner and data.draw(st.booleans()):
        outer, key = inner, data.draw(st.sampled_from(sorted(inner)))
    outer[key] = data.draw(_ANY)
    found = from_document(document, DEFAULTS)
    assert isinstance(found, JobSpec) or found
    if isinstance(found, JobSpec):
        assert from_document(to_document(found), DEFAULTS) == found
