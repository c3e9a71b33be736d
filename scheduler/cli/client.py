"""Requests to a daemon's REST interface, with the standard library and a deadline each.

It prints nothing. What goes wrong is a `RequestFailed` whose text says what to do. Where several
daemons are named the next one is asked if one cannot be; a change that may have reached one is
never sent to another. Neighbours: `options` (makes the client from the command line), the command
modules (use it).
"""

import contextlib
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import click

REQUEST_S: Final = 35.0
"""Longer than a daemon needs to say that it could not: 10 s for the body, 15 s for the leader."""
CONNECT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
PIECE_BYTES: Final = 64 * 1024
PAGE_LIMIT: Final = 1000

Fields = dict[str, Any]
"""A JSON object as the daemon sends it."""


class RequestFailed(click.ClickException):
    """Ends a command with code 1. `status` is 0 where no answer came."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same request may go through a little later: a restart, another leader."""
        return self.status in (0, 429, 502, 503)


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    headers: http.client.HTTPMessage

    def document(self) -> Fields:
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise RequestFailed("the server answered with something that is not offerd's JSON")
        return value


class Unreached(RequestFailed):
    """No connection came about: nothing was sent, so another server may be asked."""


@dataclass(slots=True)
class Client:
    """`server` is `http://host:port` or `https://…`, with or without a path in front of `/v1`; or
    several of these with commas, tried in this order, beginning with the one that answered last.

    Reads of a `newest` client are the leader's, also where another instance is asked.
    """

    server: str
    token: str | None = field(repr=False, default=None)
    request_s: float = REQUEST_S
    newest: bool = False
    _turn: int = field(init=False, repr=False, default=0)

    def of_the_leader(self) -> "Client":
        """The same, for reads that must see what was changed just now."""
        return replace(self, newest=True)

    def get(self, *path: str, **query: str | int | bool | None) -> Fields:
        return _document(self.request("GET", path, query=query))

    def post(self, *path: str, body: object = None) -> Fields:
        return _document(self.request("POST", path, body=body if body is not None else {}))

    def delete(self, *path: str) -> Fields:
        return _document(self.request("DELETE", path))

    def pages(self, *path: str, **query: str | int | bool | None) -> Iterator[Fields]:
        """Every item of a list, page by page."""
        after: str | None = ""
        while after is not None:
            page = self.get(*path, **query, after=after or None, limit=PAGE_LIMIT)
            yield from page["items"]
            after = page["next"]

    def request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, str | int | bool | None] | None = None,
        body: object = None,
    ) -> Reply:
        """One request. Raises RequestFailed for anything but a success."""
        target, data = target_of(path, query or {}), None
        headers = {"Accept": "application/json"}
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self.newest:
            headers["Cache-Control"] = "no-cache"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        failures: list[RequestFailed] = []
        servers = [server_of(text) for text in self.server.split(",")]
        for _ in servers:
            server = servers[self._turn % len(servers)]
            try:
                return _exchange(server, self.request_s, method, target, data, headers)
            except RequestFailed as error:
                elsewhere = isinstance(error, Unreached) or (method == "GET" and error.may_pass)
                if not elsewhere:
                    raise
                failures.append(error)
                self._turn += 1
        raise _none_of_them(failures)


class Server(NamedTuple):
    """One daemon's address; `prefix` is the path in front of `/v1`."""

    text: str
    secure: bool
    host: str
    port: int | None
    prefix: str

    def connection(self) -> http.client.HTTPConnection:
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=CONNECT_S)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self.host, self.port, timeout=CONNECT_S, context=context)


def server_of(text: str) -> Server:
    """The address that a user gave. Raises UsageError."""
    text = text.strip().rstrip("/")
    try:
        url = urllib.parse.urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise click.UsageError(f"--server {text}: {error}") from error
    if url.scheme not in ("http", "https") or not host:
        raise click.UsageError(
            f"--server must be http://HOST:PORT or https://HOST:PORT, not {text or 'nothing'}"
        )
    return Server(text, url.scheme == "https", host, port, url.path)


