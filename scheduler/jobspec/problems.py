"""What is wrong with a file or a document, said so that its author finds the place.

A `Finding` names a place by the path of keys that leads to it; a `Problem` is the same with the
file and line added, and is what people read: `web.yaml:12: ports[0].host: must be ...`. This
module knows neither YAML nor any vocabulary. Neighbours: `yaml_lines` (where things stand),
`bodies` (turns refused values into findings).
"""

import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""The keys and list positions that lead from a document's root to a value."""


class Wrong(ValueError):
    """A value is refused; the text says what is wrong and, in brackets, what is allowed. `path`
    leads from the value to the piece of it that is meant."""

    def __init__(self, text: str, path: KeyPath = ()) -> None:
        super().__init__(text)
        self.path = path


class At(enum.Enum):
    """Which line a finding means: that of the value, or that of its key."""

    VALUE = "value"
    KEY = "key"


class Finding(NamedTuple):
    """`line` is set where the place has a line of its own that its path does not tell."""

    path: KeyPath
    text: str
    at: At = At.VALUE
    line: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that its author must change. `line` counts from 1; 0 where there are no lines (an
    API body, an environment variable). `path` is empty when the file as a whole is meant."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(piece for piece in (place, self.path, self.text) if piece)


class Lines(NamedTuple):
    """Where the values of a document stand, and where their keys do. Lines count from 1."""

    values: Mapping[KeyPath, int]
    keys: Mapping[KeyPath, int]

    def line_of(self, finding: Finding) -> int:
        """The line of what is meant, or of the nearest thing around it (a key that is missing)."""
        if finding.line:
            return finding.line
        if finding.at is At.KEY and finding.path in self.keys:
            return self.keys[finding.path]
        for end in range(len(finding.path), -1, -1):
            line = self.values.get(finding.path[:end])
            if line is not None:
                return line
        return 0


NO_LINES = Lines({}, {})


def placed(file: str, lines: Lines, findings: Iterable[Finding]) -> list[Problem]:
    """Findings with their file and line, in the order of the file."""
    problems = [
        Problem(file, lines.line_of(finding), path_text(finding.path), finding.text)
        for finding in findings
    ]
    return sorted(problems, key=lambda problem: (problem.line, problem.path, problem.text))


def path_text(path: KeyPath) -> str:
    """`("ports", 0, "host")` as `ports[0].host`."""
    text = ""
    for step in path:
        match step:
            case int():
                text += f"[{step}]"
            case str():
                text += f".{shown(step)}" if text else shown(step)
    return text


SHOWN_MAX = 60


def shown(value: str) -> str:
    """A piece of the author's own text, short and on one line, fit for a message."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
    return clean if len(clean) <= SHOWN_MAX else clean[: SHOWN_MAX - 1] + "…"


def quoted(value: object) -> str:
    """A refused value as messages show it."""
    match value:
        case str():
            return f'"{shown(value)}"'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return shown(str(value))
        case _:
            return kind_of(value)


def kind_of(value: object) -> str:
    """What a value is, in the words of the file's author."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def unknown(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """The bracket after an unknown word: the nearest known one, or `otherwise`, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word[:SHOWN_MAX], names, n=1, cutoff=0.7)
    return f"(did you mean {near[0]}?)" if near else f"({otherwise or ', '.join(names)})"


NOT_CARRIED_OUT = "is not carried out by this version"
