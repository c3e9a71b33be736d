"""A store read and replaced as a whole: alike in SQLite and in a real etcd."""

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from scheduler.core.records import Put, Record, key_of
from scheduler.errors import StoreRefused, StoreUnreadable, TermEnded
from scheduler.etcd3.client import Client
from scheduler.store.contents import EtcdContents, SqliteContents
from scheduler.store.etcd import EtcdStore
from scheduler.store.etcd_layout import RESTORING, Layout, prefix_of
from scheduler.store.records import Row, encode, path_of
from scheduler.store.sqlite import SqliteStore
from tests.store import samples
from tests.store.led import begin_term, led_store, shared_etcd
from tests.store.running import running

RECORDS: list[Record] = [
    samples.framework(),
    samples.job(),
    *(samples.instance(index) for index in range(250)),
]
OTHERS: list[Record] = [samples.framework("other"), samples.job(version=7)]


def rows_of(records: list[Record]) -> list[Row]:
    return sorted((path_of(key_of(record)), encode(record)) for record in records)


class InSqlite:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.contents = SqliteContents(path)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(self._path)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    async def term(self) -> int:
        return 1


class InEtcd:
    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self.contents = EtcdContents(client, prefix)

    def opened(self) -> AbstractAsyncContextManager[EtcdStore]:
        return led_store(self._client, self._prefix)

    async def term(self) -> int:
        return await begin_term(self._client, self._prefix)


Kept = InSqlite | InEtcd
"""A store that a daemon can open, and its contents."""


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(shared_etcd().endpoints) as client:
        yield client


@pytest.fixture(params=["sqlite", "etcd"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    if request.param == "sqlite":
        yield InSqlite(tmp_path / "a.db")
        return
    async with Client(shared_etcd().endpoints) as client:
        yield InEtcd(client, prefix_of("contents", str(tmp_path)))


async def loaded(kept: Kept) -> list[Row]:
    async with kept.opened() as store:
        return rows_of([record async for page in store.load() for record in page])


async def test_what_a_daemon_stored_is_read_while_it_goes_on(kept: Kept) -> None:
    async with kept.opened() as store, running(store) as run:
        run.submit([Put(record) for record in RECORDS], "first")
        await run.until_done("first")
        _, rows = await kept.contents.read()
        assert sorted(rows) == rows_of(RECORDS)
        run.submit([Put(samples.job(version=9))], "second")
        await run.until_done("second")


async def test_what_replaces_it_is_all_there_is(kept: Kept) -> None:
    async with kept.opened() as store, running(store) as run:
        run.submit([Put(record) for record in RECORDS], "done")
        await run.until_done("done")
    assert not await kept.contents.empty()
    await kept.contents.replace(rows_of(OTHERS), await kept.term())
    assert await loaded(kept) == rows_of(OTHERS)
    await kept.contents.replace([], await kept.term())
    assert await kept.contents.empty()
    await kept.contents.replace(rows_of(RECORDS), await kept.term())
    assert await loaded(kept) == rows_of(RECORDS)


async def test_a_store_that_was_never_used_is_empty_and_can_be_filled(kept: Kept) -> None:
    assert await kept.contents.empty()
    assert await kept.contents.leader() == ""
    await kept.contents.replace(rows_of(RECORDS), await kept.term())
    assert await loaded(kept) == rows_of(RECORDS)


async def test_no_file_is_made_by_reading_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="there is no such file"):
        await SqliteContents(tmp_path / "a.db").read()
    assert os.listdir(tmp_path) == []


async def test_a_failure_in_sqlite_leaves_what_was_there(tmp_path: Path) -> None:
    kept = InSqlite(tmp_path / "a.db")
    await kept.contents.replace(rows_of(OTHERS), 1)
    twice = [*rows_of(RECORDS), *rows_of(RECORDS)[:1]]
    with pytest.raises(StoreUnreadable):
        await kept.contents.replace(twice, 1)
    assert await loaded(kept) == rows_of(OTHERS)


async def test_a_restore_into_etcd_that_was_cut_short_starts_no_daemon(
    client: Client, tmp_path: Path
) -> None:
    prefix = prefix_of("contents", str(tmp_path))
    kept = InEtcd(client, prefix)
    await client.put(Layout(prefix).schema, RESTORING)
    with pytest.raises(StoreUnreadable, match="was not finished; then run it again"):
        await loaded(kept)
    with pytest.raises(StoreUnreadable, match="was not finished"):
        await kept.contents.read()
    await kept.contents.replace(rows_of(RECORDS), await kept.term())
    assert await loaded(kept) == rows_of(RECORDS)


async def test_who_lost_the_office_replaces_nothing_in_etcd(client: Client, tmp_path: Path) -> None:
    kept = InEtcd(client, prefix_of("contents", str(tmp_path)))
    await kept.contents.replace(rows_of(OTHERS), term := await kept.term())
    await kept.term()
    with pytest.raises(TermEnded, match="the office was lost"):
        await kept.contents.replace(rows_of(RECORDS), term)
    assert await loaded(kept) == rows_of(OTHERS)


async def test_etcd_says_who_leads(client: Client, tmp_path: Path) -> None:
    prefix = prefix_of("contents", str(tmp_path))
    await begin_term(client, prefix, b'{"instance": "offerd-2", "advertise": null}')
    assert await EtcdContents(client, prefix).leader() == "offerd-2"
