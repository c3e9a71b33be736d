"""Stores in a real etcd, each in a term of its own. One etcd of one member serves all of them; it
is started when the first one needs it, and each test has keys of its own."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from scheduler.core.records import Record, Write
from scheduler.etcd3.client import Client
from scheduler.etcd3.transactions import create, put
from scheduler.store.etcd import EtcdStore
from scheduler.store.etcd_layout import prefix_of
from tests.support.etcd_cluster import EtcdCluster

NETWORK = "127.77.40"


@functools.cache
def shared_etcd() -> EtcdCluster:
    folder = Path(tempfile.mkdtemp(prefix="offerd-etcd-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cluster = EtcdCluster(folder, NETWORK)
    atexit.register(cluster.stop)
    cluster.start()
    return cluster


async def begin_term(client: Client, prefix: str, name: bytes = b'{"instance": "a"}') -> int:
    """Takes the office, whoever holds it; gives the term."""
    leader = f"{prefix}leader".encode()
    await client.delete(leader)
    result = await client.transaction([create(leader, 0)], [put(leader, name)])
    assert result.succeeded
    return result.revision


@asynccontextmanager
async def led_store(client: Client, prefix: str) -> AsyncIterator[EtcdStore]:
    """A store in a new term."""
    store = EtcdStore(client, prefix)
    store.begin(await begin_term(client, prefix))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class LedStore:
    """A store with client and term of its own: both begin when it is opened."""

    def __init__(self, directory: Path) -> None:
        self._prefix = prefix_of("contract", str(directory))
        self._endpoints = shared_etcd().endpoints
        self._client: Client | None = None
        self._store: EtcdStore | None = None

    @property
    def store(self) -> EtcdStore:
        assert self._store is not None
        return self._store

    async def open(self) -> None:
        self._client = Client(self._endpoints)
        self._store = EtcdStore(self._client, self._prefix)
        self._store.begin(await begin_term(self._client, self._prefix))
        await self._store.open()

    def load(self) -> AsyncIterator[Sequence[Record]]:
        return self.store.load()

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None:
        self.store.submit(writes, done, launches=launches)

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        await self.store.run(refusing, recovered)

    async def close(self) -> None:
        await self.store.close()
        if self._client is not None:
            await self._client.delete(f"{self._prefix}leader".encode())
            await self._client.aclose()
