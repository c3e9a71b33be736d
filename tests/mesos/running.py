"""A session that runs beside a test: what it emits is kept and can be waited for."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from scheduler.core.effects import Call, Wanted
from scheduler.core.events import CallEnded, Event, Subscribed
from scheduler.core.model.ids import FrameworkId, Role
from scheduler.core.records import FrameworkRecord
from scheduler.mesos.session import MasterSession

DEADLINE_S = 20.0
WANTED = Wanted(roles=(Role("*"),), suppressed=(), failover_timeout_s=0.0)

E = TypeVar("E")


class RunningSession:
    """Runs `session` until the end of the context, with the framework id that it was given."""

    def __init__(self, session: MasterSession, wanted: Wanted = WANTED) -> None:
        self.session = session
        self.events: list[Event] = []
        self.framework_id: FrameworkId | None = None
        self.registered: tuple[str | None, bool | None] = (None, None)
        self.on_event: Callable[[Event], None] = lambda _: None
        self.may_speak: Callable[[], bool] = lambda: True
        self._wanted = wanted
        self._tries = 0
        self._changed = asyncio.Event()
        self._waited_for = 0

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(
            self.session.run(
                self._take,
                registered=self._begin_try,
                wanted=lambda: self._wanted,
                may_speak=lambda: self.may_speak(),
            )
        )
        # Its first turn, so that calls are taken.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=DEADLINE_S)
        assert self.task.done(), "the session does not end when it is cancelled"

    def send(self, *calls: Call) -> None:
        self.session.send(calls)

    async def next(self, kind: type[E]) -> E:
        """The first event of this kind after the one waited for last; others are passed over."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while self._waited_for < len(self.events):
                    event = self.events[self._waited_for]
                    self._waited_for += 1
                    if isinstance(event, kind):
                        return event
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the session has ended")
                self._changed.clear()
                await self._changed.wait()

    async def outcomes(self, call_ids: Sequence[int]) -> list[CallEnded]:
        """How these calls ended, in the order of their ends, once all have."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                ended = [
                    event
                    for event in self.events
                    if isinstance(event, CallEnded) and event.call_id in call_ids
                ]
                if len(ended) >= len(call_ids):
                    return ended
                self._changed.clear()
                await self._changed.wait()

    async def tried(self, times: int) -> None:
        """Waits until the session has begun so many tries."""
        async with asyncio.timeout(DEADLINE_S):
            while self._tries < times:
                self._changed.clear()
                await self._changed.wait()

    async def failure(self) -> BaseException:
        """What `run` raised; it has to, soon."""
        await asyncio.wait([self.task], timeout=DEADLINE_S)
        assert self.task.done(), "the session goes on"
        error = self.task.exception()
        assert error is not None
        return error

    def _begin_try(self) -> FrameworkRecord | None:
        self._tries += 1
        self._changed.set()
        if self.framework_id is None:
            return None
        return FrameworkRecord(self.framework_id, True, 0.0, *self.registered)

    def _take(self, event: Event) -> None:
        if isinstance(event, Subscribed):
            self.framework_id = event.framework_id
        self.events.append(event)
        self._changed.set()
        self.on_event(event)
