"""What the tests of the etcd client share: one real etcd of one member, and a client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import pytest_asyncio
import uvloop

from scheduler.etcd3.client import Client
from tests.support.etcd_cluster import EtcdCluster, etcd_cluster

NETWORK = "127.77.30"


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The daemon runs on uvloop; the plain ways have to work on both kinds."""
    if item.path.name == "test_client.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member, shared: each test keeps to keys below its own prefix."""
    with etcd_cluster(tmp_path_factory.mktemp("etcd"), NETWORK) as cluster:
        yield cluster


@pytest_asyncio.fixture
async def client(etcd: EtcdCluster) -> AsyncIterator[Client]:
    async with Client(etcd.endpoints) as client:
        yield client


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> bytes:
    return f"/{request.node.name}/".encode()
