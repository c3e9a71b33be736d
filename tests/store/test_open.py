"""From the setting to a store."""

from pathlib import Path

import pytest

from scheduler.errors import SettingsError
from scheduler.runtime.protocols import Store
from scheduler.store.etcd import EtcdStore
from scheduler.store.memory import MemoryStore
from scheduler.store.open import in_etcd, open_client, open_store
from scheduler.store.sqlite import SqliteStore


async def test_sqlite_opens_the_file_that_it_names(tmp_path: Path) -> None:
    store: Store = open_store(f"sqlite:{tmp_path}/offerd.db")
    assert isinstance(store, SqliteStore)
    await store.open()
    await store.close()
    assert (tmp_path / "offerd.db").exists()


async def test_etcd_needs_a_client_and_a_prefix() -> None:
    url = "etcd://127.77.0.1:2379,127.77.0.2:2379"
    async with open_client(url) as client:
        store: Store = open_store(url, client, "/offerd/offerd/")
        assert isinstance(store, EtcdStore)
    assert in_etcd(url)
    assert not in_etcd("sqlite:etcd")


async def test_a_client_of_what_is_no_etcd_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="holds @") as refusal:
        open_client("etcd://name:secret@host:2379")
    assert "secret" not in str(refusal.value)


def test_memory_is_a_store() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:", "names no file"),
        ("sqlite:///var/x.db", "names no file"),
        ("sqlite", "names no file"),
        ("memory:x", "not known"),
        ("etcd://127.0.0.1:2379", "needs a client"),
        ("postgres://name:secret@host/db", "'postgres' is not known"),
        ("", "not known"),
    ],
)
def test_what_names_no_store_is_a_settings_error(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refusal:
        open_store(url)
    assert "secret" not in str(refusal.value)
