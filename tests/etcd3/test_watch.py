"""Watches on a real etcd: order, compaction, large events, slow readers, one that was away."""

import asyncio
from collections.abc import Iterator

import pytest

from scheduler.errors import Compacted
from scheduler.etcd3 import transactions as t
from scheduler.etcd3.client import Client
from scheduler.etcd3.settings import Timeouts
from scheduler.etcd3.values import WatchEvent
from scheduler.etcd3.watches import Watch
from tests.etcd3.cut_proxy import cut_proxy
from tests.etcd3.patience import until
from tests.support.etcd_cluster import EtcdCluster, etcd_cluster

IMPATIENT = Timeouts(silence_s=1.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """It sends answers in parts of some 600 kB, and so does not need much to do so."""
    options = ["--max-request-bytes=100000"]
    with etcd_cluster(tmp_path_factory.mktemp("small"), "127.77.32", options=options) as cluster:
        yield cluster


async def seen(watch: Watch, count: int) -> list[WatchEvent]:
    """So many events, and what came along with the last of them."""
    events: list[WatchEvent] = []
    async with asyncio.timeout(20.0):
        async for batch in watch:
            events.extend(batch.events)
            if len(events) >= count:
                break
    return events


async def test_changes_come_in_order_from_the_revision_asked_for(
    client: Client, prefix: bytes
) -> None:
    revisions = [await client.put(prefix + b"key", b"%d" % n) for n in range(4)]
    async with client.watch_prefix(prefix, revisions[1]) as watch:
        events = await seen(watch, 3)
        assert [event.item.value for event in events] == [b"1", b"2", b"3"]
        assert [event.item.mod_revision for event in events] == revisions[1:]
        await client.delete(prefix + b"key")
        (deletion,) = await seen(watch, 1)
        assert deletion.deleted
        assert deletion.item.key == prefix + b"key"
        assert deletion.item.mod_revision == revisions[3] + 1


async def test_other_prefixes_are_not_seen(client: Client, prefix: bytes) -> None:
    start = await client.put(prefix[:-1] + b"0", b"a neighbour")
    async with client.watch_prefix(prefix, start) as watch:
        await client.put(prefix[:-1] + b".", b"another one")
        await client.put(prefix + b"key", b"ours")
        assert [event.item.value for event in await seen(watch, 1)] == [b"ours"]


async def test_a_transaction_comes_in_one_batch(client: Client, prefix: bytes) -> None:
    operations = [t.put(prefix + b"%03d" % n, b"") for n in range(100)]
    start = (await client.put(prefix + b"start", b"")) + 1
    async with client.watch_prefix(prefix, start) as watch:
        done = await client.transaction(success=operations)
        async for batch in watch:
            if batch.events:
                break
        assert batch.revision == done.revision
        assert len(batch.events) == 100


async def test_a_quiet_watch_gives_signs_of_life(etcd: EtcdCluster, prefix: bytes) -> None:
    async with Client(etcd.endpoints, timeouts=IMPATIENT) as client:
        start = (await client.put(prefix + b"key", b"")) + 1
        async with client.watch_prefix(prefix, start) as watch, asyncio.timeout(10.0):
            batches = [await anext(watch) for _ in range(3)]
    assert [(batch.events, batch.revision) for batch in batches] == [((), start - 1)] * 3


async def test_a_watch_from_a_compacted_revision_says_what_is_left(
    client: Client, prefix: bytes
) -> None:
    first = await client.put(prefix + b"key", b"1")
    last = await client.put(prefix + b"key", b"2")
    await client.compact(last)
    async with client.watch_prefix(prefix, first) as watch:
        with pytest.raises(Compacted) as caught:
            await seen(watch, 1)
    assert caught.value.revision == last
    async with client.watch_prefix(prefix, last) as watch:
        assert [event.item.value for event in await seen(watch, 1)] == [b"2"]


async def test_compaction_while_a_watch_is_cut_off_is_told(
    etcd: EtcdCluster, client: Client, prefix: bytes
) -> None:
    start = await client.put(prefix + b"key", b"1")
    async with (
        cut_proxy(etcd.endpoints[0]) as proxy,
        Client([proxy.endpoint]) as cut_off,
        cut_off.watch_prefix(prefix, start) as watch,
    ):
        await seen(watch, 1)
        proxy.hold()
        proxy.cut()
        await client.put(prefix + b"key", b"2")
        await client.compact(await client.put(prefix + b"key", b"3"))
        proxy.release()
        with pytest.raises(Compacted):
            await seen(watch, 1)


async def test_a_watch_that_was_cut_off_misses_nothing(
    etcd: EtcdCluster, client: Client, prefix: bytes
) -> None:
    numbers = [b"%04d" % n for n in range(3000)]
    start = (await client.put(prefix + b"start", b"")) + 1
    async with (
        cut_proxy(etcd.endpoints[0]) as proxy,
        Client([proxy.endpoint]) as cut_off,
        cut_off.watch_prefix(prefix, start) as watch,
    ):
        reading = asyncio.create_task(seen(watch, len(numbers)))
        for n, number in enumerate(numbers):
            await client.put(prefix + b"key", number)
            if n % 500 == 250:
                proxy.cut()
        assert [event.item.value for event in await reading] == numbers


async def test_a_reader_that_was_away_for_long_misses_nothing(
    etcd: EtcdCluster, prefix: bytes
) -> None:
    """Longer than the silence that ends a stream: it is the reader who was silent."""
    async with Client(etcd.endpoints, timeouts=IMPATIENT) as client:
        start = await client.put(prefix + b"key", b"0")
        async with client.watch_prefix(prefix, start) as watch:
            await seen(watch, 1)
            for n in range(20):
                await client.put(prefix + b"key", bytes(50_000) + b"%d" % n)
            await asyncio.sleep(1.5 * IMPATIENT.silence_s)  # the absence itself
            values = [event.item.value[50_000:] for event in await seen(watch, 20)]
    assert values == [b"%d" % n for n in range(20)]


async def test_large_events_come_in_parts_and_are_put_together(small: EtcdCluster) -> None:
    async with Client(small.endpoints) as client:
        start = await client.put(b"/large/start", b"")
        for n in range(30):
            await client.put(b"/large/%d" % n, bytes(90_000) + b"%d" % n)
        async with client.watch_prefix(b"/large/", start + 1) as watch:
            events = await seen(watch, 30)
    assert [event.item.value[90_000:] for event in events] == [b"%d" % n for n in range(30)]


async def test_a_watch_survives_a_restart_of_the_only_member(small: EtcdCluster) -> None:
    async with Client(small.endpoints) as client:
        start = await client.put(b"/restart/key", b"0")
        async with client.watch_prefix(b"/restart/", start) as watch:
            await seen(watch, 1)
            small.members[0].kill()
            reading = asyncio.create_task(seen(watch, 2))
            small.members[0].start()
            await until(small.members[0].listens, "etcd to listen")
            for n in (1, 2):
                await client.put(b"/restart/key", b"%d" % n)
            assert [event.item.value for event in await reading] == [b"1", b"2"]
