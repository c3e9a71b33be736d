"""What every store must do, whatever it is made of. One suite, a row in `KINDS` for each."""

import asyncio
import random
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.core.model.ids import JobId
from scheduler.core.model.instance import Instance
from scheduler.core.records import FRAMEWORK, Put, Record, RecordKey, Remove, key_of
from scheduler.runtime.protocols import Store
from scheduler.store.memory import MemoryStore
from scheduler.store.sqlite import SqliteStore
from tests.store import samples
from tests.store.led import LedStore
from tests.store.running import DEADLINE_S, contents, running


@dataclass(frozen=True)
class Kind:
    """A kind of store. `durable`: what is in it outlives the object, so it can be opened again."""

    name: str
    make: Callable[[Path], Store]
    durable: bool = True


def sqlite(directory: Path) -> Store:
    return SqliteStore(directory / "offerd.db")


def memory(directory: Path) -> Store:
    return MemoryStore()


KINDS = [
    Kind("memory", memory, durable=False),
    Kind("sqlite", sqlite),
    Kind("etcd", LedStore),
]
every_store = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
durable_stores = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.durable], ids=lambda kind: kind.name
)


@asynccontextmanager
async def opened(kind: Kind, directory: Path) -> AsyncIterator[Store]:
    store = kind.make(directory)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@every_store
