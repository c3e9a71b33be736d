"""The single writer: takes events, asks the engine, and passes its steps to the outbox.

Nothing else calls `Engine.handle`. It waits for events, for the engine's own deadline, and for
writes to become durable when too many are not; it never does I/O itself.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from scheduler.core.engine import Engine
from scheduler.core.events import Event, Now, Subscribed
from scheduler.core.policy import Budget
from scheduler.runtime.mailbox import Mailbox
from scheduler.runtime.outbox import Outbox

Clock = Callable[[], Now]


def system_clock() -> Now:
    return Now(time.time(), time.monotonic())


class LoopLimits(msgspec.Struct, frozen=True):
    """`launches_held_max` bounds what may stand between a status update and the store;
    `writes_held_max` bounds memory while the store is slow or refuses."""

    events_a_step: int = 1000
    rows_a_step: int = 1000
    launches_held_max: int = 2000
    writes_held_max: int = 100_000


class EngineLoop:
    def __init__(
        self,
        engine: Engine,
        mailbox: Mailbox,
        outbox: Outbox,
        wake: asyncio.Event,
        *,
        clock: Clock = system_clock,
        limits: LoopLimits | None = None,
    ) -> None:
        """`wake` is shared with the mailbox and is set when the outbox has let steps go."""
        self._engine = engine
        self._mailbox = mailbox
        self._outbox = outbox
        self._wake = wake
        self._clock = clock
        self._limits = limits or LoopLimits()
        self._streams_handled = 0

    async def run(self) -> None:
        self._outbox.add(self._engine.start(self._clock()), self._streams_handled)
        more, wake_at = True, None
        while True:
            await self._until_due(more, wake_at)
            events = self._mailbox.take(self._limits.events_a_step)
            launches = self._limits.launches_held_max - self._outbox.launches_held
            budget = Budget(rows=self._limits.rows_a_step, launches=max(launches, 0))
            step = self._engine.handle(self._clock(), events, budget)
            self._count_streams(events)
            self._outbox.add(step, self._streams_handled)
            more = step.more and launches > 0
            wake_at = step.wake_at
            # One turn for everybody else, even when there is more to do.
            await asyncio.sleep(0)

    async def _until_due(self, more: bool, wake_at: float | None) -> None:
        """Returns when there is something to do, and not before the store has caught up."""
        while self._outbox.writes_held > self._limits.writes_held_max:
            self._wake.clear()
            await self._wake.wait()
        if more or len(self._mailbox):
            return
        self._wake.clear()
        pause_s = None if wake_at is None else max(0.0, wake_at - self._clock().mono)
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            pass  # the engine's own deadline has come

    def _count_streams(self, events: list[Event]) -> None:
        self._streams_handled += sum(isinstance(event, Subscribed) for event in events)
