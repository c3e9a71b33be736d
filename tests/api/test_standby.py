"""What an instance answers itself while another one leads, and what it passes on."""

import asyncio
import contextlib
import io
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scheduler.api.leader_check import LeaderCheck
from scheduler.api.leader_client import ANSWER_BYTES_MAX, ASKED_BY, PASSED_ON, LeaderClient
from scheduler.api.server import ApiServer
from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import ApplyJob, Ticket
from scheduler.runtime.protocols import LeaderInfo
from tests.api.conftest import DEFAULTS, HOST, Api, an_app
from tests.api.fake_agent import FakeAgent
from tests.api.fake_front import FRAMEWORK_ID, FakeFront
from tests.api.test_job_routes import WEB, WEB_YAML, apply, problem_of
from tests.mesos.certificates import make_certificate
from tests.support.waiting import wait_until

USER, PEER = "correct-horse", "battery-staple"
NOBODY_THERE = f"http://{HOST}:1"


def leader_at(url: str) -> LeaderInfo:
    return LeaderInfo("offerd-2", url, 7)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


class Pair:
    """`standby` follows `leader`; both are the real interface, each over a front of its own."""

    def __init__(self, standby: Api, leading: FakeFront, following: FakeFront) -> None:
        self.standby = standby
        self.leading = leading
        self.following = following


@contextlib.asynccontextmanager
async def a_pair(
    session: aiohttp.ClientSession, *, token: str | None = None, peers: tuple[str | None, ...]
) -> AsyncIterator[Pair]:
    """`peers` are the peer tokens of the leader and of the standby."""
    leading, following = FakeFront(), FakeFront()
    leading.instance = "offerd-2"
    leader = an_app(leading, session, token=token, peer_token=peers[0])
    standby = an_app(following, session, token=token, peer_token=peers[1])
    async with (
        TestServer(leader, host=HOST) as server,
        TestClient(TestServer(standby, host=HOST)) as client,
    ):
        following.follow(leader_at(str(server.make_url("/"))))
        yield Pair(client, leading, following)


@pytest.fixture
async def pair(session: aiohttp.ClientSession) -> AsyncIterator[Pair]:
    async with a_pair(session, peers=(PEER, PEER)) as pair:
        yield pair


# --- reads ---------------------------------------------------------------------------------------


async def test_reads_are_answered_here_and_say_how_old_they_are(api: Api, front: FakeFront) -> None:
    await apply(api)
    front.follow(leader_at(NOBODY_THERE), age_s=1.23456)
    for path in ("/v1/jobs", "/v1/jobs/web", "/v1/jobs/web/tasks", "/v1/tasks", "/v1/agents"):
        response = await api.get(path)
        assert (response.status, response.headers["Offerd-Age"]) == (200, "1.235")
    [job] = (await (await api.get("/v1/jobs")).json())["items"]
    assert job["tasks"] == {"running": 3}


async def test_what_is_not_there_says_how_old_that_is(api: Api, front: FakeFront) -> None:
    front.follow(leader_at(NOBODY_THERE))
    response = await api.get("/v1/jobs/none")
    await problem_of(response, 404)
    assert response.headers["Offerd-Age"] == "0.250"


async def test_the_leader_is_never_old(api: Api) -> None:
    assert (await api.get("/v1/jobs")).headers["Offerd-Age"] == "0.000"
    assert "Offerd-Age" not in (await api.get("/healthz")).headers


async def test_status_says_who_leads_and_where(api: Api, front: FakeFront) -> None:
    front.follow(leader_at("http://offerd-2:8080"), age_s=0.5)
    status = await (await api.get("/v1/status")).json()
    assert (status["instance"], status["leading"]) == ("offerd-1", False)
    assert (status["leader"], status["leader_url"]) == ("offerd-2", "http://offerd-2:8080")
    assert (status["age_s"], status["framework_id"]) == (0.5, FRAMEWORK_ID)


async def test_logs_are_read_without_the_leader(api: Api, front: FakeFront) -> None:
    agent = FakeAgent()
    sandbox = f"/frameworks/{FRAMEWORK_ID}/executors/web.0.1.u1/runs/latest"
    agent.files[f"{sandbox}/stdout"] = b"hello\n"
    async with TestServer(agent.app(), host=HOST) as server:
        front.agent_url = str(server.make_url("")).rstrip("/")
        await apply(api)
        front.follow(leader_at(NOBODY_THERE))
        response = await api.get("/v1/tasks/web.0.1.u1/logs")
        assert await response.read() == b"hello\n"