def _exchange(
    server: Server,
    request_s: float,
    method: str,
    target: str,
    data: bytes | None,
    headers: Mapping[str, str],
) -> Reply:
    with contextlib.closing(server.connection()) as connection:
        try:
            connection.connect()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise _unreached(server.text, error) from error
        connection.sock.settimeout(request_s)
        try:
            connection.request(method, server.prefix + target, body=data, headers=dict(headers))
            response = connection.getresponse()
            content = content_of(response, time.monotonic() + request_s)
        except TimeoutError as error:
            raise RequestFailed(
                f"{server.text} did not answer within {request_s:g} s; the request may still take "
                "effect: see `offerd status`"
            ) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            why = str(error) or type(error).__name__
            text = f"{server.text} gave no whole answer: {why}"
            if method != "GET":
                text += "; the request may still take effect: see `offerd status`"
            raise RequestFailed(text) from error
    if 200 <= response.status < 300:
        return Reply(content, response.headers)
    raise failure(response.status, content, server.text)


def _unreached(server: str, error: Exception) -> Unreached:
    match error:
        case ConnectionRefusedError():
            return Unreached(
                f"nothing listens at {server}; start a daemon (offerd run, offerd dev), or name "
                "another one with --server or OFFERD_SERVER"
            )
        case TimeoutError():
            return Unreached(f"{server} took no connection within {CONNECT_S:g} s")
        case ssl.SSLCertVerificationError():
            return Unreached(
                f"the certificate of {server} is not trusted ({error.verify_message}); name its CA "
                "in SSL_CERT_FILE"
            )
        case _:
            why = str(error) or type(error).__name__
            return Unreached(f"{server} cannot be asked: {why}")


def _none_of_them(failures: Sequence[RequestFailed]) -> RequestFailed:
    if len(failures) == 1:
        return failures[0]
    lines = [f"  {failure.message}" for failure in failures]
    status = max(failure.status for failure in failures)
    return RequestFailed("\n".join(["no server could answer:", *lines]), status)


def content_of(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole body, not later than the deadline (monotonic), or an error: never a part of it."""
    content = bytearray()
    while piece := response.read1(PIECE_BYTES):
        content += piece
        if len(content) > ANSWER_BYTES_MAX:
            raise http.client.HTTPException("the answer is too long")
        if time.monotonic() > deadline:
            raise TimeoutError
    if response.length:
        raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


def target_of(path: tuple[str, ...], query: Mapping[str, str | int | bool | None]) -> str:
    """`/v1/…` with every piece quoted: the job `team/web` is the one piece `team%2Fweb`."""
    target = "/v1/" + "/".join(urllib.parse.quote(piece, safe="") for piece in path)
    given = {name: _query_text(value) for name, value in query.items() if value is not None}
    return f"{target}?{urllib.parse.urlencode(given)}" if given else target


def _query_text(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _document(reply: Reply) -> Fields:
    try:
        return reply.document()
    except ValueError as error:
        raise RequestFailed("the server's answer is not JSON; is --server offerd's?") from error


def failure(status: int, content: bytes, server: str) -> RequestFailed:
    """A refusal in words: the daemon's own where it gave some."""
    problem = _problem(content)
    if problem is None:
        return RequestFailed(f"{server} answered {status}; is it offerd's address?", status)
    text = str(problem.get("detail") or problem.get("title") or status)
    for entry in problem.get("errors") or ():
        line = f"line {entry['line']}: " if entry.get("line") else ""
        path = f"{entry['path']}: " if entry.get("path") else ""
        text += f"\n  {line}{path}{entry.get('message', '')}"
    if status == 401:
        text += "\nGive the token in OFFERD_TOKEN or with --token-file."
    return RequestFailed(text, status)


def _problem(content: bytes) -> Fields | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "title" in value else None
