"""A store at work, seen from outside: what it called, and what it holds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from scheduler.core.records import Record, RecordKey, Write, key_of
from scheduler.runtime.protocols import Store
from scheduler.store.sqlite import SqliteStore

DEADLINE_S = 20.0


class Running:
    """A store whose `run` runs, with everything that it said, in order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.said: list[str] = []
        self.submitted: list[str] = []
        self.task = asyncio.create_task(store.run(self._refusing, self._recovered))
        self.failure: BaseException | None = None
        self._changed = asyncio.Event()

    def _refusing(self, reason: str) -> None:
        self.note(f"refusing: {reason}")

    def _recovered(self) -> None:
        self.note("recovered")

    def note(self, word: str) -> None:
        self.said.append(word)
        self._changed.set()

    def submit(self, writes: Sequence[Write], name: str, *, launches: bool = False) -> None:
        self.submitted.append(name)
        self.store.submit(writes, lambda: self.note(name), launches=launches)

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        """Waits until what was said fulfils the condition; fails at once when `run` ends."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition(self.said):
                self._changed.clear()
                change = asyncio.create_task(self._changed.wait())
                await asyncio.wait({change, self.task}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                if self.task.done():
                    self.failure = self.task.exception()
                    self.task.result()

    async def until_done(self, name: str) -> None:
        await self.until(lambda said: name in said)

    async def until_all_done(self) -> None:
        """Each submit was done, and none twice."""
        await self.until(lambda said: len(said) >= len(self.submitted))
        assert sorted(self.said) == sorted(self.submitted)


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Running]:
    """Cancels `run` at the end; does not close the store. An error that `run` ended with is raised
    here, unless `until` raised it already."""
    run = Running(store)
    try:
        yield run
    finally:
        run.task.cancel()
        (ending,) = await asyncio.gather(run.task, return_exceptions=True)
        expected = isinstance(ending, asyncio.CancelledError) or ending is run.failure
        if isinstance(ending, BaseException) and not expected:
            raise ending


async def contents(store: Store) -> dict[RecordKey, Record]:
    found: dict[RecordKey, Record] = {}
    async for page in store.load():
        found |= {key_of(record): record for record in page}
    return found


async def stored_in(path: Path) -> dict[RecordKey, Record]:
    """What a new daemon finds in the file."""
    store = SqliteStore(path)
    await store.open()
    try:
        return await contents(store)
    finally:
        await store.close()
