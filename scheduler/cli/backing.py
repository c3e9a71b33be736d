"""From the settings to what a daemon stands on: where records are kept, and who leads.

A store of one's own comes with a lock; a shared one (etcd) with an election by lease, and with a
feed that those who wait to lead follow.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scheduler.core.candidate import Candidate
from scheduler.core.records import Write
from scheduler.election.open import open_election
from scheduler.errors import SettingsError
from scheduler.etcd3.client import Client
from scheduler.etcd3.settings import TlsFiles
from scheduler.runtime.daemon import MakeStore
from scheduler.runtime.protocols import Election, Following, LeaderInfo, Store
from scheduler.settings import Settings
from scheduler.store.contents import Contents, EtcdContents, SqliteContents
from scheduler.store.etcd import EtcdStore
from scheduler.store.etcd_follow import follow
from scheduler.store.etcd_layout import prefix_of
from scheduler.store.open import in_etcd, open_client, open_store


class Backing(NamedTuple):
    """`following` is None where nobody else can write."""

    election: Election
    make_store: MakeStore
    following: Following | None


@contextlib.asynccontextmanager
async def open_backing(settings: Settings) -> AsyncIterator[Backing]:
    """Raises `SettingsError` for what cannot be used."""
    if not in_etcd(settings.store):
        yield Backing(open_election(settings.store), lambda _: open_store(settings.store), None)
        return
    client = _client(settings)
    prefix = prefix_of(settings.etcd.prefix, settings.framework.name)
    candidate = Candidate(settings.instance, settings.advertise)
    election = open_election(settings.store, client, prefix, candidate, settings.election.ttl_s)

    def make_store(term: int) -> Store:
        store = EtcdStore(client, prefix)
        store.begin(term)
        return store

    try:
        yield Backing(election, make_store, EtcdFollowing(client, prefix))
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def open_contents(settings: Settings) -> AsyncIterator[tuple[Contents, Election]]:
    """All that is kept there, and the office that whoever replaces it must hold. Raises
    `SettingsError`."""
    kind, _, rest = settings.store.partition(":")
    if kind == "memory":
        raise SettingsError("store: memory: keeps nothing that could be backed up")
    if not in_etcd(settings.store):
        yield SqliteContents(Path(rest)), open_election(settings.store)
        return
    client = _client(settings)
    prefix = prefix_of(settings.etcd.prefix, settings.framework.name)
    ourselves = Candidate(f"a restore on {settings.instance}", None)
    election = open_election(settings.store, client, prefix, ourselves, settings.election.ttl_s)
    try:
        yield EtcdContents(client, prefix), election
    finally:
        await client.aclose()


def _client(settings: Settings) -> Client:
    etcd = settings.etcd
    tls = None
    if etcd.tls is not None:
        tls = TlsFiles(etcd.tls.ca_file, etcd.tls.cert_file, etcd.tls.key_file)
    return open_client(
        settings.store,
        user=etcd.user or "",
        password=etcd.password_file.reveal() if etcd.password_file is not None else "",
        tls=tls,
    )


class EtcdFollowing:
    """Implements `protocols.Following`."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def run(
        self,
        on_writes: Callable[[Sequence[Write]], None],
        on_leader: Callable[[LeaderInfo | None], None],
        on_alive: Callable[[], None],
    ) -> None:
        def leads(candidate: Candidate | None, term: int) -> None:
            leader = None
            if candidate is not None:
                leader = LeaderInfo(candidate.instance, candidate.advertise or "", term)
            on_leader(leader)

        await follow(self._client, self._prefix, on_writes, leads, lambda _: on_alive())