async def test_a_read_that_must_be_new_is_the_leaders(pair: Pair) -> None:
    assert (await pair.standby.post("/v1/jobs", json=WEB)).status == 201
    await problem_of(await pair.standby.get("/v1/jobs/web"), 404)
    response = await pair.standby.get("/v1/jobs/web", headers={"Cache-Control": "no-cache"})
    assert (response.status, response.headers["Offerd-Age"]) == (200, "0.000")
    assert (await response.json())["job"] == "web"


# --- changes -------------------------------------------------------------------------------------


async def test_changes_are_passed_on_and_their_answers_back(pair: Pair) -> None:
    response = await pair.standby.post("/v1/jobs", json=WEB | {"job": "team/web"})
    assert (response.status, response.content_type) == (201, "application/json")
    assert await response.json() == {
        "job": "team/web",
        "result": "created",
        "version": 1,
        "detail": "",
    }
    scaled = await pair.standby.post("/v1/jobs/team%2Fweb/scale", json={"instances": 5})
    assert (await scaled.json())["result"] == "changed"
    killed = await pair.standby.post("/v1/tasks/team.web.0.1.u1/kill")
    assert killed.status == 202
    assert (await pair.standby.delete("/v1/jobs/team%2Fweb")).status == 202
    kinds = [type(command).__name__ for command in pair.leading.commands]
    assert kinds == ["ApplyJob", "ScaleJob", "KillTask", "DeleteJob"]
    assert pair.following.commands == []


async def test_yaml_is_passed_on_as_it_is(pair: Pair) -> None:
    response = await pair.standby.post(
        "/v1/jobs", data=WEB_YAML, headers={"Content-Type": "application/yaml"}
    )
    assert response.status == 201
    [command] = pair.leading.commands
    assert isinstance(command, ApplyJob)
    assert command.spec.instances == 3


async def test_refusals_come_back_as_they_are(pair: Pair) -> None:
    problem = await problem_of(await pair.standby.post("/v1/jobs", json=WEB | {"x": 1}), 400)
    assert [error["path"] for error in problem["errors"]] == ["x"]
    await problem_of(await pair.standby.post("/v1/jobs", data=b"x"), 415)
    await problem_of(await pair.standby.delete("/v1/jobs/none?force=true"), 400)
    pair.leading.answer = Answer(Ticket(0), Verdict.UNAVAILABLE, "the store is full")
    response = await pair.standby.post("/v1/jobs", json=WEB)
    assert (await problem_of(response, 503))["detail"] == "the store is full"
    assert response.headers["Retry-After"] == "1"


async def test_what_no_route_takes_and_what_is_too_large_are_refused_here(
    api: Api, front: FakeFront
) -> None:
    front.follow(leader_at(NOBODY_THERE))
    await problem_of(await api.post("/v1/nothing"), 404)
    await problem_of(await api.put("/v1/jobs", json=WEB), 405)
    await problem_of(await api.post("/v1/jobs", data=io.BytesIO(b" " * (2**20 + 1))), 413)


# --- tokens --------------------------------------------------------------------------------------


async def test_instances_prove_to_each_other_who_they_are(session: aiohttp.ClientSession) -> None:
    async with a_pair(session, token=USER, peers=(PEER, PEER)) as pair:
        for given in (USER, PEER):
            headers = {"Authorization": f"Bearer {given}"}
            assert (await pair.standby.post("/v1/jobs", json=WEB, headers=headers)).status < 300
        await problem_of(await pair.standby.post("/v1/jobs", json=WEB), 401)
        wrong = {"Authorization": f"Bearer {USER}{PEER}"}
        await problem_of(await pair.standby.post("/v1/jobs", json=WEB, headers=wrong), 401)
    assert len(pair.leading.commands) == 2


