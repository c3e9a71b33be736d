"""From the setting `store` to an election: who leads follows from who can see the store."""

from pathlib import Path

from scheduler.core.candidate import Candidate
from scheduler.election.etcd import TTL_S, EtcdElection
from scheduler.election.single import SingleElection, SoleElection
from scheduler.errors import SettingsError
from scheduler.etcd3.client import Client


def open_election(
    store_url: str,
    client: Client | None = None,
    prefix: str = "",
    info: Candidate | None = None,
    ttl_s: float = TTL_S,
) -> SingleElection | SoleElection | EtcdElection:
    """For `sqlite:PATH` the lock `PATH.lock`, for `memory:` none, for `etcd://…` a key below the
    store's prefix, which needs a client and who we are. Raises `SettingsError`."""
    kind, _, rest = store_url.partition(":")
    match kind:
        case "memory":
            return SoleElection()
        case "sqlite" if rest:
            # Resolved: two names of one file are one store.
            store = Path(rest).resolve()
            return SingleElection(store.with_name(store.name + ".lock"))
        case "etcd" if client is not None and prefix and info is not None:
            return EtcdElection(client, prefix, info, ttl_s=ttl_s)
        case "etcd":
            raise SettingsError("store: etcd has no election without a client, a prefix and a name")
        case _:
            raise SettingsError(
                f"store: {kind!r} has no election (sqlite:PATH, memory: or etcd://host:port)"
            )
