"""Where settings come from: one YAML file, and `OFFERD_…` variables over it.

It knows no setting but through the model that it is given, and keeps where each value came from, so
that a problem names the line or the variable. Neighbour: `settings`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.jobspec.bodies import Body, body_at, field_at, keys_of
from scheduler.jobspec.problems import (
    NO_LINES,
    Finding,
    KeyPath,
    Lines,
    Problem,
    kind_of,
    path_text,
    placed,
    unknown,
)
from scheduler.jobspec.yaml_lines import FILE_BYTES_MAX, read_documents
from scheduler.yaml_scalars import resolve_plain

ENV_PREFIX: Final = "OFFERD_"
ENV_PASSED_OVER: Final = frozenset(
    {"OFFERD_SERVER", "OFFERD_TOKEN", "OFFERD_JOB", "OFFERD_TASK_ID"}
)
"""Variables of the command line, and those that our own tasks are given."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The values as they are written, where each stands, and what could not be read."""

    document: dict[str, object]
    file: str
    lines: Lines
    variables: Mapping[KeyPath, str]
    problems: tuple[Problem, ...]

    def placed(self, findings: Sequence[Finding]) -> list[Problem]:
        """Findings with the line of the file, or with the variable that the value came from."""
        in_file: list[Finding] = []
        in_variables: list[Problem] = []
        for found in findings:
            name = self._variable_of(found.path)
            if name is None:
                in_file.append(found)
            else:
                in_variables.append(Problem(name, 0, path_text(found.path), found.text))
        return [*placed(self.file, self.lines, in_file), *in_variables]

    def _variable_of(self, path: KeyPath) -> str | None:
        ends = range(len(path), 0, -1)
        return next(
            (self.variables[path[:end]] for end in ends if path[:end] in self.variables), None
        )


def read_sources(model: type[Body], path: str | Path | None, environ: Mapping[str, str]) -> Sources:
    problems: list[Problem] = []
    document, lines = ({}, NO_LINES) if path is None else _read_file(path, problems)
    names = _override(model, document, environ, problems)
    return Sources(document, str(path or "settings"), lines, names, tuple(problems))


def variables(model: type[Body], prefix: str = ENV_PREFIX) -> list[str]:
    """The names of all variables that override a setting."""
    names: list[str] = []
    for key in keys_of(model):
        names.append(prefix + key.upper())
        inner = body_at(model, (key,))
        if inner is not None:
            names += variables(inner, f"{prefix}{key.upper()}__")
    return names


def _read_file(path: str | Path, problems: list[Problem]) -> tuple[dict[str, object], Lines]:
    """The one document of a file. An empty file is one without settings."""
    file = str(path)
    try:
        with Path(path).open("rb") as opened:
            text = opened.read(FILE_BYTES_MAX + 1).decode("utf-8")
    except OSError as error:
        problems.append(Problem(file, 0, "", f"cannot be read: {error.strerror}"))
        return {}, NO_LINES
    except UnicodeDecodeError:
        problems.append(Problem(file, 0, "", "is not UTF-8"))
        return {}, NO_LINES
    reading = read_documents(text)
    for document, findings in reading.documents:
        problems += placed(file, document.lines, findings)
    if reading.broken is not None:
        problems.append(Problem(file, reading.broken.line, "", reading.broken.text))
    if len(reading.documents) > 1:
        line = reading.documents[1][0].lines.values.get((), 0)
        problems.append(Problem(file, line, "", "holds a second document (one is read)"))
    if not reading.documents:
        return {}, NO_LINES
    first = reading.documents[0][0]
    if not isinstance(first.value, dict):
        problems.append(Problem(file, 1, "", f"settings are a mapping, not {kind_of(first.value)}"))
        return {}, NO_LINES
    return first.value, first.lines


def _override(
    model: type[Body],
    document: dict[str, object],
    environ: Mapping[str, str],
    problems: list[Problem],
) -> dict[KeyPath, str]:
    """Puts the variables' values into the document; gives the variable of each path."""
    sources: dict[KeyPath, str] = {}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in ENV_PASSED_OVER:
            continue
        path: KeyPath = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
        if name != name.upper() or field_at(model, path) is None:
            known = unknown(name.upper(), variables(model), otherwise="docs/settings.md lists them")
            text = f"is no setting {known}"
            problems.append(Problem(name, 0, "", text))
            continue
        value = _variable_value(name, environ[name], problems)
        inner = document
        for step in path[:-1]:
            below = inner.get(str(step))
            if not isinstance(below, dict):
                below = inner[str(step)] = {}
            inner = below
        inner[str(path[-1])] = value
        sources[path] = name
    return sources


def _variable_value(name: str, text: str, problems: list[Problem]) -> object:
    """Lists, mappings and quoted text are written as in YAML; everything else is one scalar."""
    if text[:1] + text[-1:] not in ("[]", "{}", '""', "''"):
        return resolve_plain(text)
    reading = read_documents(text)
    if reading.broken is not None or len(reading.documents) != 1:
        problems.append(Problem(name, 0, "", 'is not YAML ([a, b], {a: b} or "text")'))
        return text
    document, findings = reading.documents[0]
    problems += [Problem(name, 0, path_text(found.path), found.text) for found in findings]
    return document.value
