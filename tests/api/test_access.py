"""Who may ask, from where, and how much at once."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import uvloop
from aiohttp.test_utils import TestClient, TestServer

from scheduler.api.requests import Limits
from scheduler.core.effects import Answer
from scheduler.core.events import Command, Ticket
from tests.api.conftest import HOST, Api, an_app
from tests.api.fake_front import FakeFront
from tests.api.test_job_routes import WEB, problem_of

DEADLINE_S = 10.0
TOKEN = "correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def guarded(front: FakeFront) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        app = an_app(front, session, token=TOKEN)
        async with TestClient(TestServer(app, host=HOST)) as client:
            yield client


async def test_the_right_token_opens_the_door(guarded: Api) -> None:
    assert (await guarded.get("/v1/jobs", headers=BEARER)).status == 200
    assert (
        await guarded.get("/v1/jobs", headers={"Authorization": f"bearer {TOKEN}"})
    ).status == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü", TOKEN],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/status", "/", "/nothing"])
async def test_without_the_right_token_nothing_is_told(
    guarded: Api, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await guarded.get(path, headers=headers)
    problem = await problem_of(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert TOKEN not in str(problem)


async def test_changes_need_the_token_too(guarded: Api, front: FakeFront) -> None:
    await problem_of(await guarded.post("/v1/jobs", json=WEB), 401)
    await problem_of(await guarded.delete("/v1/jobs/web"), 401)
    assert front.commands == []
    assert (await guarded.post("/v1/jobs", json=WEB, headers=BEARER)).status == 201


async def test_health_needs_no_token(guarded: Api) -> None:
    assert (await guarded.get("/healthz")).status == 200
    assert (await guarded.get("/readyz")).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[::1", ""])
async def test_a_page_of_another_site_changes_nothing(
    api: Api, front: FakeFront, origin: str
) -> None:
    foreign = {"Origin": origin}
    await problem_of(await api.post("/v1/jobs", json=WEB, headers=foreign), 403)
    await problem_of(await api.post("/v1/jobs/web/stop", headers=foreign), 403)
    await problem_of(await api.delete("/v1/jobs/web", headers=foreign), 403)
    assert front.commands == []


async def test_a_page_of_our_own_may_change_things(api: Api, front: FakeFront) -> None:
    own = {"Origin": f"http://{HOST}:{api.port}"}
    assert (await api.post("/v1/jobs", json=WEB, headers=own)).status == 201


@pytest.mark.parametrize("host", ["evil.example:8080", "[::1", "", "localhost.evil.example"])
async def test_a_foreign_name_for_loopback_is_not_answered(api: Api, host: str) -> None:
    await problem_of(await api.get("/v1/jobs", headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["localhost:8080", "[::1]:8080", "127.0.0.1"])
async def test_names_of_this_machine_are_answered(api: Api, host: str) -> None:
    assert (await api.get("/v1/jobs", headers={"Host": host})).status == 200


async def test_nothing_is_shared_with_other_sites(api: Api) -> None:
    response = await api.get("/v1/jobs", headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers
    await problem_of(await api.options("/v1/jobs"), 405)


async def test_what_is_not_there_and_what_is_not_possible_are_problems(api: Api) -> None:
    await problem_of(await api.get("/v1/nothing"), 404)
    response = await api.put("/v1/jobs", json=WEB)
    await problem_of(response, 405)
    assert response.headers["Allow"] == "GET, POST"


class SlowFront(FakeFront):
    """Answers commands only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.asked = asyncio.Semaphore(0)

    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        self.asked.release()
        await self.let.wait()
        return await super().ask(make)


async def test_more_requests_than_the_bound_are_told_to_come_again() -> None:
    front = SlowFront()
    async with aiohttp.ClientSession() as session:
        app = an_app(front, session, limits=Limits(in_flight_max=2))
        async with TestClient(TestServer(app, host=HOST)) as client:
            waiting = [
                asyncio.create_task(client.post("/v1/jobs", json=WEB | {"job": name}))
                for name in ("a", "b")
            ]
            for _ in waiting:
                await asyncio.wait_for(front.asked.acquire(), 5)
            refused = await client.get("/v1/jobs")
            await problem_of(refused, 429)
            assert refused.headers["Retry-After"] == "1"
            assert (await client.get("/healthz")).status == 200
            front.let.set()
            assert [response.status for response in await asyncio.gather(*waiting)] == [201, 201]
            assert (await client.get("/v1/jobs")).status == 200


async def test_a_body_that_never_arrives_is_given_up() -> None:
    async with aiohttp.ClientSession() as session:
        app = an_app(FakeFront(), session, limits=Limits(body_read_s=0.2))
        async with TestServer(app, host=HOST) as server:
            reader, writer = await asyncio.open_connection(HOST, server.port)
            writer.write(
                f"POST /v1/jobs HTTP/1.1\r\nHost: {HOST}\r\n"
                "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{".encode()
            )
            status = await asyncio.wait_for(reader.readline(), 5)
            assert status.startswith(b"HTTP/1.1 408 ")
            writer.close()
            await writer.wait_closed()


class BrokenFront(FakeFront):
    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        raise RuntimeError("the secret is 1234")


async def test_a_bug_is_a_500_that_tells_nothing() -> None:
    async with aiohttp.ClientSession() as session:
        app = an_app(BrokenFront(), session)
        async with TestClient(TestServer(app, host=HOST)) as client:
            problem = await problem_of(await client.post("/v1/jobs", json=WEB), 500)
            assert "1234" not in str(problem)


# --- who is gone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loop_of", ["asyncio", "uvloop"])
def test_a_change_is_not_begun_when_its_sender_has_left(loop_of: str) -> None:
    """The loop stands still, as of a process that was stopped, while the sender comes and goes."""
    maker = asyncio.new_event_loop if loop_of == "asyncio" else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=maker) as runner:
        runner.run(_sender_comes_and_goes())


async def _sender_comes_and_goes() -> None:
    front = FakeFront()
    body = json.dumps(WEB)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    async with (
        aiohttp.ClientSession() as session,
        TestServer(an_app(front, session), host=HOST) as server,
    ):
        where = HOST, server.port or 0
        with socket.create_connection(where) as leaving:
            leaving.sendall(request)
        with socket.create_connection(where) as waiting:
            waiting.sendall(request)
            waiting.setblocking(False)
            async with asyncio.timeout(DEADLINE_S):
                answer = await asyncio.get_running_loop().sock_recv(waiting, 1000)
    assert b" 201 " in answer
    assert [type(command).__name__ for command in front.commands] == ["ApplyJob"]
