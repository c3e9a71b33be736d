"""What taps record, and what is read out of it: compared with what really went by."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Final

import pytest
import pytest_asyncio

from scheduler.etcd3.client import Client
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.transactions import create, get, put
from scheduler.mesos.proto.mesos_v1_pb2 import TASK_RUNNING
from scheduler.mesos.proto.scheduler_pb2 import Call, Event
from tests.faults import grpc_wire, mesos_wire
from tests.faults.taps import Chunk, Tap, Taps
from tests.support.etcd_cluster import EtcdCluster, etcd_cluster

NETWORK: Final = "127.77.52"
DEADLINE_S: Final = 10.0
TXN: Final = "/etcdserverpb.KV/Txn"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd"), NETWORK) as cluster:
        yield cluster


@pytest.fixture
def taps() -> Iterator[Taps]:
    with Taps() as taps:
        yield taps


def split(data: bytes, random: Random, *, outwards: bool) -> list[Chunk]:
    """The same bytes in pieces of any size, a second apart."""
    chunks, at = [], 0.0
    while data:
        size = random.randint(1, 40)
        chunks.append(Chunk(at, outwards, data[:size]))
        data, at = data[size:], at + 1.0
    return chunks


async def test_transactions_are_read_from_the_bytes_of_a_real_client(
    etcd: EtcdCluster, taps: Taps
) -> None:
    tap = taps.tap("d", etcd.endpoints[0])
    key = b"/wire/key"
    async with Client([tap.address]) as client:
        large = b"v" * 200_000
        first = await client.transaction([create(key, 0)], [put(key, large)], [get(key)])
        second = await client.transaction([create(key, 0)], [put(key, b"2")], [get(key)])
        others = [client.transaction([], [put(b"/wire/%d" % n, b"")], []) for n in range(50)]
        revisions = {(await one).revision for one in others}
    assert (first.succeeded, second.succeeded) == (True, False)
    read = [one for each in tap.connections for one in grpc_wire.messages(each.chunks)]
    asked = [pb.TxnRequest.FromString(m.data) for m in read if m.path == TXN and m.outwards]
    answered = [pb.TxnResponse.FromString(m.data) for m in read if m.path == TXN and not m.outwards]
    assert (len(asked), len(answered)) == (52, 52)
    assert asked[0].success[0].request_put.value == large
    assert (answered[0].succeeded, answered[0].header.revision) == (True, first.revision)
    assert answered[1].responses[0].response_range.kvs[0].mod_revision == first.revision
    assert {one.header.revision for one in answered[2:]} == revisions


async def test_messages_are_found_however_their_bytes_come(etcd: EtcdCluster, taps: Taps) -> None:
    tap = taps.tap("d", etcd.endpoints[0])
    async with Client([tap.address]) as client:
        await client.put(b"/wire/pieces", b"x" * 3000)
        await client.get(b"/wire/pieces")
    (recorded,) = tap.connections
    whole = [(one.path, one.data) for one in grpc_wire.messages(recorded.chunks)]
    assert len(whole) == 4
    random = Random(7)
    pieces = [
        Chunk(chunk.at, chunk.outwards, piece.data)
        for chunk in recorded.chunks
        for piece in split(chunk.data, random, outwards=chunk.outwards)
    ]
    assert [(one.path, one.data) for one in grpc_wire.messages(pieces)] == whole


def test_calls_have_the_time_of_their_last_byte() -> None:
    call = Call(type=Call.RECONCILE)
    body = call.SerializeToString()
    head = b"POST /api/v1/scheduler HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    page = b"POST /api/v1 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"
    chunks = split(page + head + body + head + body[:-1], Random(1), outwards=True)
    (found,) = mesos_wire.calls(chunks)
    assert found.call == call
    ends = len(page + head + body)
    read = 0
    for chunk in chunks:
        read += len(chunk.data)
        if read >= ends:
            assert found.at == chunk.at
            return


def test_events_are_read_from_records_that_lie_across_chunks() -> None:
    sent = [Event(type=Event.HEARTBEAT), Event(type=Event.UPDATE)]
    sent[1].update.status.task_id.value = "t"
    sent[1].update.status.state = TASK_RUNNING
    records = b"".join(
        b"%d\n%b" % (len(one), one) for one in (event.SerializeToString() for event in sent)
    )
    pieces = (records[:3], records[3:9], records[9:])
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\nMesos-Stream-Id: s\r\n\r\n"
    chunks = split(head + body, Random(2), outwards=False)
    assert [told.event for told in mesos_wire.events(chunks)] == sent
    answer = split(b"HTTP/1.1 202 Accepted\r\n\r\n", Random(3), outwards=False)
    assert list(mesos_wire.events(answer)) == []


# ---- what taps do -------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def echo(taps: Taps) -> AsyncIterator[Tap]:
    """A tap before a server that says back what it is told."""
    saying: set[asyncio.Task[None] | None] = set()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        saying.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        await end(writer)

    async with await asyncio.start_server(say, f"{NETWORK}.9", 0) as server:
        host, port = server.sockets[0].getsockname()
        tap = taps.tap("d", f"{host}:{port}", answers_late_s=0.01)
        yield tap
        taps.refuse(tap)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(task for task in saying if task is not None))


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_tap_holds_bytes_back_and_then_lets_them_go(taps: Taps, echo: Tap) -> None:
    reader, writer = await asyncio.open_connection(*echo.address.split(":"))
    writer.write(b"1")
    assert await reader.readexactly(1) == b"1"
    taps.hold(echo)
    writer.write(b"2")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(1), 0.3)
    taps.heal(echo)
    assert await asyncio.wait_for(reader.readexactly(1), DEADLINE_S) == b"2"
    await end(writer)
    (recorded,) = echo.connections
    assert [(one.outwards, one.data) for one in recorded.chunks] == [
        *((True, b"1"), (False, b"1")),
        *((True, b"2"), (False, b"2")),
    ]
    assert recorded.chunks[1].at - recorded.chunks[0].at >= 0.01
    assert recorded.chunks[3].at - recorded.chunks[2].at >= 0.3


async def test_a_tap_that_refuses_cuts_what_stands_and_what_comes(taps: Taps, echo: Tap) -> None:
    where = echo.address.split(":")
    reader, writer = await asyncio.open_connection(*where)
    writer.write(b"1")
    assert await reader.readexactly(1) == b"1"
    taps.refuse(echo)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), DEADLINE_S)
    late, refused = await asyncio.open_connection(*where)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(late.readexactly(1), DEADLINE_S)
    taps.heal(echo)
    reader, again = await asyncio.open_connection(*where)
    again.write(b"3")
    assert await asyncio.wait_for(reader.readexactly(1), DEADLINE_S) == b"3"
    for one in (writer, refused, again):
        await end(one)
