"""From the setting `store` to a store. The one place that knows the kinds."""

from pathlib import Path

from scheduler.errors import SettingsError
from scheduler.store.memory import MemoryStore
from scheduler.store.sqlite import SqliteStore


def open_store(url: str) -> SqliteStore | MemoryStore:
    """The store that `url` names (`sqlite:PATH`, `memory:`), made but not opened yet. Raises
    `SettingsError`."""
    kind, _, rest = url.partition(":")
    match kind:
        case "memory" if url == "memory:":
            return MemoryStore()
        case "sqlite" if rest and not rest.startswith("//"):
            return SqliteStore(Path(rest))
        case "sqlite":
            raise SettingsError(f"store: {url!r} names no file (sqlite:/var/lib/offerd/offerd.db)")
        case "etcd":
            raise SettingsError(
                "store: etcd:// comes with the release that brings leader election; "
                "use sqlite:PATH with one daemon"
            )
        case _:
            raise SettingsError(f"store: {kind!r} is not known (sqlite:PATH or memory:)")
