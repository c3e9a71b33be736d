"""What is known of a call that got no answer: not sent, unknown, or refused."""

import asyncio

import grpc
import pytest

from scheduler.errors import (
    EtcdNotSent,
    EtcdRefusal,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnknownOutcome,
)
from scheduler.etcd3 import transactions as t
from scheduler.etcd3.client import Client
from scheduler.etcd3.failures import Kind, read_failure
from scheduler.etcd3.methods import LEASE_GRANT, RANGE, TXN
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.settings import Timeouts
from tests.etcd3.cut_proxy import cut_proxy
from tests.etcd3.fake_etcd import Context, fake_etcd, header
from tests.etcd3.patience import until
from tests.support.etcd_cluster import EtcdCluster

NOWHERE = "127.77.30.250:1"
QUICK = Timeouts(connect_s=0.2, answer_s=0.4, call_s=0.8)


async def test_a_write_whose_answer_is_swallowed_is_unknown_and_was_done(
    etcd: EtcdCluster, client: Client, prefix: bytes
) -> None:
    key = prefix + b"key"
    async with (
        cut_proxy(etcd.endpoints[0]) as proxy,
        Client([proxy.endpoint], timeouts=QUICK) as through,
    ):
        await through.put(key, b"old")
        proxy.answers.clear()
        writing = asyncio.create_task(
            through.transaction([t.version(key, 1)], [t.put(key, b"new")])
        )
        with pytest.raises(EtcdUnknownOutcome):
            await writing
        found = (await client.get(key)).item
        assert found is not None
        assert found.value == b"new"


async def test_a_write_whose_connection_breaks_is_unknown_and_was_not_done(
    etcd: EtcdCluster, client: Client, prefix: bytes
) -> None:
    key = prefix + b"key"
    async with cut_proxy(etcd.endpoints[0]) as proxy, Client([proxy.endpoint]) as through:
        await through.put(key, b"old")
        proxy.hold()
        before = proxy.taken
        writing = asyncio.create_task(through.put(key, b"new"))
        await until(lambda: proxy.taken > before, "the write to leave")
        proxy.cut()
        with pytest.raises(EtcdUnknownOutcome):
            await writing
        found = (await client.get(key)).item
        assert found is not None
        assert found.value == b"old"


async def test_an_unknown_write_is_not_sent_again_by_itself(prefix: bytes) -> None:
    seen = 0

    async def fail(_: pb.TxnRequest, context: Context) -> pb.TxnResponse:
        nonlocal seen
        seen += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out")
        raise AssertionError

    async with fake_etcd() as fake, Client([fake.endpoint, fake.endpoint]) as client:
        fake.unary[TXN] = fail
        with pytest.raises(EtcdUnknownOutcome):
            await client.transaction()
    assert seen == 1


async def test_a_read_is_tried_again(prefix: bytes) -> None:
    seen = 0

    async def fail_once(_: pb.RangeRequest, context: Context) -> pb.RangeResponse:
        nonlocal seen
        seen += 1
        if seen == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: leader changed")
        return pb.RangeResponse(header=header(7))

    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        fake.unary[RANGE] = fail_once
        assert (await client.get(prefix)).revision == 7


async def test_a_member_without_a_leader_did_nothing_so_another_is_asked() -> None:
    """With the `hasleader` metadata it says so on arrival, and keeps no call."""
    seen = 0

    async def lose_leader_once(_: pb.TxnRequest, context: Context) -> pb.TxnResponse:
        nonlocal seen
        seen += 1
        assert ("hasleader", "true") in list(context.invocation_metadata())
        if seen < 4:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
        return pb.TxnResponse(header=header(7), succeeded=True)

    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        fake.unary[TXN] = lose_leader_once
        assert (await client.transaction()).revision == 7


async def test_a_cluster_without_a_leader_ends_a_write_as_not_sent() -> None:
    async def no_leader(_: pb.TxnRequest, context: Context) -> pb.TxnResponse:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
        raise AssertionError

    async with fake_etcd() as fake, Client([fake.endpoint], timeouts=QUICK) as client:
        fake.unary[TXN] = no_leader
        with pytest.raises(EtcdNotSent):
            await client.transaction()


async def test_what_cannot_be_connected_to_was_not_sent() -> None:
    async with Client([NOWHERE], timeouts=QUICK) as client:
        with pytest.raises(EtcdNotSent, match="refused"):
            await client.put(b"key", b"")
        with pytest.raises(EtcdUnavailable, match="refused"):
            await client.get(b"key")
        (status,) = await client.status()
        assert "refused" in status.problem


async def test_a_connection_that_opens_and_says_nothing_is_none(etcd: EtcdCluster) -> None:
    """As a hung member's: the kernel answers for it."""
    async with cut_proxy(etcd.endpoints[0]) as proxy:
        proxy.hold()
        async with Client([proxy.endpoint, *etcd.endpoints], timeouts=QUICK) as client:
            assert await client.put(b"/outcomes/key", b"") > 0
        async with Client([proxy.endpoint], timeouts=QUICK) as client:
            with pytest.raises(EtcdNotSent):
                await client.put(b"/outcomes/key", b"")


async def test_every_call_ends_by_its_deadline(etcd: EtcdCluster) -> None:
    loop = asyncio.get_running_loop()
    async with (
        cut_proxy(etcd.endpoints[0]) as proxy,
        Client([proxy.endpoint], timeouts=QUICK) as client,
    ):
        await client.get(b"key")
        proxy.hold()
        began = loop.time()
        with pytest.raises(EtcdUnavailable):
            await client.get(b"key")
        assert loop.time() - began < QUICK.call_s + 0.5
        (status,) = await client.status()
        assert status.problem


async def test_closing_ends_calls_in_flight_but_not_their_tasks(etcd: EtcdCluster) -> None:
    """grpc.aio cancels such calls, which looks like a shutdown of whoever waits for them."""
    async with cut_proxy(etcd.endpoints[0]) as proxy, Client([proxy.endpoint]) as client:
        await client.get(b"key")
        proxy.hold()
        before = proxy.taken
        writing = asyncio.create_task(client.put(b"/outcomes/key", b""))
        reading = asyncio.create_task(client.get(b"/outcomes/key"))
        await until(lambda: proxy.taken > before, "the calls to leave")
        await client.aclose()
        with pytest.raises(EtcdUnknownOutcome):
            await writing
        with pytest.raises(EtcdUnavailable):
            await reading


async def test_a_cancelled_task_is_cancelled(etcd: EtcdCluster) -> None:
    async with cut_proxy(etcd.endpoints[0]) as proxy, Client([proxy.endpoint]) as client:
        await client.get(b"key")
        proxy.hold()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.get(b"key")


async def test_a_lease_is_asked_for_as_a_write() -> None:
    async def overloaded(_: pb.LeaseGrantRequest, context: Context) -> pb.LeaseGrantResponse:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests")
        raise AssertionError

    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        fake.unary[LEASE_GRANT] = overloaded
        with pytest.raises(EtcdRefused) as caught:
            await client.lease(3)
    assert caught.value.reason is EtcdRefusal.OVERLOADED


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out"),
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: leader changed"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (grpc.StatusCode.CANCELLED, ""),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.UNKNOWN, "raft proposal dropped"),
        (grpc.StatusCode.DATA_LOSS, "nobody knows"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "nobody knows"),
        # The answer was too large: what was asked for has been done.
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 8)"),
    ],
)
def test_what_is_not_known_to_be_undone_is_unknown(code: grpc.StatusCode, text: str) -> None:
    assert read_failure(code, text).kind is Kind.UNKNOWN