async def test_a_new_store_is_empty(kind: Kind, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as store:
        assert [page async for page in store.load()] == []


@every_store
async def test_records_of_all_kinds_are_kept(kind: Kind, tmp_path: Path) -> None:
    records: list[Record] = [
        samples.framework(),
        samples.job(),
        samples.instance(0),
        samples.instance(1),
    ]
    async with opened(kind, tmp_path) as store, running(store) as run:
        run.submit([Put(record) for record in records], "done")
        await run.until_done("done")
        assert list((await contents(store)).values()) == records


@every_store
async def test_done_is_never_called_inside_submit(kind: Kind, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as store, running(store) as run:
        for number in range(10):
            run.submit([Put(samples.instance(number))], str(number))
            assert run.said == []
        run.submit([], "nothing")
        assert run.said == []
        await run.until_all_done()


@every_store
async def test_done_comes_once_for_each_submit_of_either_class(kind: Kind, tmp_path: Path) -> None:
    chance = random.Random(7)
    async with opened(kind, tmp_path) as store, running(store) as run:
        for number in range(500):
            writes = [Put(samples.instance(chance.randrange(50))) for _ in range(number % 4)]
            run.submit(writes, str(number), launches=chance.random() < 0.5)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await run.until_all_done()


@every_store
async def test_the_values_of_a_key_keep_their_order_whatever_class_they_are_of(
    kind: Kind, tmp_path: Path
) -> None:
    chance = random.Random(13)
    expected: dict[RecordKey, Instance] = {}
    async with opened(kind, tmp_path) as store, running(store) as run:
        for number in range(1, 2_001):
            records = [samples.instance(chance.randrange(300), number) for _ in range(3)]
            expected |= {record.key: record for record in records}
            run.submit([Put(one) for one in records], str(number), launches=number % 3 > 0)
            if number % 5 == 0:
                await asyncio.sleep(0)
        await run.until_all_done()
        assert await contents(store) == expected


@every_store
async def test_what_was_done_is_stored_or_something_newer_of_its_key(
    kind: Kind, tmp_path: Path
) -> None:
    chance = random.Random(17)
    latest: dict[RecordKey, int] = {}
    async with opened(kind, tmp_path) as store, running(store) as run:

        def submit(number: int) -> None:
            record = samples.instance(chance.randrange(20), number)

            def done() -> None:
                latest[record.key] = max(number, latest.get(record.key, 0))
                run.note(str(number))

            store.submit([Put(record)], done, launches=chance.random() < 0.7)

        for number in range(1, 401):
            submit(number)
            if number % 40 == 0:
                await run.until_done(str(number))
                told = dict(latest)
                found = await contents(store)
                for key, least in told.items():
                    record = found[key]
                    assert isinstance(record, Instance)
                    assert record.attempts >= least


@every_store
async def test_a_store_of_launches_and_statuses_finishes_both(kind: Kind, tmp_path: Path) -> None:
    """Neither class keeps the other waiting for ever."""
    async with opened(kind, tmp_path) as store, running(store) as run:
        launches = [Put(samples.instance(index)) for index in range(1_000, 2_000)]
        run.submit(launches, "launches", launches=True)
        number = 0
        while "launches" not in run.said:
            assert number < 20_000
            run.submit([Put(samples.instance(number % 500))], f"status {number}")
            number += 1
            await asyncio.sleep(0)
        run.submit(launches, "again", launches=True)
        await run.until_all_done()


@every_store
async def test_the_last_write_of_a_key_wins(kind: Kind, tmp_path: Path) -> None:
    key = samples.instance(0).key
    async with opened(kind, tmp_path) as store, running(store) as run:
        run.submit([Put(samples.instance(0, attempts)) for attempts in (1, 2, 3)], "within one")
        run.submit([Put(samples.instance(0, 4))], "across")
        await run.until_done("across")
        run.submit([Put(samples.instance(0, 5))], "later")
        run.submit([Remove(key), Put(samples.instance(0, 6))], "last")
        await run.until_done("last")
        assert await contents(store) == {key: samples.instance(0, 6)}


@every_store
async def test_a_removed_record_is_gone(kind: Kind, tmp_path: Path) -> None:
    removed: list[RecordKey] = [FRAMEWORK, samples.WEB, samples.instance(1).key]
    async with opened(kind, tmp_path) as store, running(store) as run:
        records: list[Record] = [
            samples.framework(),
            samples.job(),
            samples.instance(1),
            samples.instance(2),
        ]
        run.submit([Put(record) for record in records], "put")
        await run.until_done("put")
        run.submit([Remove(key) for key in removed], "removed")
        await run.until_done("removed")
        assert list(await contents(store)) == [samples.instance(2).key]
        run.submit([Put(samples.instance(3)), Remove(samples.instance(2).key)], "both")
        run.submit([Put(samples.instance(4)), Remove(samples.instance(4).key)], "put and removed")
        await run.until_done("put and removed")
        assert list(await contents(store)) == [samples.instance(3).key]


@every_store
async def test_removing_what_is_not_there_is_fine(kind: Kind, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as store, running(store) as run:
        run.submit([Remove(FRAMEWORK), Remove(JobId("none")), Remove(samples.WEB)], "done")
        await run.until_done("done")
        assert await contents(store) == {}


@every_store
async def test_submits_from_done_and_during_commits_are_kept(kind: Kind, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as store, running(store) as run:

        def go_on(number: int) -> None:
            run.note(str(number))
            if number < 200:
                store.submit([Put(samples.instance(number))], lambda: go_on(number + 1))

        go_on(0)
        for number in range(1_000, 1_200):
            run.submit([Put(samples.instance(number))], f"other {number}")
            await asyncio.sleep(0)
        await run.until(lambda said: "200" in said and "other 1199" in said)
        assert len(await contents(store)) == 400


@every_store
async def test_20000_writes_in_bursts_are_all_kept(kind: Kind, tmp_path: Path) -> None:
    chance = random.Random(11)
    sizes = [chance.choice((1, 10, 100, 1_000)) for _ in range(1_000)]
    expected: dict[RecordKey, Instance] = {}
    written = 0
    async with opened(kind, tmp_path) as store, running(store) as run:
        for burst, size in enumerate(sizes):
            size = min(size, 20_000 - written)
            records = [samples.instance(chance.randrange(8_000), burst + 1) for _ in range(size)]
            expected |= {record.key: record for record in records}
            run.submit([Put(record) for record in records], str(burst))
            written += size
            if written == 20_000:
                break
            await asyncio.sleep(0)
        await run.until_all_done()
        assert written == 20_000
        assert await contents(store) == expected


@every_store
async def test_one_submit_may_be_large_and_is_loaded_in_pages(kind: Kind, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as store, running(store) as run:
        run.submit([Put(samples.instance(index)) for index in range(17_001)], "put")
        await run.until_done("put")
        sizes = [len(page) async for page in store.load()]
        assert sum(sizes) == 17_001
        assert len(sizes) > 1
        assert min(sizes) > 0
        run.submit([Remove(samples.instance(index).key) for index in range(17_000)], "removed")
        await run.until_done("removed")
        assert list(await contents(store)) == [samples.instance(17_000).key]


@every_store
async def test_nothing_is_done_while_run_does_not_run(kind: Kind, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as store:
        said: list[str] = []
        store.submit([Put(samples.instance(0))], lambda: said.append("early"))
        await asyncio.sleep(0)
        assert said == []
        async with running(store) as run:
            run.submit([Put(samples.instance(0, 2))], "done")
            await run.until_done("done")
            assert said == ["early"]


@durable_stores
async def test_what_was_done_is_there_after_closing(kind: Kind, tmp_path: Path) -> None:
    records: list[Record] = [samples.framework(), samples.job(), *map(samples.instance, range(100))]
    async with opened(kind, tmp_path) as store, running(store) as run:
        run.submit([Put(record) for record in records], "done")
        await run.until_done("done")
    async with opened(kind, tmp_path) as store:
        assert await contents(store) == {key_of(record): record for record in records}


@durable_stores
async def test_closing_in_the_middle_loses_nothing_that_was_done(
    kind: Kind, tmp_path: Path
) -> None:
    async with opened(kind, tmp_path) as store, running(store) as run:
        for index in range(3_000):
            run.submit([Put(samples.instance(index))], str(index))
            if index % 20 == 0:
                await asyncio.sleep(0)
        await run.until_done("0")
        told = list(run.said)
    async with opened(kind, tmp_path) as store:
        found = await contents(store)
        assert all(samples.instance(int(index)).key in found for index in told)


async def start_writer(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.writer", *arguments, stdout=PIPE
    )


async def lines_of(process: Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        async for line in process.stdout:
            if line.endswith(b"\n"):
                yield line.decode().strip()


@pytest.mark.parametrize("seed", range(4))
async def test_kill_9_of_sqlites_process_loses_nothing_that_was_done(
    seed: int, tmp_path: Path
) -> None:
    kill_after = random.Random(seed).randrange(1, 15_000)
    file = tmp_path / "offerd.db"
    told: list[int] = []
    process = await start_writer(str(file), "1000000")
    async for line in lines_of(process):
        told.append(int(line.removeprefix("durable ")))
        if len(told) == kill_after:
            process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert told == list(range(len(told)))
    store = SqliteStore(file)
    await store.open()
    found = await contents(store)
    await store.close()
    assert all(found[samples.instance(index).key] == samples.instance(index) for index in told)


async def test_sqlite_refuses_while_its_file_may_not_grow_and_then_recovers(
    tmp_path: Path,
) -> None:
    file = tmp_path / "offerd.db"
    process = await start_writer(str(file), "10000", "500000")
    said: list[str] = []
    async for line in lines_of(process):
        said.append(line)
        if line.startswith("refusing"):
            process.send_signal(signal.SIGUSR1)
    assert await process.wait() == 0
    assert [line for line in said if line.startswith("durable")] == [
        f"durable {index}" for index in range(10_000)
    ]
    others = [line.split()[0] for line in said if not line.startswith("durable")]
    assert others == ["refusing", "recovered", "end"]
    store = SqliteStore(file)
    await store.open()
    assert len(await contents(store)) == 10_000
    await store.close()


async def test_sqlite_refuses_once_while_another_holds_its_lock(tmp_path: Path) -> None:
    file = tmp_path / "offerd.db"
    store = SqliteStore(file)
    await store.open()
    async with running(store) as run:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            run.submit([Put(samples.instance(0))], "first")
            await run.until(lambda said: len(said) > 0)
            run.submit([Put(samples.instance(1))], "second")
            assert len(run.said) == 1
            assert "lock" in run.said[0]
            assert store.pending == 2
            other.execute("ROLLBACK")
        await run.until_done("second")
        assert run.said[1:] == ["recovered", "first", "second"]
        assert store.pending == 0
    await store.close()
