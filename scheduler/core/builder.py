"""Collects what one step wants done. Every room writes into it, none reads it back.

Several writes of one key in a step become one, the last: only the outcome of a step is stored.
"""

from collections.abc import Callable

from scheduler.core.effects import Answer, Call, Notice, NoticeKind, Step, Verdict
from scheduler.core.events import CallId, Ticket
from scheduler.core.records import Put, Record, RecordKey, Remove, Write, key_of


class StepBuilder:
    def __init__(self, next_call: Callable[[], CallId]) -> None:
        self._next_call = next_call
        self._writes: dict[RecordKey, Write] = {}
        self._calls: list[Call] = []
        self._answers: list[Answer] = []
        self._notices: list[Notice] = []

    def put(self, record: Record) -> None:
        self._writes[key_of(record)] = Put(record)

    def remove(self, key: RecordKey) -> None:
        """A removal keeps its own place in the order, after what was removed before it."""
        self._writes.pop(key, None)
        self._writes[key] = Remove(key)

    def call_id(self) -> CallId:
        return self._next_call()

    def call(self, call: Call) -> None:
        self._calls.append(call)

    def answer(
        self, ticket: Ticket, verdict: Verdict, detail: str = "", version: int | None = None
    ) -> None:
        self._answers.append(Answer(ticket, verdict, detail, version))

    def notice(
        self,
        kind: NoticeKind,
        *,
        job: str = "",
        task_id: str = "",
        state: str = "",
        text: str = "",
    ) -> None:
        self._notices.append(Notice(kind, job, task_id, state, text))

    def finish(self, wake_at: float | None, more: bool) -> Step:
        return Step(
            writes=tuple(self._writes.values()),
            calls=tuple(self._calls),
            answers=tuple(self._answers),
            notices=tuple(self._notices),
            wake_at=wake_at,
            more=more,
        )
