"""Where a watch goes on after a break, before a server that says just what it is told to.

Each of these is a way in which a client of etcd was seen to lose events, or to wait for ever.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from scheduler.errors import Compacted, EtcdRefusal, EtcdRefused
from scheduler.etcd3.client import Client
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.settings import Timeouts
from scheduler.etcd3.values import WatchEvents
from scheduler.etcd3.watches import Watch
from tests.etcd3.fake_etcd import FakeEtcd, WatchSide, events, fake_etcd, header

SILENCE_S_MAX = 3.0


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeEtcd]:
    async with fake_etcd() as fake:
        yield fake


@pytest_asyncio.fixture
async def watch(fake: FakeEtcd) -> AsyncIterator[Watch]:
    async with Client([fake.endpoint]) as client, client.watch_prefix(b"/", 11) as watch:
        yield watch


async def next_events(watch: Watch) -> WatchEvents:
    """The next batch that has events."""
    async with asyncio.timeout(10.0):
        async for batch in watch:
            if batch.events:
                return batch
    raise AssertionError("a watch does not end")


async def resumed_at(fake: FakeEtcd, watch: Watch, broken: WatchSide | None = None) -> int:
    """The revision that the next stream begins at; it gives one event, so that its reader ends."""
    if broken is not None:
        broken.end(grpc.StatusCode.UNAVAILABLE, "gone")
    reading = asyncio.create_task(next_events(watch))
    stream, start = await fake.created_watch()
    await stream.tell(pb.WatchResponse(header=header(100), events=events(start)))
    await reading
    return start


async def test_a_break_amid_catching_up_loses_nothing(fake: FakeEtcd, watch: Watch) -> None:
    """The header says how far the store is; the events say how far the watch is."""
    reading = asyncio.create_task(next_events(watch))
    stream, start = await fake.created_watch()
    assert start == 11
    await stream.tell(pb.WatchResponse(header=header(100), events=events(11, 15, 20)))
    batch = await reading
    assert [event.item.mod_revision for event in batch.events] == [11, 15, 20]
    assert batch.revision == 20
    assert await resumed_at(fake, watch, stream) == 21


async def test_a_break_before_any_event_begins_at_the_same_revision(
    fake: FakeEtcd, watch: Watch
) -> None:
    sign_of_life = asyncio.create_task(anext(watch))
    stream, _ = await fake.created_watch()
    assert await sign_of_life == WatchEvents((), 10)
    assert await resumed_at(fake, watch, stream) == 11


async def test_an_answer_to_a_progress_request_proves_nothing_about_events(
    fake: FakeEtcd, watch: Watch
) -> None:
    """etcd up to 3.4.24 sends it past the events that wait to be sent."""
    sign_of_life = asyncio.create_task(anext(watch))
    stream, _ = await fake.created_watch()
    await sign_of_life
    sign_of_life = asyncio.create_task(anext(watch))
    assert (await stream.asked()).WhichOneof("request") == "progress_request"
    await stream.tell(pb.WatchResponse(header=header(100), watch_id=-1))
    assert await sign_of_life == WatchEvents((), 10)
    assert await resumed_at(fake, watch, stream) == 11


async def test_etcds_own_progress_notification_moves_the_watch_on(
    fake: FakeEtcd, watch: Watch
) -> None:
    """Else a quiet watch would one day begin at a revision compacted long ago."""
    created = asyncio.create_task(anext(watch))
    stream, _ = await fake.created_watch()
    await created
    await stream.tell(pb.WatchResponse(header=header(100)))
    assert await anext(watch) == WatchEvents((), 100)
    assert await resumed_at(fake, watch, stream) == 101


async def test_a_member_that_is_behind_does_not_move_the_watch_back(
    fake: FakeEtcd, watch: Watch
) -> None:
    reading = asyncio.create_task(next_events(watch))
    stream, _ = await fake.created_watch()
    await stream.tell(pb.WatchResponse(header=header(60), events=events(60)))
    await reading
    await stream.tell(pb.WatchResponse(header=header(40)))
    assert await anext(watch) == WatchEvents((), 60)
    await stream.tell(pb.WatchResponse(header=header(61), events=events(59, 60, 61)))
    assert [event.item.mod_revision for event in (await next_events(watch)).events] == [61]


async def test_a_transaction_in_parts_is_handed_out_as_a_whole(
    fake: FakeEtcd, watch: Watch
) -> None:
    reading = asyncio.create_task(next_events(watch))
    stream, _ = await fake.created_watch()
    for fragment, part in ((True, events(20, 20)), (True, events(20)), (False, events(20, 21))):
        await stream.tell(pb.WatchResponse(header=header(100), fragment=fragment, events=part))
    batch = await reading
    assert [event.item.mod_revision for event in batch.events] == [20, 20, 20, 20, 21]
    assert batch.revision == 21


async def test_parts_are_handed_out_as_soon_as_their_transactions_are_whole(
    fake: FakeEtcd, watch: Watch
) -> None:
    """Catching up may be long: what is held back is one transaction, not all of it."""
    reading = asyncio.create_task(next_events(watch))
    stream, _ = await fake.created_watch()
    first = pb.WatchResponse(header=header(100), fragment=True, events=events(20, 21, 22))
    await stream.tell(first)
    assert (await reading).revision == 21
    await stream.tell(pb.WatchResponse(header=header(100), events=events(22)))
    batch = await next_events(watch)
    assert [event.item.mod_revision for event in batch.events] == [22, 22]


async def test_a_break_amid_the_parts_of_a_transaction_begins_it_again(
    fake: FakeEtcd, watch: Watch
) -> None:
    reading = asyncio.create_task(next_events(watch))
    stream, _ = await fake.created_watch()
    first = pb.WatchResponse(header=header(100), fragment=True, events=events(20, 21, 21))
    await stream.tell(first)
    assert (await reading).revision == 20
    stream.end(grpc.StatusCode.UNAVAILABLE, "gone")
    reading = asyncio.create_task(next_events(watch))
    stream, start = await fake.created_watch()
    assert start == 21
    await stream.tell(pb.WatchResponse(header=header(100), events=events(21, 21, 21)))
    assert [event.item.mod_revision for event in (await reading).events] == [21, 21, 21]


async def test_a_watch_from_a_compacted_revision_says_so(fake: FakeEtcd, watch: Watch) -> None:
    reading = asyncio.create_task(next_events(watch))
    stream, _ = await fake.created_watch()
    await stream.tell(pb.WatchResponse(header=header(100), canceled=True, compact_revision=16))
    with pytest.raises(Compacted) as caught:
        await reading
    assert caught.value.revision == 16


@pytest.mark.parametrize("reason", ["", "etcdserver: no leader", "something new"])
async def test_a_watch_that_etcd_ends_for_no_known_reason_goes_on(
    fake: FakeEtcd, watch: Watch, reason: str
) -> None:
    reading = asyncio.create_task(next_events(watch))
    stream, _ = await fake.created_watch()
    await stream.tell(pb.WatchResponse(header=header(100), canceled=True, cancel_reason=reason))
    stream, start = await fake.created_watch()
    await stream.tell(pb.WatchResponse(header=header(100), events=events(start)))
    await reading


async def test_a_watch_without_the_right_to_it_is_refused(fake: FakeEtcd, watch: Watch) -> None:
    reading = asyncio.create_task(next_events(watch))
    stream = await fake.watch()
    await stream.asked()
    denied = "etcdserver: permission denied"
    await stream.tell(
        pb.WatchResponse(header=header(1), created=True, canceled=True, cancel_reason=denied)
    )
    with pytest.raises(EtcdRefused) as caught:
        await reading
    assert caught.value.reason is EtcdRefusal.PERMISSION


async def test_a_stream_that_ends_well_is_opened_again(fake: FakeEtcd, watch: Watch) -> None:
    created = asyncio.create_task(anext(watch))
    stream, _ = await fake.created_watch()
    await created
    stream.end()
    assert await resumed_at(fake, watch) == 11


async def test_a_silent_stream_is_left_within_three_seconds(fake: FakeEtcd, watch: Watch) -> None:
    """It asks for a sign of life first. The connection is alive, and keepalives are answered."""
    created = asyncio.create_task(anext(watch))
    stream, _ = await fake.created_watch()
    await created
    loop = asyncio.get_running_loop()
    began = loop.time()
    reading = asyncio.create_task(next_events(watch))
    assert (await stream.asked()).WhichOneof("request") == "progress_request"
    stream, start = await fake.created_watch()
    assert loop.time() - began < SILENCE_S_MAX
    assert start == 11
    await stream.tell(pb.WatchResponse(header=header(100), events=events(start)))
    await reading


async def test_a_stream_that_is_never_created_is_left_too(fake: FakeEtcd) -> None:
    timeouts = Timeouts(silence_s=0.5)
    async with (
        Client([fake.endpoint], timeouts=timeouts) as client,
        client.watch_prefix(b"/", 11) as watch,
    ):
        reading = asyncio.create_task(next_events(watch))
        await (await fake.watch()).asked()
        stream, start = await fake.created_watch()
        await stream.tell(pb.WatchResponse(header=header(100), events=events(start)))
        await reading


async def test_a_watch_asks_for_a_leader_parts_and_notifications(
    fake: FakeEtcd, watch: Watch
) -> None:
    reading = asyncio.create_task(anext(watch))
    stream = await fake.watch()
    create = (await stream.asked()).create_request
    assert (create.key, create.range_end) == (b"/", b"0")
    assert create.fragment
    assert create.progress_notify
    assert ("hasleader", "true") in stream.metadata
    await stream.tell(pb.WatchResponse(header=header(100), created=True))
    await reading
