"""Work that would hold up the event loop, done in a thread beside it: one piece at a time, so that
the store's thread gets its share.

Only pure functions over values go there. Neighbours: `documents` (large jobs), `waiting_routes`.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from scheduler.api.problems import too_many

WAIT_S: Final = 5.0

T = TypeVar("T")


class Aside:
    """`busy` is what a request is told that did not get its turn in time."""

    def __init__(self, busy: str) -> None:
        self._busy = busy
        self._turn = asyncio.Semaphore(1)

    async def run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise too_many(self._busy) from error
        try:
            return await asyncio.to_thread(work)
        finally:
            self._turn.release()