@pytest.mark.parametrize("peers", [(PEER, "another"), (None, PEER), (PEER, None)])
async def test_peer_tokens_that_differ_are_told(
    session: aiohttp.ClientSession, peers: tuple[str | None, ...]
) -> None:
    async with a_pair(session, token=USER, peers=peers) as pair:
        headers = {"Authorization": f"Bearer {USER}"}
        response = await pair.standby.post("/v1/jobs", json=WEB, headers=headers)
        problem = await problem_of(response, 502)
        assert "peer_token_file" in problem["detail"]
        assert PEER not in problem["detail"]
    assert pair.leading.commands == []


async def test_a_peer_may_use_any_name_of_ours(session: aiohttp.ClientSession) -> None:
    app = an_app(FakeFront(), session, peer_token=PEER)
    async with TestClient(TestServer(app, host=HOST)) as client:
        named = {"Host": "offerd-1.example:8080"}
        await problem_of(await client.post("/v1/jobs", json=WEB, headers=named), 421)
        peer = named | {"Authorization": f"Bearer {PEER}"}
        assert (await client.post("/v1/jobs", json=WEB, headers=peer)).status == 201


# --- no leader, or none that answers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("leader", "said"),
    [
        (None, "knows no leader"),
        (LeaderInfo("offerd-1", "http://offerd-1:8080", 8), "about to lead"),
        (LeaderInfo("offerd-2", "", 8), "advertise"),
        (leader_at("http://[::1"), "advertise"),
        (leader_at("offerd-2:8080"), "advertise"),
        (leader_at(NOBODY_THERE), f"offerd-2 at {NOBODY_THERE} cannot be reached"),
    ],
)
async def test_without_a_leader_a_change_may_be_tried_again(
    api: Api, front: FakeFront, leader: LeaderInfo | None, said: str
) -> None:
    front.follow(leader)
    response = await api.post("/v1/jobs", json=WEB)
    problem = await problem_of(response, 503)
    assert said in problem["detail"]
    assert response.headers["Retry-After"] == "1"
    assert front.commands == []


async def test_a_leader_that_never_answers_is_given_up(
    api: Api, front: FakeFront, mute_port: int
) -> None:
    front.follow(leader_at(f"http://{HOST}:{mute_port}"))
    response = await api.post("/v1/jobs", json=WEB)
    problem = await problem_of(response, 503)
    assert "may still take effect" in problem["detail"]
    assert "offerd-2" in problem["detail"]
    assert response.headers["Retry-After"] == "1"


