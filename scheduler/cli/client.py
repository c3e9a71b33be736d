"""Requests to a daemon's REST interface, with the standard library and a deadline each.

It prints nothing. What goes wrong is a `RequestFailed` whose text says what to do. Neighbours:
`options` (makes the client from the command line), the command modules (use it).
"""

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import click

REQUEST_S: Final = 35.0
"""The daemon answers a change within 30 s, or says that it could not."""
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


@dataclass(frozen=True, slots=True)
class Client:
    """`server` is `http://host:port` or `https://…`, with or without a path in front of `/v1`."""

    server: str
    token: str | None = field(repr=False, default=None)
    request_s: float = REQUEST_S

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
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        connection, prefix = self._connection()
        target = prefix + target_of(path, query or {})
        try:
            connection.request(method, target, body=data, headers=headers)
            response = connection.getresponse()
            content = content_of(response, time.monotonic() + self.request_s)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._silent(error) from error
        finally:
            connection.close()
        if 200 <= response.status < 300:
            return Reply(content, response.headers)
        raise failure(response.status, content, self.server)

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        try:
            url = urllib.parse.urlsplit(self.server)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise click.UsageError(f"--server {self.server}: {error}") from error
        if url.scheme not in ("http", "https") or not host:
            raise click.UsageError(
                f"--server must be http://HOST:PORT or https://HOST:PORT, not {self.server}"
            )
        if url.scheme == "http":
            plain = http.client.HTTPConnection(host, port, timeout=self.request_s)
            return plain, url.path.rstrip("/")
        secure = http.client.HTTPSConnection(
            host, port, timeout=self.request_s, context=ssl.create_default_context()
        )
        return secure, url.path.rstrip("/")

    def _silent(self, error: Exception) -> RequestFailed:
        match error:
            case ConnectionRefusedError():
                return RequestFailed(
                    f"nothing listens at {self.server}; start a daemon (offerd run, offerd dev), "
                    "or name another one with --server or OFFERD_SERVER"
                )
            case TimeoutError():
                return RequestFailed(
                    f"{self.server} did not answer within {self.request_s:g} s; the request may "
                    "still take effect: see `offerd status`"
                )
            case ssl.SSLCertVerificationError():
                return RequestFailed(
                    f"the certificate of {self.server} is not trusted ({error.verify_message}); "
                    "name its CA in SSL_CERT_FILE"
                )
            case _:
                why = str(error) or type(error).__name__
                return RequestFailed(f"{self.server} cannot be asked: {why}")


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
