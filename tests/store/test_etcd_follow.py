"""Following a real etcd: all that is written, in order, whatever happens to the connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from scheduler.core.candidate import Candidate
from scheduler.core.records import Put, Record, RecordKey, Remove, Write, key_of
from scheduler.election.etcd import EtcdElection
from scheduler.errors import StoreUnreadable, TermEnded
from scheduler.etcd3.client import Client
from scheduler.store.etcd import EtcdStore
from scheduler.store.etcd_follow import follow
from scheduler.store.etcd_layout import prefix_of
from tests.etcd3.cut_proxy import cut_proxy
from tests.store import samples
from tests.store.led import begin_term, led_store, shared_etcd
from tests.store.running import contents, running

DEADLINE_S = 20.0


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(shared_etcd().endpoints) as client:
        yield client


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return prefix_of("follow", request.node.name)


class Follower:
    """What a follower was told: records, leaders, and how far it got."""

    def __init__(self) -> None:
        self.records: dict[RecordKey, Record] = {}
        self.leaders: list[tuple[Candidate | None, int]] = []
        self.batches = 0
        self.writes_since_leader = 0
        self.revision = 0
        self.changed = asyncio.Event()

    def on_writes(self, writes: Sequence[Write]) -> None:
        assert writes
        self.batches += 1
        self.writes_since_leader += len(writes)
        for write in writes:
            if isinstance(write, Put):
                self.records[key_of(write.record)] = write.record
            else:
                del self.records[write.key]
        self.changed.set()

    def on_leader(self, info: Candidate | None, revision: int) -> None:
        self.leaders.append((info, revision))
        self.writes_since_leader = 0
        self.changed.set()

    def on_alive(self, revision: int) -> None:
        assert revision >= self.revision
        self.revision = revision
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                assert not self.task.done(), self.task.exception()
                self.changed.clear()
                await self.changed.wait()

    async def until_led_by(self, term: int) -> None:
        await self.until(lambda: bool(self.leaders) and self.leaders[-1][1] == term)

    def start(self, client: Client, prefix: str) -> None:
        self.task = asyncio.create_task(
            follow(client, prefix, self.on_writes, self.on_leader, self.on_alive)
        )


@asynccontextmanager
async def following(client: Client, prefix: str) -> AsyncIterator[Follower]:
    follower = Follower()
    follower.start(client, prefix)
    try:
        yield follower
    finally:
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)


async def test_nothing_stored_and_nobody_in_office_is_told(client: Client, prefix: str) -> None:
    async with following(client, prefix) as follower:
        await follower.until(lambda: bool(follower.leaders))
        assert follower.leaders[0][0] is None
        assert follower.records == {}


async def test_what_is_stored_is_given_before_who_leads(client: Client, prefix: str) -> None:
    async with led_store(client, prefix) as store, running(store) as run:
        records: list[Record] = [samples.framework(), samples.job()]
        records += map(samples.instance, range(300))
        run.submit([Put(record) for record in records], "done")
        await run.until_done("done")
        async with following(client, prefix) as follower:
            await follower.until(lambda: bool(follower.leaders))
            assert follower.leaders == [(Candidate("a"), store.term)]
            assert follower.records == {key_of(record): record for record in records}


async def test_changes_are_given_as_they_happen(client: Client, prefix: str) -> None:
    async with (
        led_store(client, prefix) as store,
        running(store) as run,
        following(client, prefix) as follower,
    ):
        await follower.until_led_by(store.term)
        key = samples.instance(0).key
        run.submit([Put(samples.job()), Put(samples.instance(0)), Put(samples.instance(1))], "put")
        await follower.until(lambda: len(follower.records) == 3)
        run.submit([Put(samples.instance(0, 2)), Remove(samples.instance(1).key)], "changed")
        await follower.until(lambda: len(follower.records) == 2)
        await run.until_done("changed")
        await follower.until(lambda: follower.records[key] == samples.instance(0, 2))
        assert follower.records == await contents(store)


async def test_a_sign_of_life_comes_while_nothing_happens(client: Client, prefix: str) -> None:
    async with following(client, prefix) as follower:
        await follower.until(lambda: bool(follower.leaders))
        for _ in range(2):
            follower.changed.clear()
            await asyncio.wait_for(follower.changed.wait(), DEADLINE_S)
        assert follower.batches == 0


async def test_who_sees_itself_begin_to_lead_has_seen_all_earlier_writes(
    client: Client, prefix: str
) -> None:
    """The old leader writes on while its key is taken away and another one takes the office."""
    async with (
        led_store(client, prefix) as old,
        running(old) as run,
        following(client, prefix) as follower,
    ):
        await follower.until_led_by(old.term)
        election = EtcdElection(client, prefix, Candidate("b"))
        campaign = asyncio.create_task(election.campaign())
        for number in range(4_000):
            run.submit([Put(samples.instance(number))], str(number))
        await run.until_done("300")
        await client.delete(f"{prefix}leader".encode())
        term = await asyncio.wait_for(campaign, DEADLINE_S)
        with pytest.raises(TermEnded):
            await run.until_done("3999")
        await follower.until_led_by(term)
        assert follower.leaders[-1] == (Candidate("b"), term)
        assert [leader for leader, _ in follower.leaders] == [
            Candidate("a"),
            None,
            Candidate("b"),
        ]
        assert follower.writes_since_leader == 0
        told = [samples.instance(int(name)).key for name in run.said]
        assert follower.records.keys() >= set(told)
        new = EtcdStore(client, prefix)
        new.begin(term)
        await new.open()
        assert await contents(new) == follower.records
        await election.resign()


async def test_what_was_missed_to_compaction_is_found_by_listing_anew(
    client: Client, prefix: str
) -> None:
    (endpoint,) = shared_etcd().endpoints
    async with (
        led_store(client, prefix) as store,
        running(store) as run,
        cut_proxy(endpoint) as proxy,
        Client([proxy.endpoint]) as cut_off,
        following(cut_off, prefix) as follower,
    ):
        run.submit([Put(samples.instance(index)) for index in range(30)], "before")
        await run.until_done("before")
        await follower.until(lambda: len(follower.records) == 30)
        proxy.hold()
        proxy.cut()
        run.submit([Put(samples.instance(index, 2)) for index in range(20, 40)], "missed")
        run.submit([Remove(samples.instance(index).key) for index in range(10)], "removed")
        await run.until_done("removed")
        await client.compact((await client.get(b"/")).revision)
        before = follower.batches
        proxy.release()
        await follower.until(lambda: len(follower.records) == 30 and follower.batches > before)
        assert follower.records == await contents(store)
        assert len(follower.leaders) == 1
        run.submit([Put(samples.instance(99))], "after")
        await follower.until(lambda: samples.instance(99).key in follower.records)


async def test_a_member_that_is_away_at_first_is_waited_for(client: Client, prefix: str) -> None:
    (endpoint,) = shared_etcd().endpoints
    async with cut_proxy(endpoint) as proxy, Client([proxy.endpoint]) as cut_off:
        proxy.hold()
        async with following(cut_off, prefix) as follower:
            await asyncio.sleep(0.3)
            assert not follower.leaders
            proxy.cut()
            proxy.release()
            await follower.until(lambda: bool(follower.leaders))
            follower.changed.clear()
            await asyncio.wait_for(follower.changed.wait(), DEADLINE_S)  # the watch stands, too


@pytest.mark.parametrize("name", ["tasks/web/1", "strange", "schema", "leader"])
async def test_what_cannot_be_understood_ends_it_and_is_named(
    client: Client, prefix: str, name: str
) -> None:
    async with following(client, prefix) as follower:
        await follower.until(lambda: bool(follower.leaders))
        await client.put(f"{prefix}{name}".encode(), b"nonsense")
        with pytest.raises(StoreUnreadable, match=name):
            await asyncio.wait_for(follower.task, DEADLINE_S)


async def test_a_change_of_leaders_between_two_looks_is_told_once(
    client: Client, prefix: str
) -> None:
    async with following(client, prefix) as follower:
        await follower.until(lambda: bool(follower.leaders))
        terms = [await begin_term(client, prefix) for _ in range(3)]
        await follower.until_led_by(terms[-1])
        assert [term for leader, term in follower.leaders if leader is not None] == terms
