"""Three real members, killed and hung one after the other, under a stream of writes and a watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from scheduler.errors import EtcdError, EtcdNotSent, EtcdUnavailable, EtcdUnknownOutcome
from scheduler.etcd3 import transactions as t
from scheduler.etcd3.client import Client
from scheduler.etcd3.leases import boot_time_s
from scheduler.etcd3.settings import Timeouts
from scheduler.etcd3.values import LeaseEnd
from tests.etcd3.patience import until
from tests.support.etcd_cluster import EtcdCluster, EtcdMember, etcd_cluster

WRITE_EVERY_S = 0.01
# A hung member counts as dead within 3 s. A watch is opened anew after that, which takes a moment.
GAP_S_MAX = 3.0
WATCH_GAP_S_MAX = 3.5


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("cluster"), "127.77.31", size=3) as cluster:
        yield cluster


class Traffic:
    """Writes numbers in order, each one surely once, and notes which of them a watch has seen."""

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._prefix = prefix
        self.written = 0
        self.seen: list[int] = []
        self.write_gap_s = 0.0
        self.watch_gap_s = 0.0

    async def write(self) -> None:
        """A number is written where its predecessor is, so sending it twice does no harm."""
        loop = asyncio.get_running_loop()
        key = self._prefix + b"n"
        while True:
            began = loop.time()
            number = self.written + 1
            compare = [t.version(key, number - 1)]
            maybe_done = False
            while True:
                try:
                    done = await self._client.transaction(
                        compare, [t.put(key, b"%d" % number)], [t.get(key)]
                    )
                except EtcdUnknownOutcome:
                    maybe_done = True
                except EtcdNotSent:
                    continue
                else:
                    # Not the first try, and it says that another one was: then that was ours.
                    assert done.succeeded or maybe_done
                    break
            self.written = number
            self.write_gap_s = max(self.write_gap_s, loop.time() - began)
            await asyncio.sleep(WRITE_EVERY_S)

    async def watch(self, start_revision: int) -> None:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        async with self._client.watch_prefix(self._prefix, start_revision) as watch:
            async for batch in watch:
                self.watch_gap_s = max(self.watch_gap_s, loop.time() - heard)
                heard = loop.time()
                self.seen.extend(int(event.item.value) for event in batch.events)

    async def flows(self, count: int = 20) -> None:
        """Some more was written and seen."""
        target = self.written + count
        await until(
            lambda: self.written >= target and bool(self.seen) and self.seen[-1] >= target,
            f"{count} more writes to be seen",
            20.0,
        )

    def check(self) -> None:
        assert self.seen == list(range(1, len(self.seen) + 1)), "an event was lost or came twice"


@contextlib.asynccontextmanager
async def traffic(cluster: EtcdCluster, prefix: bytes) -> AsyncIterator[Traffic]:
    async with Client(cluster.endpoints) as client:
        traffic = Traffic(client, prefix)
        start = await client.put(prefix + b"start", b"0")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(traffic.write()),
                group.create_task(traffic.watch(start + 1)),
            ]
            await traffic.flows()
            yield traffic
            await traffic.flows()
            for task in tasks:
                task.cancel()
        traffic.check()


@contextlib.asynccontextmanager
async def kept_lease(cluster: EtcdCluster) -> AsyncIterator[None]:
    """It must live all the time, which is longer than what it was granted for."""
    async with Client(cluster.endpoints) as client:
        lease = await client.lease(8)
        keeping = asyncio.create_task(client.keeper(lease).keep())
        yield
        await until(lambda: boot_time_s() > lease.deadline_s, "the lease's first time to pass")
        assert not keeping.done()
        await client.revoke(lease)
        assert await keeping is LeaseEnd.EXPIRED


async def healthy(member: EtcdMember) -> None:
    async def answers() -> bool:
        try:
            return await asyncio.to_thread(member.healthy)
        except OSError:
            return False

    await until(answers, f"{member.name} to be healthy", 20.0)


async def killed(member: EtcdMember, meanwhile: Callable[[], Awaitable[None]]) -> None:
    member.kill()
    try:
        await meanwhile()
    finally:
        member.start()
    await healthy(member)


async def hung(member: EtcdMember, meanwhile: Callable[[], Awaitable[None]]) -> None:
    member.pause()
    try:
        await meanwhile()
    finally:
        member.resume()
    await healthy(member)


async def leads(cluster: EtcdCluster, member: EtcdMember) -> bool:
    async with Client(cluster.endpoints) as client:
        states = await client.status()
    return any(state.leading for state in states if state.endpoint == member.endpoint)


@pytest.mark.parametrize("hurt", [killed, hung])
async def test_each_member_in_turn_may_go_and_no_event_and_no_lease_is_lost(
    cluster: EtcdCluster,
    prefix: bytes,
    hurt: Callable[[EtcdMember, Callable[[], Awaitable[None]]], Awaitable[None]],
) -> None:
    async with kept_lease(cluster), traffic(cluster, prefix) as flow:
        for member in cluster.members:
            led = await leads(cluster, member)
            before = flow.write_gap_s, flow.watch_gap_s
            await hurt(member, flow.flows)
            if led:
                # Then etcd elects another leader first, which takes 1 to 2 s, and as long again
                # where votes are split. That is not the client's time.
                flow.write_gap_s, flow.watch_gap_s = before
        gaps = f"gaps: writes {flow.write_gap_s:.1f} s, watch {flow.watch_gap_s:.1f} s"
        assert flow.write_gap_s <= GAP_S_MAX, gaps
        assert flow.watch_gap_s <= WATCH_GAP_S_MAX, gaps


async def test_without_a_quorum_nothing_is_written_and_the_client_says_so(
    cluster: EtcdCluster, prefix: bytes
) -> None:
    timeouts = Timeouts(connect_s=0.5, answer_s=0.5, call_s=1.5)
    async with Client(cluster.endpoints, timeouts=timeouts) as client:
        await client.put(prefix + b"key", b"before")
        for member in cluster.members[1:]:
            member.pause()
        try:
            with pytest.raises(EtcdError):
                await client.put(prefix + b"other", b"")
            with pytest.raises(EtcdUnavailable):
                await client.get(prefix + b"key")
        finally:
            for member in cluster.members[1:]:
                member.resume()
        for member in cluster.members:
            await healthy(member)

        async def answers() -> bool:
            with contextlib.suppress(EtcdUnavailable):
                return (await client.get(prefix + b"key")).item is not None
            return False

        await until(answers, "the cluster to answer again", 20.0)


async def test_one_leader_and_each_member_are_shown(cluster: EtcdCluster) -> None:
    async with Client(cluster.endpoints) as client:
        await killed(cluster.members[2], lambda: down(client))
        states = await client.status()
        assert [state.endpoint for state in states] == cluster.endpoints
        assert sum(state.leading for state in states) == 1


async def down(client: Client) -> None:
    states = await client.status()
    assert [bool(state.problem) for state in states] == [False, False, True]
