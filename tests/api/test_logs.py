"""`/v1/tasks/{task}/logs`: what tasks wrote, byte for byte, and agents that do not answer."""

import base64
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from scheduler.api.agent_files import AgentCredential, data_of
from scheduler.api.server import ApiServer
from scheduler.core.model.instance import AttemptState
from tests.api.conftest import DEFAULTS, HOST, Api
from tests.api.fake_agent import FakeAgent, escaped
from tests.api.fake_front import FRAMEWORK_ID, FakeFront
from tests.api.test_job_routes import WEB, apply, problem_of

TASK = "web.0.1.u1"
SANDBOX = f"/frameworks/{FRAMEWORK_ID}/executors/{TASK}/runs/latest"


@pytest.fixture
async def agent(front: FakeFront) -> AsyncIterator[FakeAgent]:
    agent = FakeAgent()
    async with TestServer(agent.app(), host=HOST) as server:
        front.agent_url = str(server.make_url("")).rstrip("/")
        yield agent


async def test_what_a_task_wrote_is_read_from_its_agent(api: Api, agent: FakeAgent) -> None:
    await apply(api)
    agent.files[f"{SANDBOX}/stdout"] = b"hello\n"
    agent.files[f"{SANDBOX}/stderr"] = b"oh\n"
    response = await api.get(f"/v1/tasks/{TASK}/logs")
    assert (response.status, await response.read()) == (200, b"hello\n")
    assert response.content_type == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    other = await api.get(f"/v1/tasks/{TASK}/logs?stream=stderr")
    assert await other.read() == b"oh\n"


async def test_output_is_read_in_pieces_byte_for_byte(api: Api, agent: FakeAgent) -> None:
    await apply(api)
    content = bytes(range(256)) * 700 + "wörter, 文字 🙂".encode()
    agent.files[f"{SANDBOX}/stdout"] = content
    read, offset = b"", 0
    while True:
        response = await api.get(f"/v1/tasks/{TASK}/logs", params={"offset": offset})
        piece = await response.read()
        assert response.headers["Offerd-Offset"] == str(offset)
        offset = int(response.headers["Offerd-Next"])
        read += piece
        if not piece:
            break
    assert read == content


async def test_a_limit_cuts_inside_of_a_character(api: Api, agent: FakeAgent) -> None:
    await apply(api)
    agent.files[f"{SANDBOX}/stdout"] = "ä".encode()
    response = await api.get(f"/v1/tasks/{TASK}/logs?limit=1")
    assert await response.read() == b"\xc3"
    response = await api.get(f"/v1/tasks/{TASK}/logs?limit=1&offset=1")
    assert await response.read() == b"\xa4"


async def test_the_output_of_an_ended_task_can_be_read(
    api: Api, front: FakeFront, agent: FakeAgent
) -> None:
    await apply(api)
    front.set_state(TASK, AttemptState.FAILED)
    agent.files[f"{SANDBOX}/stdout"] = b"last words"
    assert await (await api.get(f"/v1/tasks/{TASK}/logs")).read() == b"last words"


@pytest.mark.parametrize(
    "query", ["stream=stdin", "offset=-1", "limit=0", "limit=65537", "offset=x", "tail=1"]
)
async def test_a_query_that_makes_no_sense_is_refused(
    api: Api, agent: FakeAgent, query: str
) -> None:
    await apply(api)
    await problem_of(await api.get(f"/v1/tasks/{TASK}/logs?{query}"), 400)
    assert agent.asked == []


async def test_a_sandbox_that_is_gone_is_404(api: Api, agent: FakeAgent) -> None:
    await apply(api)
    await problem_of(await api.get(f"/v1/tasks/{TASK}/logs"), 404)
    assert agent.asked == [f"{SANDBOX}/stdout"]


@pytest.mark.parametrize("mode", ["garbage", "no data", "forbidden", "redirect", "long"])
async def test_an_agent_that_answers_nonsense_is_502(api: Api, agent: FakeAgent, mode: str) -> None:
    await apply(api)
    agent.mode = mode
    await problem_of(await api.get(f"/v1/tasks/{TASK}/logs"), 502)


async def test_an_agent_that_is_not_there_is_502(api: Api, front: FakeFront) -> None:
    front.agent_url = f"http://{HOST}:1"
    await apply(api)
    problem = await problem_of(await api.get(f"/v1/tasks/{TASK}/logs"), 502)
    assert "node1" in problem["detail"]


async def test_an_agent_that_never_answers_is_502_at_the_deadline(
    api: Api, front: FakeFront, mute_port: int
) -> None:
    front.agent_url = f"http://{HOST}:{mute_port}"
    await apply(api)
    await problem_of(await api.get(f"/v1/tasks/{TASK}/logs"), 502)


async def test_an_agent_without_an_address_is_502(api: Api) -> None:
    await apply(api)
    await problem_of(await api.get(f"/v1/tasks/{TASK}/logs"), 502)


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        (AgentCredential("operator", "sö-secret"), 200),
        (AgentCredential("operator", "wrong-secret"), 502),
        (None, 502),
    ],
)
async def test_an_agent_is_told_who_asks(
    front: FakeFront, agent: FakeAgent, credential: AgentCredential | None, status: int
) -> None:
    agent.files[f"{SANDBOX}/stdout"] = b"hello\n"
    agent.authorization = f"Basic {base64.b64encode('operator:sö-secret'.encode()).decode()}"
    server = ApiServer(front, defaults=DEFAULTS, host=HOST, port=0, agent_credential=credential)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{HOST}:{server.port}") as session:
            await (await session.post("/v1/jobs", json=WEB)).read()
            response = await session.get(f"/v1/tasks/{TASK}/logs")
            text = await response.text()
    finally:
        await server.stop()
    assert response.status == status
    assert (text == "hello\n") == (status == 200)
    assert "secret" not in text
    assert "secret" not in repr(credential)


@given(st.binary(max_size=200))
def test_every_byte_that_an_agent_sends_comes_back(data: bytes) -> None:
    assert data_of(b'{"offset":0,"data":"' + escaped(data) + b'"}') == data


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_text_that_an_agent_escapes_comes_back_as_utf_8(text: str) -> None:
    import json

    assert data_of(json.dumps({"data": text}).encode()) == text.encode()
