"""A REST interface over a fake front, and a client that speaks with it."""

import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scheduler.api.agent_files import AgentCredential, HttpAgentFiles
from scheduler.api.app import USUAL_LIMITS, make_app
from scheduler.api.leader_check import LeaderCheck
from scheduler.api.leader_client import LeaderClient
from scheduler.api.requests import Limits
from scheduler.core.model.ids import Role
from scheduler.jobspec import JobDefaults
from tests.api.fake_front import FakeFront

HOST = "127.77.5.1"
DEFAULTS = JobDefaults(role=Role("prod"))
Api = TestClient[aiohttp.web.Request, aiohttp.web.Application]


def an_app(
    front: FakeFront,
    session: aiohttp.ClientSession,
    *,
    token: str | None = None,
    peer_token: str | None = None,
    limits: Limits = USUAL_LIMITS,
    agent_credential: AgentCredential | None = None,
) -> web.Application:
    """The interface, impatient with agents and leaders."""
    client = LeaderClient(session, instance=front.instance, token=peer_token, answer_s=0.5)
    return make_app(
        front,
        defaults=DEFAULTS,
        token=token,
        peer_token=peer_token,
        agent_files=HttpAgentFiles(session, credential=agent_credential, answer_s=0.5),
        leader_client=client,
        leader_check=LeaderCheck(front, client),
        limits=limits,
    )


@pytest.fixture
def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
async def api(front: FakeFront) -> AsyncIterator[Api]:
    async with (
        aiohttp.ClientSession() as session,
        TestClient(TestServer(an_app(front, session), host=HOST)) as client,
    ):
        yield client


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        yield listening.getsockname()[1]
