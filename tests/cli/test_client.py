"""The client of the command line against servers that are not offerd, or not well."""

import socket
import threading
import time
from collections.abc import Iterator

import click
import pytest

from scheduler.cli.client import Client, RequestFailed, target_of
from tests.cli.conftest import HOST

DEADLINE_S = 10.0


NOBODY_THERE = f"http://{HOST}:1"


class CannedServer:
    """Answers one connection with given bytes, some of them late."""

    def __init__(self, now: bytes, late: bytes = b"", every_s: float = 0.0) -> None:
        self._now, self._late, self._every_s = now, late, every_s
        self._listening = socket.create_server((HOST, 0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.asked = b""
        self.url = f"http://{HOST}:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            self.asked = connection.recv(65_536)
            connection.sendall(self._now)
            for byte in self._late:
                if self._ended.wait(self._every_s):
                    return
                connection.sendall(bytes([byte]))

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive() and not self.asked:
            # It was never asked: `accept` must return.
            socket.create_connection(self._listening.getsockname(), DEADLINE_S).close()
        self._thread.join(DEADLINE_S)
        self._listening.close()
        assert not self._thread.is_alive()


def answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


@pytest.fixture
def servers() -> Iterator[list[CannedServer]]:
    made: list[CannedServer] = []
    yield made
    for server in made:
        server.close()


@pytest.mark.parametrize(
    "sent",
    [
        answer(b"<html>welcome</html>"),
        answer(b"[]"),
        answer(b"\xff"),
        answer(b'{"items": []', length=100),
        answer(b"<html>", "404 Not Found"),
        answer(b'"text"', "500 Internal Server Error"),
        answer(b"", "302 Found"),
        b"SSH-2.0-OpenSSH\r\n",
        b"\x00" * 100,
    ],
)
def test_whatever_is_not_offerds_answer_is_a_failure(
    servers: list[CannedServer], sent: bytes
) -> None:
    servers.append(CannedServer(sent))
    with pytest.raises(RequestFailed):
        Client(servers[0].url, request_s=5.0).get("status")


def test_an_answer_that_trickles_ends_at_the_deadline(servers: list[CannedServer]) -> None:
    servers.append(CannedServer(answer(b"", length=1000), late=b" " * 1000, every_s=0.05))
    began = time.monotonic()
    with pytest.raises(RequestFailed, match="did not answer within"):
        Client(servers[0].url, request_s=0.3).get("status")
    assert time.monotonic() - began < DEADLINE_S


def test_silence_ends_at_the_deadline(servers: list[CannedServer]) -> None:
    servers.append(CannedServer(b"", late=b" ", every_s=DEADLINE_S))
    with pytest.raises(RequestFailed, match="may still take effect"):
        Client(servers[0].url, request_s=0.2).get("status")


def test_a_change_whose_answer_breaks_off_may_still_take_effect(
    servers: list[CannedServer],
) -> None:
    servers.append(CannedServer(b""))
    with pytest.raises(RequestFailed, match="may still take effect"):
        Client(servers[0].url, request_s=5.0).post("jobs", "web", "stop")


def test_a_host_that_no_name_can_be_is_told() -> None:
    with pytest.raises(RequestFailed, match="cannot be asked"):
        Client(f"http://{'x' * 70}").get("status")


@pytest.mark.parametrize(
    "server",
    ["", "localhost:8080", "ftp://x", "http://", "http://x:99999", f"{NOBODY_THERE},", ",", "x,y"],
)
def test_a_server_that_is_no_url_is_bad_usage(server: str) -> None:
    with pytest.raises(click.UsageError):
        Client(server).get("status")


OK = answer(b'{"instance": "b"}')
UNAVAILABLE = answer(b'{"title": "x", "detail": "no leader"}', "503 Service Unavailable")


def both(servers: list[CannedServer], *urls: str) -> Client:
    return Client(",".join([*urls, *(server.url for server in servers)]), request_s=0.5)


def test_the_next_server_is_asked_when_one_cannot_be(servers: list[CannedServer]) -> None:
    servers.append(CannedServer(OK))
    client = both(servers, NOBODY_THERE, f" {NOBODY_THERE}/ ")
    assert client.post("jobs", body={"job": "web"}) == {"instance": "b"}
    assert servers[0].asked.startswith(b"POST /v1/jobs ")


@pytest.mark.parametrize("first", [UNAVAILABLE, b"", answer(b"", length=9)])
def test_a_read_that_one_server_cannot_answer_is_asked_of_the_next(
    servers: list[CannedServer], first: bytes
) -> None:
    servers += [CannedServer(first), CannedServer(OK)]
    assert both(servers).get("status") == {"instance": "b"}


@pytest.mark.parametrize("first", [UNAVAILABLE, b"", answer(b"", length=9)])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_that_one_server_may_have_made_is_sent_to_no_other(
    servers: list[CannedServer], method: str, first: bytes
) -> None:
    servers += [CannedServer(first), CannedServer(OK)]
    with pytest.raises(RequestFailed):
        both(servers).request(method, ("jobs", "web"))
    assert servers[0].asked
    assert not servers[1].asked


def test_a_refusal_is_not_asked_of_another_server(servers: list[CannedServer]) -> None:
    refused = answer(b'{"title": "x", "detail": "there is no job"}', "404 Not Found")
    servers += [CannedServer(refused), CannedServer(OK)]
    with pytest.raises(RequestFailed, match="there is no job"):
        both(servers).get("jobs", "web")
    assert not servers[1].asked


def test_the_server_that_answered_is_asked_first_the_next_time(
    servers: list[CannedServer],
) -> None:
    servers += [CannedServer(UNAVAILABLE), CannedServer(OK)]
    client = both(servers)
    client.get("status")
    servers[1].close()
    servers[1] = CannedServer(OK)
    client.server = f"{servers[0].url},{servers[1].url}"
    assert client.post("jobs") == {"instance": "b"}


def test_when_no_server_can_answer_all_their_reasons_are_told(
    servers: list[CannedServer],
) -> None:
    servers.append(CannedServer(UNAVAILABLE))
    with pytest.raises(RequestFailed) as failed:
        both(servers, NOBODY_THERE).get("status")
    assert "no leader" in failed.value.message
    assert f"nothing listens at {NOBODY_THERE}" in failed.value.message
    assert (failed.value.status, failed.value.may_pass) == (503, True)


def test_reads_of_what_was_changed_just_now_are_the_leaders(servers: list[CannedServer]) -> None:
    servers.append(CannedServer(OK))
    both(servers).of_the_leader().get("jobs", "web")
    assert b"Cache-Control: no-cache\r\n" in servers[0].asked


def test_every_problem_of_a_job_is_shown(servers: list[CannedServer]) -> None:
    problem = (
        b'{"title": "Bad Request", "status": 400, "detail": "the job has 2 problems", "errors": '
        b'[{"path": "a", "line": 3, "message": "x"}, {"path": "", "message": "y"}]}'
    )
    servers.append(CannedServer(answer(problem, "400 Bad Request")))
    with pytest.raises(RequestFailed) as failed:
        Client(servers[0].url).get("status")
    assert failed.value.message == "the job has 2 problems\n  line 3: a: x\n  y"


def test_names_are_quoted_as_one_piece() -> None:
    assert target_of(("jobs", "team/web?"), {"a": True, "b": None}) == (
        "/v1/jobs/team%2Fweb%3F?a=true"
    )


def test_a_client_shows_no_token() -> None:
    assert "secret" not in repr(Client("http://x", "secret"))
