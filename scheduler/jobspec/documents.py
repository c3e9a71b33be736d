"""Job files and API bodies to core jobs, with everything that is wrong in them at once.

Nothing here raises for what a user wrote: the outcome is jobs and problems. Files are read here and
nowhere else in this package. Neighbours: `yaml_lines`, `schema`, `cross`, `specs`.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scheduler.core.model.job import JobSpec
from scheduler.jobspec.bodies import once_a_path, read_body, traps
from scheduler.jobspec.cross import cross_findings
from scheduler.jobspec.problems import NO_LINES, Finding, KeyPath, Problem, kind_of, placed
from scheduler.jobspec.schema import JobBody
from scheduler.jobspec.specs import JobDefaults, spec_of
from scheduler.jobspec.yaml_lines import FILE_BYTES_MAX, read_documents

JOB_BYTES_MAX = 128 * 1024
"""One job as a record: it travels with each launch, and a store's transaction takes 1 MiB."""
FILES_MAX = 10_000
STDIN = "-"
_SUFFIXES = (".yaml", ".yml")
_WRITTEN_KEYS = ("env", "labels", "command")
"""Keys under which a number is taken as the text that its author wrote."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A job and the place where it is declared."""

    spec: JobSpec
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class JobsParsed:
    """The jobs that are whole, in their order, and all problems of the rest."""

    jobs: tuple[JobSpec, ...]
    problems: tuple[Problem, ...]


def parse_jobs(text: str, file: str, defaults: JobDefaults) -> JobsParsed:
    """All jobs of one text; `file` is the name that problems show."""
    return _without_twins(*_declared(text, file, defaults))


def load_paths(paths: Iterable[str | Path], defaults: JobDefaults) -> JobsParsed:
    """All jobs of files and of folders (their *.yaml and *.yml at any depth, in sorted order);
    `-` is standard input. A job that is declared twice anywhere is a problem."""
    declared: list[Declared] = []
    problems: list[Problem] = []
    for name in _files(paths, problems):
        text = _read(name, problems)
        if text is not None:
            more, wrong = _declared(text, name, defaults)
            declared += more
            problems += wrong
            if not more and not wrong:
                problems.append(Problem(name, 0, "", "holds no job"))
    return _without_twins(declared, problems)


def from_document(obj: object, defaults: JobDefaults) -> JobSpec | tuple[Problem, ...]:
    """The job of an API body, or its problems: their `file` is `body`, and they have no lines."""
    spec, findings = _spec(obj, {}, defaults, [])
    return tuple(placed("body", NO_LINES, findings)) if spec is None else spec


# --- one text ------------------------------------------------------------------------------------


def _declared(text: str, file: str, defaults: JobDefaults) -> tuple[list[Declared], list[Problem]]:
    reading = read_documents(text)
    declared: list[Declared] = []
    problems: list[Problem] = []
    for document, yaml_findings in reading.documents:
        spec, findings = _spec(document.value, document.written, defaults, list(yaml_findings))
        problems += placed(file, document.lines, findings)
        if spec is not None:
            line = document.lines.keys.get(("job",), 0)
            declared.append(Declared(spec, file, line))
    if reading.broken is not None:
        problems.append(Problem(file, reading.broken.line, "", reading.broken.text))
    return declared, problems


def _spec(
    value: object,
    written: Mapping[KeyPath, str],
    defaults: JobDefaults,
    yaml_findings: list[Finding],
) -> tuple[JobSpec | None, list[Finding]]:
    """The job, or None with everything that is wrong with its document."""
    if not isinstance(value, dict):
        return None, [*yaml_findings, Finding((), f"a job is a mapping, not {kind_of(value)}")]
    trapped = traps(value)
    if any(not isinstance(key, str) for key in value):
        return None, once_a_path(trapped)
    job = {
        key: _as_written(inner, (key,), written) if key in _WRITTEN_KEYS else inner
        for key, inner in value.items()
    }
    body, findings = read_body(JobBody, job)
    findings = once_a_path(yaml_findings, trapped, findings, cross_findings(job))
    if body is None or findings:
        return None, findings
    spec = spec_of(body, defaults)
    size = len(msgspec.json.encode(spec))
    if size > JOB_BYTES_MAX:
        return None, [Finding((), f"the job has {size} bytes as a whole (at most {JOB_BYTES_MAX})")]
    return spec, []


def _as_written(value: object, path: KeyPath, written: Mapping[KeyPath, str]) -> object:
    match value:
        case bool():
            return value
        case int() | float():
            return written.get(path, str(value))
        case list():
            return [_as_written(inner, (*path, i), written) for i, inner in enumerate(value)]
        case dict():
            return {key: _as_written(inner, (*path, key), written) for key, inner in value.items()}
        case _:
            return value


# --- many files ----------------------------------------------------------------------------------


def _files(paths: Iterable[str | Path], problems: list[Problem]) -> list[str]:
    """The files that the paths mean, each once, however it is named."""
    names: dict[str, str] = {}
    for path in map(str, paths):
        inside = _inside(path, problems) if Path(path).is_dir() else [path]
        for name in inside:
            names.setdefault(name if name == STDIN else os.path.realpath(name), name)
    files = list(names.values())
    if len(files) > FILES_MAX:
        problems.append(Problem(files[FILES_MAX], 0, "", f"too many files (at most {FILES_MAX})"))
    return files[:FILES_MAX]


def _inside(folder: str, problems: list[Problem]) -> list[str]:
    """The job files of a folder at any depth, sorted. A folder that cannot be read is a problem."""

    def refused(error: OSError) -> None:
        problems.append(Problem(str(error.filename), 0, "", f"cannot be read: {error.strerror}"))

    found = [
        os.path.join(place, name)
        for place, _, names in os.walk(folder, onerror=refused)
        for name in names
        if name.endswith(_SUFFIXES)
    ]
    if not found:
        problems.append(Problem(folder, 0, "", "holds no *.yaml or *.yml file"))
    return sorted(found)


def _read(name: str, problems: list[Problem]) -> str | None:
    """A file's text; None, with a problem, where it cannot be had."""
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        problems.append(Problem(name, 0, "", f"cannot be read: {error.strerror}"))
        return None
    if len(data) > FILE_BYTES_MAX:
        problems.append(Problem(name, 0, "", f"is too large (at most {FILE_BYTES_MAX} bytes)"))
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(name, line, "", "is not UTF-8"))
        return None


def _without_twins(declared: Sequence[Declared], problems: Sequence[Problem]) -> JobsParsed:
    """A job is declared once: which of two would count is nothing to guess."""
    first: dict[str, Declared] = {}
    jobs: list[JobSpec] = []
    twins: list[Problem] = []
    for job in declared:
        before = first.setdefault(job.spec.job, job)
        if before is job:
            jobs.append(job.spec)
        else:
            text = f'"{job.spec.job}" is declared twice, first in {before.file}:{before.line}'
            twins.append(Problem(job.file, job.line, "job", text))
    return JobsParsed(tuple(jobs), (*problems, *twins))