class OddLeader:
    """Takes requests off the socket, and answers with given bytes."""

    def __init__(self, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            writer.write(self._answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (ANSWER_BYTES_MAX + 1),
    ],
    ids=["nothing", "half", "nonsense", "long"],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_may_have_happened_is_never_sent_again(
    api: Api, front: FakeFront, method: str, answer: bytes
) -> None:
    odd = OddLeader(answer)
    server = await asyncio.start_server(odd.serve, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        front.follow(leader_at(f"http://{HOST}:{port}"))
        path = "/v1/jobs/web/stop" if method == "POST" else "/v1/jobs/web"
        problem = await problem_of(await api.request(method, path), 503)
        assert "may still take effect" in problem["detail"]
    assert len(odd.requests) == 1


async def test_a_leader_elsewhere_is_not_followed(
    api: Api, front: FakeFront, session: aiohttp.ClientSession
) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(NOBODY_THERE)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", elsewhere)
    async with TestServer(app, host=HOST) as server:
        front.follow(leader_at(str(server.make_url(""))))
        response = await api.post("/v1/jobs", json=WEB, allow_redirects=False)
        assert response.status == 307
        assert "Location" not in response.headers


async def test_two_that_follow_each_other_do_not_ask_in_circles(pair: Pair) -> None:
    url = str(pair.standby.make_url("/"))
    pair.leading.follow(LeaderInfo("offerd-1", url, 8))
    response = await pair.standby.post("/v1/jobs", json=WEB)
    problem = await problem_of(response, 503)
    assert f"offerd-2 does not lead, offerd-1 does ({url})" in problem["detail"]
    passed = {PASSED_ON: "offerd-3"}
    await problem_of(await pair.standby.post("/v1/jobs", json=WEB, headers=passed), 503)
    assert pair.leading.commands == pair.following.commands == []


async def test_a_leader_that_lost_its_office_says_who_has_it(pair: Pair) -> None:
    pair.leading.follow(LeaderInfo("offerd-3", "http://offerd-3:8080", 8))
    problem = await problem_of(await pair.standby.post("/v1/jobs", json=WEB), 503)
    assert "offerd-2 does not lead, offerd-3 does (http://offerd-3:8080)" in problem["detail"]
    assert "nothing was changed" in problem["detail"]


async def test_the_leader_is_told_who_asked_and_who_passed_it_on(
    api: Api, front: FakeFront
) -> None:
    odd = OddLeader(b"HTTP/1.1 204 No Content\r\n\r\n")
    server = await asyncio.start_server(odd.serve, HOST, 0)
    async with server:
        front.follow(leader_at(f"http://{HOST}:{server.sockets[0].getsockname()[1]}"))
        assert (await api.delete("/v1/jobs/web")).status == 204
    [request] = odd.requests
    assert f"{PASSED_ON}: offerd-1\r\n".encode() in request
    assert f"{ASKED_BY}: 127.0.0.1\r\n".encode() in request


async def test_what_was_passed_on_to_a_leader_is_carried_out(api: Api, front: FakeFront) -> None:
    response = await api.post("/v1/jobs", json=WEB, headers={PASSED_ON: "offerd-3"})
    assert response.status == 201


# --- before anybody wants a change ----------------------------------------------------------------


@contextlib.asynccontextmanager
async def checking(
    front: FakeFront, session: aiohttp.ClientSession, token: str
) -> AsyncIterator[LeaderCheck]:
    client = LeaderClient(session, instance=front.instance, token=token, answer_s=0.5)
    check = LeaderCheck(front, client, look_s=0.005, again_s=0.02)
    running = asyncio.create_task(check.run())
    yield check
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, "the leader to be asked")


async def test_a_leader_that_does_not_accept_the_token_is_known_at_once(
    session: aiohttp.ClientSession, front: FakeFront
) -> None:
    leading = FakeFront()
    app = an_app(leading, session, token=USER, peer_token=PEER)
    async with TestServer(app, host=HOST) as server, checking(front, session, "guessed") as check:
        front.follow(leader_at(str(server.make_url("/"))))
        await until(lambda: check.refused)
        assert check.problem is not None
        assert "peer_token_file must hold the same" in check.problem.detail
        front.follow(LeaderInfo("offerd-3", "", 8))
        assert check.problem is None, "nothing is known of another leader"


async def test_a_leader_that_cannot_be_reached_is_told_until_it_can(
    session: aiohttp.ClientSession, front: FakeFront
) -> None:
    odd = OddLeader(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    with socket.socket() as reserved:
        reserved.bind((HOST, 0))
        port = reserved.getsockname()[1]
    async with checking(front, session, PEER) as check:
        front.follow(leader_at(f"http://{HOST}:{port}"))
        await until(lambda: check.problem is not None)
        assert not check.refused
        async with await asyncio.start_server(odd.serve, HOST, port):
            await until(lambda: check.problem is None)
    assert all(b"GET /v1/status" in request for request in odd.requests)


# --- the server ----------------------------------------------------------------------------------


async def test_instances_speak_tls_and_believe_their_own_ca(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, HOST)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(pair.certificate, pair.key)
    believed = ssl.create_default_context(cafile=pair.certificate)
    leading = FakeFront()
    leader = ApiServer(
        leading, defaults=DEFAULTS, host=HOST, port=0, token=USER, peer_token=PEER, tls=shown
    )
    await leader.start()
    told: list[tuple[int, str]] = []
    for peer_tls in (believed, None):
        following = FakeFront()
        following.follow(leader_at(f"https://{HOST}:{leader.port}"))
        standby = ApiServer(
            following, defaults=DEFAULTS, host=HOST, port=0, peer_token=PEER, peer_tls=peer_tls
        )
        await standby.start()
        url = f"http://{HOST}:{standby.port}/v1/jobs"
        async with aiohttp.ClientSession() as session, session.post(url, json=WEB) as response:
            told.append((response.status, (await response.json()).get("detail")))
        await standby.stop()
    await leader.stop()
    assert told[0] == (201, "")
    assert told[1][0] == 503
    assert "its certificate is not trusted: self-signed certificate; see peer_tls" in told[1][1]
    assert len(leading.commands) == 1
