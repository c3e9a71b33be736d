"""The single writer: takes events, asks the engine, and passes its steps to the outbox.

Nothing else calls `Engine.handle`. It waits for events, for the engine's own deadline, and for
writes to become durable when too many are not; it never does I/O itself. A step that applies
updates places nothing, so that their acknowledgements share no step with launches; placing goes on
in steps of its own, as `pace.py` says.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from scheduler.core.engine import Engine
from scheduler.core.events import Event, Now, StatusUpdated, Subscribed
from scheduler.core.policy import Budget
from scheduler.runtime.mailbox import Mailbox
from scheduler.runtime.outbox import Outbox
from scheduler.runtime.pace import LoopLimits, Pace

Clock = Callable[[], Now]

NOTHING_PLACED = Budget(rows=0, launches=0)

TURNS = 3
"""Of the event loop: an update takes so many from the socket to the mailbox, and a call that leaves
needs one to be written."""


def system_clock() -> Now:
    return Now(time.time(), time.monotonic())


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
        """`wake` is shared with the mailbox and is set when the outbox has let something go."""
        self._engine = engine
        self._mailbox = mailbox
        self._outbox = outbox
        self._wake = wake
        self._clock = clock
        self._limits = limits or LoopLimits()
        self._pace = Pace(self._limits)
        self._streams_handled = 0
        self._places_next = False
        """The last step placed nothing, so that the next one may."""

    async def run(self) -> None:
        self._outbox.add(self._engine.start(self._clock()), self._streams_handled)
        more, wake_at = True, None
        while True:
            await self._until_due(more, wake_at)
            now = self._clock()
            events, budget = self._next(more, now.mono)
            step = self._engine.handle(now, events, budget)
            self._count_streams(events)
            self._outbox.add(step, self._streams_handled)
            more, wake_at = step.more, step.wake_at
            self._places_next = budget is NOTHING_PLACED
            if not self._places_next:
                self._pace.placed(self._clock().mono)
            # One turn for everybody else, even when there is more to do.
            await asyncio.sleep(0)

    def _next(self, more: bool, mono: float) -> tuple[Sequence[Event], Budget]:
        """What came, or the placing that the last step left out for it, whatever came meanwhile."""
        makes_way = self._patience_s(mono, coming=len(self._mailbox)) > 0
        budget = self._pace.budget(self._outbox.launches_held)
        if more and self._places_next and not makes_way and budget.launches:
            return (), budget
        events = self._mailbox.take(self._limits.events_a_step)
        updates = sum(type(event) is StatusUpdated for event in events)
        self._pace.count(updates, mono, self._outbox.acknowledgements_held)
        return events, NOTHING_PLACED if updates or makes_way else budget

    def _patience_s(self, mono: float, *, coming: int = 0) -> float:
        held = self._outbox
        return self._pace.patience_s(held.acknowledgements_held + coming, held.launches_held, mono)

    async def _until_due(self, more: bool, wake_at: float | None) -> None:
        """Returns when there is something to do, and not before the store has caught up."""
        while self._outbox.writes_held > self._limits.writes_held_max:
            self._wake.clear()
            await self._wake.wait()
        if len(self._mailbox):
            return
        if more and self._pace.budget(self._outbox.launches_held).launches:
            await self._make_way()
            return
        mono = self._clock().mono
        await self._wait(None if wake_at is None else max(0.0, wake_at - mono))

    async def _make_way(self) -> None:
        """Before placing beside updates that come one by one: until nothing is held, and what has
        left is written, or it has been long enough; then for what may be on its way."""
        while pause_s := self._patience_s(self._clock().mono):
            await self._wait(pause_s)
            if len(self._mailbox):
                return
        if self._pace.alone:
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def _wait(self, pause_s: float | None) -> None:
        """For an event or a release, at most so long."""
        self._wake.clear()
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            pass  # who waits looks at the clock itself

    def _count_streams(self, events: Sequence[Event]) -> None:
        self._streams_handled += sum(isinstance(event, Subscribed) for event in events)
