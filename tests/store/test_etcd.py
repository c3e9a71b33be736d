"""The store in a real etcd: terms, refusals, and members that die or hang while it writes."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import pytest_asyncio

from scheduler.core.model.instance import Attempt, Instance
from scheduler.core.records import Put, Record, RecordKey
from scheduler.errors import StoreUnreadable, TermEnded
from scheduler.etcd3.client import Client
from scheduler.store.etcd import EtcdStore
from scheduler.store.etcd_layout import prefix_of
from scheduler.store.lanes import BYTES_MAX
from tests.store import samples
from tests.store.led import begin_term, led_store, shared_etcd
from tests.store.running import Running, contents, running
from tests.support.etcd_cluster import EtcdCluster, etcd_cluster

KEYS = 60


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(shared_etcd().endpoints) as client:
        yield client


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return prefix_of("offerd", request.node.name)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("three"), "127.77.41", 3) as cluster:
        yield cluster


def test_a_framework_is_one_piece_of_its_prefix_whatever_its_name() -> None:
    assert prefix_of("offerd", "web") == "/offerd/web/"
    assert prefix_of("/a/b/", "team/web") == "/a/b/team%2Fweb/"


async def test_nothing_of_an_ended_term_is_written_after_the_next_one_began(
    client: Client, prefix: str
) -> None:
    async with led_store(client, prefix) as old, running(old) as run:
        run.submit([Put(samples.instance(index, 1)) for index in range(KEYS)], "before")
        await run.until_done("before")
        async with led_store(client, prefix) as new, running(new) as next_run:
            next_run.submit([Put(samples.instance(index, 2)) for index in range(KEYS)], "next")
            await next_run.until_done("next")
            run.submit([Put(samples.instance(index, 3)) for index in range(KEYS)], "after")
            with pytest.raises(TermEnded):
                await run.until_done("after")
            assert run.said == ["before"]
            found = await contents(new)
    assert set(attempts_of(found).values()) == {2}


async def test_a_term_ends_with_its_leader_key(client: Client, prefix: str) -> None:
    async with led_store(client, prefix) as store, running(store) as run:
        await client.delete(f"{prefix}leader".encode())
        run.submit([Put(samples.job())], "job")
        with pytest.raises(TermEnded, match="there is no leader"):
            await run.until_done("job")
        assert await contents(store) == {}


async def test_a_store_does_not_open_in_an_ended_term(client: Client, prefix: str) -> None:
    store = EtcdStore(client, prefix)
    store.begin(await begin_term(client, prefix))
    await begin_term(client, prefix)
    with pytest.raises(TermEnded):
        await store.open()


async def test_a_layout_of_a_newer_version_is_refused(client: Client, prefix: str) -> None:
    await client.put(f"{prefix}schema".encode(), b"2")
    store = EtcdStore(client, prefix)
    store.begin(await begin_term(client, prefix))
    with pytest.raises(StoreUnreadable, match="newer"):
        await store.open()


async def test_a_key_that_is_no_record_of_ours_is_named(client: Client, prefix: str) -> None:
    await client.put(f"{prefix}strange/thing".encode(), b"\1x")
    async with led_store(client, prefix) as store:
        with pytest.raises(StoreUnreadable, match="strange/thing"):
            await contents(store)


async def test_another_frameworks_records_are_not_ours(client: Client, prefix: str) -> None:
    neighbour = prefix[:-1] + "2/"
    async with (
        led_store(client, prefix) as store,
        led_store(client, neighbour) as other,
        running(store) as run,
        running(other) as other_run,
    ):
        run.submit([Put(samples.instance(1))], "mine")
        other_run.submit([Put(samples.instance(2))], "theirs")
        await run.until_done("mine")
        await other_run.until_done("theirs")
        assert list(await contents(store)) == [samples.instance(1).key]
        assert list(await contents(other)) == [samples.instance(2).key]


async def test_a_record_too_large_is_refused_until_it_is_written_anew(
    client: Client, prefix: str
) -> None:
    huge = samples.instance(1)
    (attempt,) = huge.live
    huge = Instance(huge.job, 1, live=(with_message(attempt, "x" * BYTES_MAX),))
    async with led_store(client, prefix) as store, running(store) as run:
        run.submit([Put(huge), Put(samples.instance(2))], "huge")
        run.submit([Put(samples.instance(3))], "later")
        await run.until(lambda said: bool(said))
        (refusal,) = run.said
        assert "tasks/team.web/1" in refusal
        run.submit([Put(samples.instance(1))], "mended")
        await run.until(lambda said: "mended" in said and "huge" in said)
        assert sorted(run.said[1:]) == ["huge", "later", "mended", "recovered"]
        assert len(await contents(store)) == 3


# --- faults --------------------------------------------------------------------------------------


async def test_a_member_that_restarts_loses_nothing_that_was_done(
    client: Client, prefix: str
) -> None:
    (member,) = shared_etcd().members
    async with led_store(client, prefix) as store, running(store) as run:
        stream = Stream(run)
        await stream.write(300)
        member.kill()
        stream.submit(50)
        member.start()
        await asyncio.to_thread(member.await_healthy)
        await stream.write(300)
        assert attempts_of(await contents(store)) == stream.numbers


async def test_members_that_are_killed_in_turn_lose_nothing_that_was_done(
    three: EtcdCluster, prefix: str
) -> None:
    async with (
        Client(three.endpoints) as client,
        led_store(client, prefix) as store,
        Watching(client, prefix) as watching,
        running(store) as run,
    ):
        stream = Stream(run)
        for member in three.members:
            await stream.write(100)
            stream.submit(100)
            member.kill()
            await stream.write(100)
            member.start()
            await asyncio.to_thread(member.await_healthy)
        await stream.write(100)
        assert attempts_of(await contents(store)) == stream.numbers
        await watching.until_seen(stream.numbers)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_what_hung_in_a_member_never_lands_over_a_newer_value(
    three: EtcdCluster, prefix: str
) -> None:
    """A transaction sent to a member that hangs is still there when it goes on."""
    async with (
        Client(three.endpoints) as client,
        led_store(client, prefix) as store,
        Watching(client, prefix) as watching,
        running(store) as run,
    ):
        stream = Stream(run)
        for member in [*three.members, *three.members]:
            await stream.write(20)
            member.pause()
            try:
                await stream.write(100)
            finally:
                member.resume()
            await stream.write(100)
        assert attempts_of(await contents(store)) == stream.numbers
        await watching.until_seen(stream.numbers)


async def test_a_store_without_space_refuses_and_recovers(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    options = ["--quota-backend-bytes=4194304", "--auto-compaction-retention=0"]
    folder = tmp_path_factory.mktemp("small")
    with etcd_cluster(folder, "127.77.42", 1, options) as cluster:
        async with (
            Client(cluster.endpoints) as client,
            led_store(client, prefix) as store,
            running(store) as run,
        ):
            stream = Stream(run)
            while not refusals(run):
                stream.submit(100)
                await asyncio.sleep(0.01)
            assert "no space" in refusals(run)[0]
            told = len(run.said)
            stream.submit(5)
            found = await client.get(b"/")
            await client.compact(found.revision)
            await asyncio.to_thread(cluster.etcdctl, "defrag")
            await asyncio.to_thread(cluster.etcdctl, "alarm", "disarm")
            await stream.all_done()
            await run.until(lambda said: "recovered" in said[told:])
            assert attempts_of(await contents(store)) == stream.numbers


async def test_a_store_without_the_right_to_write_refuses_and_recovers(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    with etcd_cluster(tmp_path_factory.mktemp("rights"), "127.77.43") as cluster:
        for command in RIGHTS:
            await asyncio.to_thread(cluster.etcdctl, *command.split())
        async with (
            Client(cluster.endpoints, user="offerd", password="pw") as client,
            led_store(client, prefix) as store,
            running(store) as run,
        ):
            stream = Stream(run)
            await stream.write(10)
            await etcdctl_as_root(cluster, "role", "revoke-permission", "offerd", "/", "0")
            stream.submit(10)
            await run.until(lambda _: bool(refusals(run)))
            assert "permission" in refusals(run)[0]
            told = len(run.said)
            await etcdctl_as_root(
                cluster, "role", "grant-permission", "offerd", "readwrite", "/", "0"
            )
            await stream.all_done()
            await run.until(lambda said: "recovered" in said[told:])
            assert attempts_of(await contents(store)) == stream.numbers


RIGHTS = (
    "user add root:root",
    "role add offerd",
    "role grant-permission offerd readwrite / 0",
    "user add offerd:pw",
    "user grant-role offerd offerd",
    "user grant-role root root",
    "auth enable",
)


async def etcdctl_as_root(cluster: EtcdCluster, *arguments: str) -> None:
    await asyncio.to_thread(cluster.etcdctl, *arguments, flags={"user": "root:root"})


class Stream:
    """Writes the same few instances over and over, each time with the next number of attempts."""

    def __init__(self, run: Running) -> None:
        self.run = run
        self.numbers: dict[RecordKey, int] = {}
        self.count = 0

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            instance = samples.instance(self.count * 7 % KEYS, self.count)
            self.numbers[instance.key] = self.count
            self.run.submit([Put(instance)], str(self.count))

    async def write(self, count: int) -> None:
        """One after another, so that each lane has many transactions."""
        for _ in range(count):
            self.submit(1)
            if self.count % 4 == 0:
                await self.all_done()
        await self.all_done()

    async def all_done(self) -> None:
        await self.run.until(lambda said: {str(n + 1) for n in range(self.count)} <= set(said))


class Watching:
    """Looks on from outside: no key may ever go back to an older number."""

    def __init__(self, client: Client, prefix: str) -> None:
        self.client = client
        self.prefix = f"{prefix}tasks/".encode()
        self.seen: dict[bytes, int] = {}

    async def __aenter__(self) -> "Watching":
        start = (await self.client.get(self.prefix)).revision + 1
        self.task = asyncio.create_task(self.look(start))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def look(self, start: int) -> None:
        async with self.client.watch_prefix(self.prefix, start) as watch:
            async for batch in watch:
                for event in batch.events:
                    number = attempts_in(event.item.value)
                    assert number > self.seen.get(event.item.key, 0), "an older value landed late"
                    self.seen[event.item.key] = number

    async def until_seen(self, numbers: dict[RecordKey, int]) -> None:
        async with asyncio.timeout(20):
            while sorted(self.seen.values()) != sorted(numbers.values()):
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.05)


def refusals(run: Running) -> list[str]:
    return [word for word in run.said if word.startswith("refusing")]


def attempts_in(value: bytes) -> int:
    record = msgspec.msgpack.decode(value[1:])
    return int(record["attempts"])


def attempts_of(found: dict[RecordKey, Record]) -> dict[RecordKey, int]:
    return {key: record.attempts for key, record in found.items() if isinstance(record, Instance)}


def with_message(attempt: Attempt, message: str) -> Attempt:
    return msgspec.structs.replace(attempt, message=message)
