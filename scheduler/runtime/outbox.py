"""Durable before visible: holds what steps want said until what they want stored is stored.

Steps leave in order, each when every write of it and of all before it is durable. Only
acknowledgements overtake: they wait for all writes before them but launches, which are those of
steps that place and acknowledge nothing (docs/adr/0006). Calls belong to the stream that they were
decided on: if that stream is gone by then, they end as not sent. An answer that says UNAVAILABLE
promises nothing, so it waits for no write: that the store takes none may be the very reason.
"""

from collections import deque
from collections.abc import Callable, Sequence

from scheduler.core.effects import Accept, Acknowledge, Answer, Call, Notice, Step, Verdict
from scheduler.core.events import UNTOLD, CallEnded, CallOutcome
from scheduler.errors import TermEnded
from scheduler.runtime.protocols import Emit, Store


class _Held:
    """A step on its way out. `stream` is the number of the stream it was decided on. `places`: all
    that it writes are launches of its own ACCEPTs, and it acknowledges nothing."""

    __slots__ = ("acknowledgements", "calls", "durable", "launches", "places", "step", "stream")

    def __init__(self, step: Step, stream: int) -> None:
        self.step = step
        self.stream = stream
        self.durable = not step.writes
        self.acknowledgements = [call for call in step.calls if type(call) is Acknowledge]
        self.calls: Sequence[Call] = step.calls
        if self.acknowledgements:
            self.calls = [call for call in step.calls if type(call) is not Acknowledge]
        self.launches = sum(len(c.launches) for c in self.calls if isinstance(c, Accept))
        # Each launch writes its own instance.
        self.places = self.launches == len(step.writes) and not self.acknowledgements


class Outbox:
    """`launches_held` and `writes_held` are what is not durable yet, or waits for what is not; the
    loop bounds both. `acknowledgements_held` have not left."""

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
        """`may_leave` is asked before anything leaves; when it denies, TermEnded is raised, from
        `add` or from the store's `run`. `stream_now` tells the number of the stream that stands,
        None without one; `released` is called after something has left."""
        self._store = store
        self._may_leave = may_leave
        self._stream_now = stream_now
        self._send = send
        self._answer = answer
        self._notice = notice
        self._emit = emit
        self._released = released
        self._held: deque[_Held] = deque()
        self._first: deque[_Held] = deque()
        """Those of `_held` that do not only place, until they are durable: what acknowledgements
        wait for."""
        self.launches_held = 0
        self.writes_held = 0
        self.acknowledgements_held = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, step: Step, stream: int) -> None:
        for answer in step.answers:
            if answer.verdict is Verdict.UNAVAILABLE:
                self._answer(answer)
        held = _Held(step, stream)
        self._held.append(held)
        if not held.places:
            self._first.append(held)
        self.launches_held += held.launches
        self.acknowledgements_held += len(held.acknowledgements)
        if not step.writes:
            self._release()
            return
        self.writes_held += len(step.writes)

        def durable() -> None:
            held.durable = True
            self._release()

        self._store.submit(step.writes, durable, launches=held.places)

    def _release(self) -> None:
        left = False
        while self._first and self._first[0].durable:
            held = self._first.popleft()
            if held.acknowledgements:
                self._check_office()
                self.acknowledgements_held -= len(held.acknowledgements)
                self._call(held.acknowledgements, held.stream)
                left = True
        while self._held and self._held[0].durable:
            self._check_office()
            held = self._held.popleft()
            self.launches_held -= held.launches
            self.writes_held -= len(held.step.writes)
            self._leave(held)
            left = True
        if left:
            self._released()

    def _check_office(self) -> None:
        if not self._may_leave():
            raise TermEnded("the office may be another's by now")

    def _leave(self, held: _Held) -> None:
        """All but its acknowledgements: those have left."""
        self._call(held.calls, held.stream)
        for answer in held.step.answers:
            if answer.verdict is not Verdict.UNAVAILABLE:
                self._answer(answer)
        for notice in held.step.notices:
            self._notice(notice)

    def _call(self, calls: Sequence[Call], stream: int) -> None:
        if not calls:
            return
        if stream == self._stream_now():
            self._send(calls)
            return
        for call in calls:
            if call.call_id != UNTOLD:
                outcome = CallOutcome.NOT_SENT
                self._emit(CallEnded(call.call_id, outcome, "its stream is gone"))
