"""From the setting `store` to a store. The one place that knows the kinds."""

from pathlib import Path

from scheduler.errors import SettingsError
from scheduler.etcd3.client import Client
from scheduler.etcd3.settings import TlsFiles
from scheduler.store.etcd import EtcdStore
from scheduler.store.etcd_address import SCHEME, parse_endpoints
from scheduler.store.memory import MemoryStore
from scheduler.store.sqlite import SqliteStore

KINDS = "sqlite:PATH, memory: or etcd://host:port,host:port"


def in_etcd(url: str) -> bool:
    """Whether the store is one that several daemons share."""
    return url.startswith(SCHEME)


def open_client(
    url: str, *, user: str = "", password: str = "", tls: TlsFiles | None = None
) -> Client:
    """A client of the etcd that `url` names, to be made inside the loop and closed by who made it.
    Store, election and followers share it. Raises `SettingsError`."""
    try:
        endpoints = parse_endpoints(url)
    except ValueError as error:
        raise SettingsError(f"store: it {error}") from None
    return Client(endpoints, tls=tls, user=user, password=password)


def open_store(
    url: str, client: Client | None = None, prefix: str = ""
) -> SqliteStore | MemoryStore | EtcdStore:
    """The store that `url` names (`sqlite:PATH`, `memory:`, `etcd://…`), made but not opened yet.
    One in etcd needs a client, and the prefix of its keys (`etcd_layout.prefix_of`). Raises
    `SettingsError`."""
    kind, _, rest = url.partition(":")
    match kind:
        case "memory" if url == "memory:":
            return MemoryStore()
        case "sqlite" if rest and not rest.startswith("//"):
            return SqliteStore(Path(rest))
        case "sqlite":
            raise SettingsError(f"store: {url!r} names no file (sqlite:/var/lib/offerd/offerd.db)")
        case "etcd" if client is not None and prefix:
            return EtcdStore(client, prefix)
        case "etcd":
            raise SettingsError("store: one in etcd needs a client and a prefix")
        case _:
            raise SettingsError(f"store: {kind!r} is not known ({KINDS})")
