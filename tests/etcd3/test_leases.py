"""Leases: how long one certainly lives, and how its keeper learns of its end."""

import asyncio

import pytest

from scheduler.errors import EtcdRefusal, EtcdRefused
from scheduler.etcd3.client import Client
from scheduler.etcd3.leases import LeaseKeeper, boot_time_s
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.values import Lease, LeaseEnd
from tests.etcd3.cut_proxy import cut_proxy
from tests.etcd3.fake_etcd import fake_etcd, header
from tests.etcd3.patience import until
from tests.support.etcd_cluster import EtcdCluster


async def gone(client: Client, key: bytes) -> bool:
    return (await client.get(key)).item is None


async def test_the_time_granted_counts_not_the_time_asked_for(client: Client) -> None:
    """etcd grants no less than one and a half election timeouts."""
    before = boot_time_s()
    lease = await client.lease(1)
    assert lease.ttl_s == 2
    assert before + 2 <= lease.deadline_s <= boot_time_s() + 2


async def test_a_key_goes_with_its_lease(client: Client, prefix: bytes) -> None:
    lease = await client.lease(2)
    key = prefix + b"key"
    await client.put(key, b"", lease)
    found = (await client.get(key)).item
    assert found is not None
    assert found.lease == lease.lease_id
    await until(lambda: gone(client, key), "the key to go")
    assert boot_time_s() >= lease.deadline_s, "it ended before its deadline"


async def test_a_lease_that_is_kept_outlives_its_time(client: Client, prefix: bytes) -> None:
    lease = await client.lease(2)
    key = prefix + b"key"
    await client.put(key, b"", lease)
    keeper = client.keeper(lease)
    keeping = asyncio.create_task(keeper.keep())
    try:
        await until(lambda: boot_time_s() > lease.deadline_s + 0.2, "its first time to pass")
        assert not await gone(client, key)
        assert keeper.deadline_s <= boot_time_s() + lease.ttl_s
    finally:
        await client.revoke(lease)
    async with asyncio.timeout(5.0):
        assert await keeping is LeaseEnd.EXPIRED
    assert await gone(client, key)


async def test_revoking_a_lease_that_has_ended_is_no_error(client: Client) -> None:
    lease = await client.lease(2)
    await client.revoke(lease)
    await client.revoke(lease)


async def test_a_write_with_a_lease_that_has_ended_is_refused(
    client: Client, prefix: bytes
) -> None:
    lease = await client.lease(2)
    await client.revoke(lease)
    with pytest.raises(EtcdRefused) as caught:
        await client.put(prefix + b"key", b"", lease)
    assert caught.value.reason is EtcdRefusal.LEASE_NOT_FOUND


async def test_keepalives_have_a_connection_of_their_own(etcd: EtcdCluster) -> None:
    async with cut_proxy(etcd.endpoints[0]) as proxy, Client([proxy.endpoint]) as client:
        lease = await client.lease(2)
        assert proxy.connections == 1
        keeper = client.keeper(lease)
        keeping = asyncio.create_task(keeper.keep())
        await until(lambda: keeper.deadline_s > lease.deadline_s, "a keepalive")
        assert proxy.connections == 2
        await client.revoke(lease)
        await keeping


async def test_a_keeper_that_is_cut_off_ends_when_its_deadline_passes(etcd: EtcdCluster) -> None:
    async with cut_proxy(etcd.endpoints[0]) as proxy, Client([proxy.endpoint]) as client:
        lease = await client.lease(2)
        keeper = client.keeper(lease)
        keeping = asyncio.create_task(keeper.keep())
        await until(lambda: keeper.deadline_s > lease.deadline_s, "a keepalive")
        proxy.hold()
        async with asyncio.timeout(10.0):
            assert await keeping is LeaseEnd.DEADLINE_PASSED
        assert keeper.deadline_s <= boot_time_s() < keeper.deadline_s + 1.0


async def test_a_keeper_goes_on_after_a_short_cut(etcd: EtcdCluster) -> None:
    async with cut_proxy(etcd.endpoints[0]) as proxy, Client([proxy.endpoint]) as client:
        lease = await client.lease(3)
        keeper = client.keeper(lease)
        keeping = asyncio.create_task(keeper.keep())
        for _ in range(2):
            known = keeper.deadline_s
            await until(lambda known=known: keeper.deadline_s > known, "a keepalive")  # type: ignore[misc]
            proxy.cut()
        assert not keeping.done()
        await client.revoke(lease)
        await keeping


async def test_the_deadline_counts_from_when_a_keepalive_was_sent() -> None:
    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        keeper, keeping = started(client, Lease(7, 10, boot_time_s() + 10.0))
        stream = await fake.keepalives()
        assert (await stream.asked()).id == 7
        received = boot_time_s()
        await asyncio.sleep(0.5)  # the answer is late: this is what is tested, not waited for
        await stream.tell(pb.LeaseKeepAliveResponse(header=header(1), id=7, ttl=20))
        await until(lambda: keeper.deadline_s > received + 15.0, "the keepalive's answer")
        assert keeper.deadline_s <= received + 20.0
        await cancelled(keeping)


async def test_a_time_to_live_of_nothing_is_the_end() -> None:
    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        keeper, keeping = started(client, Lease(7, 10, boot_time_s() + 10.0))
        known = keeper.deadline_s
        stream = await fake.keepalives()
        await stream.asked()
        await stream.tell(pb.LeaseKeepAliveResponse(header=header(1), id=7, ttl=0))
        assert await keeping is LeaseEnd.EXPIRED
        assert keeper.deadline_s == known


async def test_a_keepalive_that_is_not_answered_goes_out_on_another_stream() -> None:
    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        keeper, keeping = started(client, Lease(7, 3, boot_time_s() + 3.0))
        known = keeper.deadline_s
        silent = await fake.keepalives()
        await silent.asked()
        stream = await fake.keepalives()
        await stream.asked()
        await stream.tell(pb.LeaseKeepAliveResponse(header=header(1), id=7, ttl=3))
        await until(lambda: keeper.deadline_s > known, "the keepalive's answer")
        await cancelled(keeping)


async def test_a_deadline_that_has_passed_ends_the_keeper_whatever_comes() -> None:
    """As after a process was stopped for longer than its lease."""
    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        _, keeping = started(client, Lease(7, 10, boot_time_s() - 1.0))
        assert await keeping is LeaseEnd.DEADLINE_PASSED
        assert fake.streams == 0


def started(client: Client, lease: Lease) -> tuple[LeaseKeeper, asyncio.Task[LeaseEnd]]:
    keeper = client.keeper(lease)
    return keeper, asyncio.create_task(keeper.keep())


async def cancelled(keeping: asyncio.Task[LeaseEnd]) -> None:
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
