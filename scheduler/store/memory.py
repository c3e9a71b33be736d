"""Records in memory, for tests and trials: the contract of a store without its durability. What
was stored is gone when the store is; nothing here may pretend otherwise.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from scheduler.core.records import Record, Write
from scheduler.store.records import decode, row_of

PAGE_RECORDS = 5_000


class MemoryStore:
    """Keeps encoded values, so that a record which no store could keep fails here too."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._dones: deque[Callable[[], None]] = deque()
        self._submitted = asyncio.Event()

    @property
    def pending(self) -> int:
        """Writes that are not durable yet: never any."""
        return 0

    async def open(self) -> None:
        return None

    async def load(self) -> AsyncIterator[Sequence[Record]]:
        values = sorted(self._values.items())
        for first in range(0, len(values), PAGE_RECORDS):
            yield [decode(path, value) for path, value in values[first : first + PAGE_RECORDS]]

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None:
        rows = [row_of(write) for write in writes]
        for path, value in rows:
            if value is None:
                self._values.pop(path, None)
            else:
                self._values[path] = value
        # Never called from here: whoever submits is in the middle of a step.
        self._dones.append(done)
        self._submitted.set()

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        """Calls what `submit` was given, in order, until it is cancelled; memory never refuses."""
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            while self._dones:
                self._dones.popleft()()

    async def close(self) -> None:
        self._values.clear()
