"""A REST interface over a fake front, and a client that speaks with it."""

import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from scheduler.api.agent_files import HttpAgentFiles
from scheduler.api.app import make_app
from scheduler.core.model.ids import Role
from scheduler.jobspec import JobDefaults
from tests.api.fake_front import FakeFront

HOST = "127.77.5.1"
DEFAULTS = JobDefaults(role=Role("prod"))
Api = TestClient[aiohttp.web.Request, aiohttp.web.Application]


@pytest.fixture
def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
async def api(front: FakeFront) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        app = make_app(
            front,
            defaults=DEFAULTS,
            token=None,
            agent_files=HttpAgentFiles(session, answer_s=0.5),
        )
        async with TestClient(TestServer(app, host=HOST)) as client:
            yield client


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        yield listening.getsockname()[1]
