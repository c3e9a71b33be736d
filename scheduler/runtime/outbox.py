"""Durable before visible: holds what steps want said until what they want stored is stored.

Steps leave in order, each when every write of it and of all before it is durable. Calls belong to
the stream that they were decided on: if that stream is gone by then, they end as not sent. An
answer that says UNAVAILABLE promises nothing, so it waits for no write: that the store takes none
may be the very reason.
"""

from collections import deque
from collections.abc import Callable, Sequence

from scheduler.core.effects import Accept, Answer, Call, Notice, Step, Verdict
from scheduler.core.events import UNTOLD, CallEnded, CallOutcome
from scheduler.errors import TermEnded
from scheduler.runtime.protocols import Emit, Store


class _Held:
    """A step on its way out. `stream` is the number of the stream it was decided on."""

    __slots__ = ("durable", "launches", "step", "stream")

    def __init__(self, step: Step, stream: int) -> None:
        self.step = step
        self.stream = stream
        self.durable = not step.writes
        self.launches = sum(len(c.launches) for c in step.calls if isinstance(c, Accept))


class Outbox:
    """`launches_held` and `writes_held` are what is not durable yet; the loop bounds both."""

    def __init__(
        self,
        store: Store,
        *,
        may_leave: Callable[[], bool],
        stream_now: Callable[[], int | None],
        send: Callable[[Sequence[Call]], None],
        answer: Callable[[Answer], None],
        notice: Callable[[Notice], None],
        emit: Emit,
        released: Callable[[], None],
    ) -> None:
        """`may_leave` is asked before a step leaves; when it denies, TermEnded is raised, from
        `add` or from the store's `run`. `stream_now` tells the number of the stream that stands,
        None without one; `released` is called after steps have left."""
        self._store = store
        self._may_leave = may_leave
        self._stream_now = stream_now
        self._send = send
        self._answer = answer
        self._notice = notice
        self._emit = emit
        self._released = released
        self._held: deque[_Held] = deque()
        self.launches_held = 0
        self.writes_held = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, step: Step, stream: int) -> None:
        for answer in step.answers:
            if answer.verdict is Verdict.UNAVAILABLE:
                self._answer(answer)
        held = _Held(step, stream)
        self._held.append(held)
        self.launches_held += held.launches
        if not step.writes:
            self._release()
            return
        self.writes_held += len(step.writes)

        def durable() -> None:
            held.durable = True
            self._release()

        self._store.submit(step.writes, durable)

    def _release(self) -> None:
        left = False
        while self._held and self._held[0].durable:
            if not self._may_leave():
                raise TermEnded("the office may be another's by now")
            held = self._held.popleft()
            self.launches_held -= held.launches
            self.writes_held -= len(held.step.writes)
            self._leave(held)
            left = True
        if left:
            self._released()

    def _leave(self, held: _Held) -> None:
        step = held.step
        if step.calls:
            if held.stream == self._stream_now():
                self._send(step.calls)
            else:
                for call in step.calls:
                    if call.call_id != UNTOLD:
                        outcome = CallOutcome.NOT_SENT
                        self._emit(CallEnded(call.call_id, outcome, "its stream is gone"))
        for answer in step.answers:
            if answer.verdict is not Verdict.UNAVAILABLE:
                self._answer(answer)
        for notice in step.notices:
            self._notice(notice)
