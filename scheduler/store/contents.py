"""All that a store keeps, read or replaced as one: for backup and restore.

Directly on the store and not through a daemon: a backup is wanted, too, when no daemon comes up,
and a restore must be the only one that writes. Neighbours: `backup_file` (where rows go to and come
from), `sqlite_file`, `etcd_layout`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from scheduler.errors import Compacted, EtcdUnavailable, EtcdUnknownOutcome, TermEnded
from scheduler.etcd3.client import Client
from scheduler.etcd3.transactions import Operation, create, delete, put
from scheduler.store.etcd_follow import read_leader
from scheduler.store.etcd_layout import RESTORING, SCHEMA, Layout
from scheduler.store.records import Row
from scheduler.store.sqlite_file import SqliteFile

PAGE_RECORDS: Final = 10_000
OPERATIONS_MAX: Final = 100
"""In a transaction; etcd takes 128."""
BYTES_MAX: Final = 512 * 1024
"""Of values in a transaction; etcd takes 1.5 MiB."""
IN_FLIGHT: Final = 8
AGAIN_S: Final = 0.5
TRIES_MAX: Final = 5
"""Of one transaction; each has the client's own deadline."""


class Contents(Protocol):
    """A store as a whole."""

    async def read(self) -> tuple[str, list[Row]]:
        """Every record as of one moment, while a daemon may go on writing; and which moment of what
        that is. Raises what the store raises, `StoreUnreadable` among it."""
        ...

    async def empty(self) -> bool: ...

    async def leader(self) -> str:
        """The daemon that leads on it, as far as the store itself tells; '' for none."""
        ...

    async def replace(self, rows: Sequence[Row], term: int) -> None:
        """Afterwards these are all there is. A daemon that comes in between, or after a failure,
        finds what was there before or refuses to start, but never a part."""
        ...


class SqliteContents:
    """In SQLite a restore is one transaction. `term` is nothing to it: the lock is what counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> tuple[str, list[Row]]:
        rows = await asyncio.to_thread(lambda: list(SqliteFile(self._path).rows()))
        return f"sqlite:{self._path}", rows

    async def empty(self) -> bool:
        return not self._path.exists() or not (await self.read())[1]

    async def leader(self) -> str:
        """Whoever holds the lock (`election.single`); the file itself names nobody."""
        return ""

    async def replace(self, rows: Sequence[Row], term: int) -> None:
        file = SqliteFile(self._path)
        await asyncio.to_thread(_replace, file, rows)


def _replace(file: SqliteFile, rows: Sequence[Row]) -> None:
    file.open()
    try:
        file.replace_all(rows)
    finally:
        file.close()


class EtcdContents:
    """`prefix` as `etcd_layout.prefix_of` gives it. The client stays its maker's."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._layout = Layout(prefix)

    async def read(self) -> tuple[str, list[Row]]:
        while True:
            try:
                return await self._read()
            except Compacted:
                pass  # the revision that was read at is gone; a newer one is as good

    async def _read(self) -> tuple[str, list[Row]]:
        layout, rows, revision = self._layout, list[Row](), 0
        async for page in self._client.get_prefix(layout.prefix, page_size=PAGE_RECORDS):
            revision = page.revision
            for item in page.items:
                if item.key == layout.schema:
                    layout.check_schema(item.value)
                path = layout.record_path(item.key)
                if path is not None:
                    rows.append((path, item.value))
        return f"etcd {layout.prefix.decode()}, revision {revision}", rows

    async def empty(self) -> bool:
        return not (await self.read())[1]

    async def leader(self) -> str:
        item = (await self._client.get(self._layout.leader)).item
        return read_leader(item).instance if item is not None else ""

    async def replace(self, rows: Sequence[Row], term: int) -> None:
        """Under the office: whoever leads is fenced out, and we are when we lose it. The layout's
        number is gone until the last record stands, so that no daemon starts with a part."""
        layout = self._layout
        await self._write([put(layout.schema, RESTORING)], term)
        for batch in _batches(await self._removals()):
            await self._write(batch, term)
        await self._write_all([put(layout.prefix + path.encode(), v) for path, v in rows], term)
        await self._write([put(layout.schema, b"%d" % SCHEMA)], term)

    async def _removals(self) -> list[Operation]:
        layout = self._layout
        keys = [
            item.key
            async for page in self._client.get_prefix(layout.prefix, page_size=PAGE_RECORDS)
            for item in page.items
            if layout.record_path(item.key) is not None
        ]
        return [delete(key) for key in keys]

    async def _write_all(self, operations: Sequence[Operation], term: int) -> None:
        free = asyncio.Semaphore(IN_FLIGHT)

        async def write(batch: Sequence[Operation]) -> None:
            async with free:
                await self._write(batch, term)

        async with asyncio.TaskGroup() as group:
            for batch in _batches(operations):
                group.create_task(write(batch))

    async def _write(self, operations: Sequence[Operation], term: int) -> None:
        """Whatever is of unknown outcome is sent again: under one term it is the same."""
        office = [create(self._layout.leader, term)]
        for attempt in range(TRIES_MAX):
            try:
                result = await self._client.transaction(office, operations, [])
            except (EtcdUnavailable, EtcdUnknownOutcome):
                if attempt == TRIES_MAX - 1:
                    raise
                await asyncio.sleep(AGAIN_S)
                continue
            if result.succeeded:
                return
            raise TermEnded("etcd: the office was lost meanwhile; run it again with --replace")


def _batches(operations: Sequence[Operation]) -> list[list[Operation]]:
    batches: list[list[Operation]] = [[]]
    size = 0
    for operation in operations:
        value = getattr(operation, "value", b"")
        if len(batches[-1]) >= OPERATIONS_MAX or (batches[-1] and size + len(value) > BYTES_MAX):
            batches.append([])
            size = 0
        batches[-1].append(operation)
        size += len(value)
    return [batch for batch in batches if batch]
