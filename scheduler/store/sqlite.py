"""Records in one SQLite file, for a daemon that runs alone.

One thread owns the file and does nothing else. Group commit: what is submitted while a transaction
is in flight goes into the next one, so the number of syncs follows the disk and not the load.
There is one queue and no classes of writes: a full transaction takes 20 ms, so a status never
waits longer than that behind launches.

It must not decide who may write (that is `election/`); neighbours: `sqlite_file.py`, `records.py`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from scheduler.core.records import Record, Write
from scheduler.errors import StoreRefused
from scheduler.store.records import row_of
from scheduler.store.sqlite_file import SqliteFile

T = TypeVar("T")

BATCH_WRITES_MAX = 5_000
"""Writes in a transaction. Two parameters each; SQLite takes 32,766 in a statement."""

PAGE_RECORDS = 5_000

YIELD_EVERY_S = 0.002
YIELD_S = 0.000_05

RETRY_S_MIN = 0.2
RETRY_S_MAX = 5.0


class _Batch:
    """What goes into one transaction: the last value of each path, and who waits for it."""

    __slots__ = ("dones", "in_flight", "values")

    def __init__(self) -> None:
        self.values: dict[str, bytes | None] = {}
        self.dones: list[Callable[[], None]] = []
        self.in_flight = False


class SqliteStore:
    """See `runtime.protocols.Store`. `submit` and `run` belong to the loop's thread."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        # The first one may be in flight; it leaves the queue when it is durable.
        self._batches: deque[_Batch] = deque()
        self._submitted = asyncio.Event()

    @property
    def pending(self) -> int:
        """Keys with a write that is not durable yet. `submit` never refuses, so this is what the
        one who submits must bound."""
        return sum(len(batch.values) for batch in self._batches)

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

    def submit(self, writes: Sequence[Write], done: Callable[[], None]) -> None:
        """Large submits are spread over several transactions; `done` comes with the last one."""
        rows = [row_of(write) for write in writes]
        batch = self._open_batch()
        for path, value in rows:
            if len(batch.values) >= BATCH_WRITES_MAX:
                batch = self._open_batch()
            batch.values[path] = value
        batch.dones.append(done)
        self._submitted.set()

    def _open_batch(self) -> _Batch:
        if self._batches:
            last = self._batches[-1]
            if not last.in_flight and len(last.values) < BATCH_WRITES_MAX:
                return last
        self._batches.append(_Batch())
        return self._batches[-1]

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        """Commits, until it is cancelled. Raises `StoreUnreadable` when the file was damaged,
        removed or replaced: what is pending then stays undone."""
        while True:
            await self._submitted.wait()
            while self._batches:
                batch = self._batches[0]
                batch.in_flight = True
                await self._commit(batch, refusing, recovered)
                self._batches.popleft()
                for done in batch.dones:
                    done()
            self._submitted.clear()

    async def _commit(
        self, batch: _Batch, refusing: Callable[[str], None], recovered: Callable[[], None]
    ) -> None:
        """Returns when the batch is durable, however often the file refuses meanwhile. Writing it
        again is harmless: it holds whole values."""
        retry_s = RETRY_S_MIN
        refused = False
        while True:
            try:
                if batch.values:
                    await self._in_thread(self._file.write, batch.values)
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
