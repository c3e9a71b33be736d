"""Records in one SQLite file, for a daemon that runs alone.

One thread owns the file and does nothing else. Group commit: what is submitted while a transaction
is in flight goes into the next one, so the number of syncs follows the disk and not the load;
`group_commit.py` says what goes first.

It must not decide who may write (that is `election/`); neighbours: `sqlite_file.py`, `records.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from scheduler.core.records import Record, Write
from scheduler.errors import StoreRefused
from scheduler.store.group_commit import GroupCommit, Transaction, Values
from scheduler.store.records import row_of
from scheduler.store.sqlite_file import SqliteFile

T = TypeVar("T")

PAGE_RECORDS = 5_000

YIELD_EVERY_S = 0.002
YIELD_S = 0.000_05

TURNS = 3
"""Of the event loop: what lies in a socket takes so many until it is submitted."""

RETRY_S_MIN = 0.2
RETRY_S_MAX = 5.0


class SqliteStore:
    """See `runtime.protocols.Store`. `submit` and `run` belong to the loop's thread."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting = GroupCommit()
        self._in_flight: Transaction | None = None
        self._submitted = asyncio.Event()

    @property
    def pending(self) -> int:
        """Writes that are not durable yet. `submit` never refuses, so this is what the one who
        submits must bound."""
        in_flight = len(self._in_flight.values) if self._in_flight is not None else 0
        return in_flight + self._waiting.pending

    async def open(self) -> None:
        """Raises `StoreRefused` when the file cannot be made or opened, `StoreUnreadable` when it
        is damaged, foreign, or written by a newer version."""
        await self._in_thread(self._file.open)

    async def load(self) -> AsyncIterator[Sequence[Record]]:
        """All records, in pages: the framework's, then jobs, then instances. To be read to its end
        before the first submit. Raises `StoreUnreadable` with the key of what cannot be read."""
        after = ""
        while True:
            records, after = await self._in_thread(self._file.read, after, PAGE_RECORDS)
            if not records:
                return
            yield records

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None:
        """Large submits are spread over several transactions; `done` comes with the last one."""
        self._waiting.add(dict(map(row_of, writes)), done, launches=launches)
        self._submitted.set()

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        """Commits, until it is cancelled. Raises `StoreUnreadable` when the file was damaged,
        removed or replaced: what is pending then stays undone."""
        while True:
            await self._submitted.wait()
            while (transaction := self._in_flight or await self._next()) is not None:
                self._in_flight = transaction
                await self._commit(transaction.values, refusing, recovered)
                self._in_flight = None
                for done in transaction.dones:
                    done()
            self._submitted.clear()

    async def _next(self) -> Transaction | None:
        """The next one. Launches make way for what has arrived while they were placed, a status
        perhaps, which would have to wait for all of their transaction."""
        if self._waiting.only_launches:
            for _ in range(TURNS):
                await asyncio.sleep(0)
        return self._waiting.next()

    async def _commit(
        self, values: Values, refusing: Callable[[str], None], recovered: Callable[[], None]
    ) -> None:
        """Returns when they are durable, however often the file refuses meanwhile. Writing them
        again is harmless: they are whole."""
        retry_s = RETRY_S_MIN
        refused = False
        while True:
            try:
                if values:
                    await self._in_thread(self._file.write, values)
                break
            except StoreRefused as error:
                if not refused:
                    refusing(str(error))
                refused = True
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, RETRY_S_MAX)
        if refused:
            recovered()

    async def close(self) -> None:
        """Closes the file, after the transaction in flight. What is pending is not written: nobody
        was told that it is durable."""
        await self._in_thread(self._file.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._thread, work, *arguments)
        loop.call_later(YIELD_EVERY_S, _make_way, loop, working)
        return await working


def _make_way(loop: asyncio.AbstractEventLoop, working: asyncio.Future[T]) -> None:
    """Hands the interpreter to the thread, now and then while it works.

    A loop that never idles lets go of the interpreter's lock at each turn and has it back before
    the thread is awake; the thread, woken each time, never waits the 5 ms after which it may insist
    on its turn. Without this a commit under full load took seconds.
    """
    if not working.done():
        time.sleep(YIELD_S)
        loop.call_later(YIELD_EVERY_S, _make_way, loop, working)
