"""What the one who leads writes to etcd, as it happens: for those who wait to lead.

One watch over everything, the leader key among it, so the order is etcd's own: whoever sees itself
begin to lead has seen every write of all terms before. It reads only. Neighbours: `etcd.py` writes,
`election/` decides who leads.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Never

import msgspec
import structlog

from scheduler.core.candidate import Candidate
from scheduler.core.records import Put, Remove, Write
from scheduler.errors import Compacted, EtcdUnavailable, StoreUnreadable
from scheduler.etcd3.client import Client
from scheduler.etcd3.values import KeyValue, WatchEvent
from scheduler.store.etcd_layout import Layout
from scheduler.store.records import decode, key_from_path

log = structlog.get_logger()

PAGE_RECORDS = 10_000
RETRY_S = 0.5

OnWrites = Callable[[Sequence[Write]], None]
OnLeader = Callable[[Candidate | None, int], None]
OnAlive = Callable[[int], None]

_leader = msgspec.json.Decoder(Candidate)


async def follow(
    client: Client,
    prefix: str,
    on_writes: OnWrites,
    on_leader: OnLeader,
    on_alive: OnAlive = lambda _: None,
) -> Never:
    """Gives all records, then every change, in etcd's order, until it is cancelled.

    `on_leader` gets who leads and the term, or None and the revision at which nobody did any more;
    the first call says that all records there were have been given. `on_alive` gets the revision up
    to which everything was given: about once a second while etcd answers, so its silence tells how
    old what was given is.

    While no member answers it tries again. Raises `StoreUnreadable` for what cannot be understood,
    `EtcdRefused` when we may not read.
    """
    follower = _Follower(client, prefix, on_writes, on_leader, on_alive)
    while True:
        try:
            revision = await follower.list_all()
            await follower.watch(revision + 1)
        except (Compacted, EtcdUnavailable) as error:
            log.warning("store.listing_anew", reason=str(error))
        await asyncio.sleep(RETRY_S)


class _Follower:
    def __init__(
        self,
        client: Client,
        prefix: str,
        on_writes: OnWrites,
        on_leader: OnLeader,
        on_alive: OnAlive,
    ) -> None:
        self._client = client
        self._layout = Layout(prefix)
        self._on_writes = on_writes
        self._on_leader = on_leader
        self._on_alive = on_alive
        # The mod revision of each record that was given.
        self._given: dict[bytes, int] = {}
        self._term: int | None = None

    async def list_all(self) -> int:
        """Gives what differs from what was given before; gives back the listing's revision."""
        seen: set[bytes] = set()
        leader: KeyValue | None = None
        revision = 0
        async for page in self._client.get_prefix(self._layout.prefix, page_size=PAGE_RECORDS):
            revision = page.revision
            seen.update(item.key for item in page.items)
            for item in page.items:
                if item.key == self._layout.leader:
                    leader = item
            self._give(self._changes(page.items))
        self._give([self._removed(key) for key in self._given.keys() - seen])
        self._lead(leader, revision)
        self._on_alive(revision)
        return revision

    def _changes(self, items: Iterable[KeyValue]) -> list[Write]:
        given = self._given
        changed = (item for item in items if given.get(item.key) != item.mod_revision)
        writes = (self._put(item) for item in changed)
        return [write for write in writes if write is not None]

    async def watch(self, start_revision: int) -> None:
        """Ends by an error only."""
        async with self._client.watch_prefix(self._layout.prefix, start_revision) as watch:
            async for batch in watch:
                self._pass_on(batch.events)
                self._on_alive(batch.revision)

    def _pass_on(self, events: Sequence[WatchEvent]) -> None:
        """Records in whole batches, cut only where the leader changes."""
        writes: list[Write] = []
        for event in events:
            item = event.item
            if item.key == self._layout.leader:
                self._give(writes)
                writes = []
                self._lead(None if event.deleted else item, item.mod_revision)
            elif not event.deleted:
                write = self._put(item)
                if write is not None:
                    writes.append(write)
            elif item.key in self._given:
                writes.append(self._removed(item.key))
        self._give(writes)

    def _put(self, item: KeyValue) -> Write | None:
        """None for what is no record."""
        if item.key == self._layout.schema:
            self._layout.check_schema(item.value)
        path = self._layout.record_path(item.key)
        if path is None:
            return None
        record = decode(path, item.value)
        self._given[item.key] = item.mod_revision
        return Put(record)

    def _removed(self, key: bytes) -> Remove:
        del self._given[key]
        return Remove(key_from_path(key[len(self._layout.prefix) :].decode()))

    def _give(self, writes: Sequence[Write]) -> None:
        if writes:
            self._on_writes(writes)

    def _lead(self, leader: KeyValue | None, revision: int) -> None:
        term = 0 if leader is None else leader.create_revision
        if term == self._term:
            return
        self._term = term
        if leader is None:
            self._on_leader(None, revision)
        else:
            self._on_leader(read_leader(leader), term)


def read_leader(leader: KeyValue) -> Candidate:
    """Who leads, out of the leader key."""
    try:
        return _leader.decode(leader.value)
    except msgspec.MsgspecError as error:
        raise StoreUnreadable(
            f"etcd: {leader.key.decode(errors='replace')} cannot be read: {error}"
        ) from error
