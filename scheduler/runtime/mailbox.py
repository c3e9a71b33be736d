"""The one way into the engine: a bounded queue of events, in order of arrival.

Who can wait (the stream's reader) waits for room; who cannot (API requests) is told that it is
full. What the engine's own effects came to is always taken, since losing it would lose the truth.
"""

import asyncio
from collections import deque

from scheduler.core.events import Event


class Mailbox:
    def __init__(self, limit: int, wake: asyncio.Event) -> None:
        """`wake` is set whenever there is something to take."""
        self._limit = limit
        self._wake = wake
        self._events: deque[Event] = deque()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def full(self) -> bool:
        return len(self._events) >= self._limit

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._wake.set()
        if self.full:
            self._room.clear()

    async def room(self) -> None:
        """Returns when there is room again. It may wait as long as the engine is held up; the
        caller's own deadlines (heartbeats) bound it."""
        await self._room.wait()

    def take(self, at_most: int) -> list[Event]:
        events = [self._events.popleft() for _ in range(min(at_most, len(self._events)))]
        if not self.full:
            self._room.set()
        return events
