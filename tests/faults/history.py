"""What etcd's history says: terms in office, what was stored of jobs and attempts, and when.

Values are read as plain msgpack, by the names of their fields, so that a mistake in offerd's own
classes cannot hide itself.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tests.faults.evidence import Change, Wish

TERMINAL: Final = frozenset({"finished", "failed", "killed", "error", "dropped", "lost", "gone"})
GONE: Final = "(no longer stored)"
"""The state of an attempt that was stored and is not any more."""
_STAGES: Final = {"launching": 0, "starting": 1, "running": 2, "killing": 2}
_END_STAGE: Final = 3


class Term(NamedTuple):
    """`number` is the revision that created the leader key, `ended` the one that removed it."""

    number: int
    daemon: str
    ended: int | None


class Stored(NamedTuple):
    """What one revision says of an attempt. `end` is why it is told to end; empty: it is not."""

    revision: int
    state: str
    end: str


def stage(state: str) -> int | None:
    """How far a stored attempt is; None for states that say nothing of that."""
    return _END_STAGE if state in TERMINAL or state == GONE else _STAGES.get(state)


class History:
    def __init__(self, prefix: str, changes: Sequence[Change]) -> None:
        self.terms: list[Term] = []
        self.marks: dict[int, list[int]] = defaultdict(list)
        """By revision: the terms that lanes' marks of it name."""
        self.records: dict[int, list[str]] = defaultdict(list)
        """By revision: the records that were changed."""
        self.jobs: dict[str, list[tuple[int, Wish]]] = defaultdict(list)
        self.attempts: dict[str, list[Stored]] = defaultdict(list)
        self._in_record: dict[str, set[str]] = defaultdict(set)
        for change in changes:
            kind, _, rest = change.key.removeprefix(prefix).partition("/")
            match kind:
                case "leader":
                    self._leader(change)
                case "commit":
                    if change.value is not None:
                        self.marks[change.revision].append(int(change.value.split(b".")[0]))
                case "schema":
                    continue
                case _:
                    self.records[change.revision].append(change.key)
                    self._record(change, kind, rest)

    def term_of(self, number: int) -> Term | None:
        return next((term for term in self.terms if term.number == number), None)

    def _record(self, change: Change, kind: str, name: str) -> None:
        match kind:
            case "jobs":
                wish = _wish(change.value)
                self.jobs[name.replace(".", "/")].append((change.revision, wish))
            case "tasks":
                self._instance(change)
            case _:
                return

    def _leader(self, change: Change) -> None:
        if change.value is not None and change.created == change.revision:
            daemon = json.loads(change.value)["instance"]
            self.terms.append(Term(change.revision, daemon, None))
        elif change.value is None:
            self.terms[-1] = self.terms[-1]._replace(ended=change.revision)

    def _instance(self, change: Change) -> None:
        before = self._in_record[change.key]
        now = set()
        for attempt in _attempts(change.value):
            task = attempt["task_id"]
            now.add(task)
            end = attempt.get("end") or {"reason": ""}
            stored = Stored(change.revision, attempt["state"], end["reason"])
            self.attempts[task].append(stored)
        for task in before - now:
            self.attempts[task].append(Stored(change.revision, GONE, ""))
        self._in_record[change.key] = now


def _document(value: bytes) -> dict[str, Any]:
    """A record: one byte of schema number, then msgpack."""
    document: dict[str, Any] = msgspec.msgpack.decode(value[1:])
    return document


def _attempts(value: bytes | None) -> list[dict[str, Any]]:
    if value is None:
        return []
    record = _document(value)
    return [*record.get("live", ()), *record.get("ended", ())]


def _wish(value: bytes | None) -> Wish:
    if value is None:
        return Wish("delete")
    record = _document(value)
    desired: str = record["desired"]
    return Wish(desired, record["spec"]["instances"] if desired == "run" else 0)
