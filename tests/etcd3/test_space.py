"""An etcd whose quota is used up: it answers, and takes no write until somebody makes room."""

from pathlib import Path

import pytest

from scheduler.errors import EtcdRefusal, EtcdRefused
from scheduler.etcd3 import transactions as t
from scheduler.etcd3.client import Client
from scheduler.etcd3.values import AlarmKind
from tests.support.etcd_cluster import etcd_cluster

QUOTA_BYTES = 2_000_000


async def test_no_space_is_a_refusal_and_ends_when_there_is_room(tmp_path: Path) -> None:
    options = [f"--quota-backend-bytes={QUOTA_BYTES}"]
    with etcd_cluster(tmp_path, "127.77.35", options=options) as cluster:
        async with Client(cluster.endpoints) as client:
            with pytest.raises(EtcdRefused) as caught:
                for n in range(100):
                    await client.put(b"/key", bytes(100_000) + b"%d" % n)
            assert caught.value.reason is EtcdRefusal.NO_SPACE
            with pytest.raises(EtcdRefused) as caught:
                await client.transaction([], [t.put(b"/small", b"")])
            assert caught.value.reason is EtcdRefusal.NO_SPACE
            found = await client.get(b"/key")
            assert found.item is not None, "it can still be read"
            assert [alarm.kind for alarm in await client.alarms()] == [AlarmKind.NO_SPACE]
            (state,) = await client.status()
            assert state.errors
            await client.compact(found.revision)
            cluster.etcdctl("defrag")
            cluster.etcdctl("alarm", "disarm")
            assert await client.put(b"/key", b"") > found.revision
            assert await client.alarms() == []
