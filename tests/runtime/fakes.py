"""Adapters that do as a test tells them: a store whose commits are let through one by one, and a
session whose master is the test."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from scheduler.core.effects import Call, Wanted
from scheduler.core.events import (
    UNTOLD,
    AgentsListed,
    CallEnded,
    CallOutcome,
    Disconnected,
    Event,
    FrameworksListed,
    Subscribed,
)
from scheduler.core.model.ids import FrameworkId, MasterId
from scheduler.core.records import FrameworkRecord, Record, Write
from scheduler.errors import OfferdError, TermEnded


class HeldStore:
    """Writes become durable when the test says so, in order or not. With `open_gate` at once."""

    def __init__(self, records: Sequence[Record] = (), *, open_gate: bool = False) -> None:
        self.records = list(records)
        self.submitted: list[Write] = []
        self.launches: list[Write] = []
        self.open_gate = open_gate
        self._waiting: deque[Callable[[], None]] = deque()
        self._failure: asyncio.Future[None] | None = None
        self.refusing: Callable[[str], None] | None = None
        self.recovered: Callable[[], None] | None = None

    async def open(self) -> None:
        pass

    async def load(self) -> AsyncIterator[Sequence[Record]]:
        yield self.records

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None:
        self.submitted += writes
        if launches:
            self.launches += writes
        if self.open_gate:
            asyncio.get_running_loop().call_soon(done)
        else:
            self._waiting.append(done)

    def let_through(self, count: int = 1, *, after: int = 0) -> None:
        """So many submits, `after` so many others that still wait. What `done` raises comes out of
        `run`, as in every store."""
        for _ in range(count):
            done = self._waiting[after]
            del self._waiting[after]
            try:
                done()
            except TermEnded as error:
                self.fail(error)

    @property
    def held(self) -> int:
        return len(self._waiting)

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        self.refusing, self.recovered = refusing, recovered
        self._failure = asyncio.get_running_loop().create_future()
        await self._failure

    def fail(self, error: OfferdError) -> None:
        assert self._failure is not None
        self._failure.set_exception(error)

    async def close(self) -> None:
        pass


class TestedSession:
    """`calls` are those that left. `subscribe` and `lose` are what the master does."""

    __test__ = False

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.runs = 0
        self.wanted: list[Wanted] = []
        self.ids: list[FrameworkId | None] = []
        self.started = asyncio.Event()
        self._emit: Callable[[Event], None] | None = None
        self._end: asyncio.Future[None] | None = None

    async def run(
        self,
        emit: Callable[[Event], None],
        *,
        registered: Callable[[], FrameworkRecord | None],
        wanted: Callable[[], Wanted],
        may_speak: Callable[[], bool],
    ) -> None:
        self._emit = emit
        self.runs += 1
        record = registered()
        self.ids.append(record.framework_id if record is not None else None)
        self.wanted.append(wanted())
        self._end = asyncio.get_running_loop().create_future()
        self.started.set()
        await self._end

    def send(self, calls: Sequence[Call]) -> None:
        assert self._emit is not None
        self.calls += calls
        for call in calls:
            if call.call_id != UNTOLD:
                self._emit(CallEnded(call.call_id, CallOutcome.SENT))

    def subscribe(self, framework_id: str = "F-1") -> None:
        self.emit(Subscribed(FrameworkId(framework_id), MasterId("M"), "http://m:5050", "1.11.0"))

    def lose(self) -> None:
        self.emit(Disconnected("the network"))

    def emit(self, event: Event) -> None:
        assert self._emit is not None
        self._emit(event)

    def end(self, error: OfferdError) -> None:
        assert self._end is not None
        self.started.clear()
        self._end.set_exception(error)


class SilentOperator:
    """It never answers."""

    async def agents(self) -> AgentsListed:
        await asyncio.Event().wait()
        raise AssertionError

    async def frameworks(self) -> FrameworksListed:
        await asyncio.Event().wait()
        raise AssertionError
