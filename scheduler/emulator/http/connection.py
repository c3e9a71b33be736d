"""One HTTP/1.1 connection to the master: requests in, answers and one event stream out.

Not aiohttp: a real master acts on every request that it has read, also when the peer is gone a
moment later, answers pipelined requests in order, and takes a call in microseconds. Requests are
carried out as they are parsed; what is to be written leaves once a turn of the loop, a stream's
events in front of the answer to the call that caused them. It knows HTTP and nothing of Mesos.
"""

import asyncio
import gzip
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import parse_qsl, urlsplit

import httptools

from scheduler.emulator.http.messages import Request, Response

REQUEST_BYTES_MAX: Final = 256 * 1024 * 1024  # the real master has no limit short of protobuf's
BUFFER_BYTES_MAX: Final = 256 * 1024 * 1024
GZIP_FROM_BYTES: Final = 1024

Handler = Callable[[Request, "Connection"], Response | None]


class Connection(asyncio.Protocol):
    """`handle` answers a request, or returns None after `begin_stream`."""

    def __init__(self, handle: Handler, connections: "set[Connection]") -> None:
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._held: list[bytes] = []  # answers behind a stream: they come after its end
        self._flush_planned = False
        self._paused = False
        self._close_after = False
        self._on_lost: Callable[[], None] | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        self._out.clear()
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._close_after = True
            self._answer(Response(400, b"not HTTP"), keep_alive=False)

    def pause_writing(self) -> None:
        """The peer does not read: take no more requests of it either."""
        self._paused = True
        if self._transport is not None and self._on_lost is None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()
        self._flush()

    # -- the parser

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._body_bytes = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > REQUEST_BYTES_MAX:
            self.abort()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        keep_alive = self._parser.should_keep_alive()
        response: Response | None
        try:
            response = self._handle(self._request(), self)
        except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            response = Response(400, f"the request cannot be read: {error}".encode())
        except Exception as error:  # noqa: BLE001  shown by the loop; the peer gets an answer
            self._loop.call_exception_handler({"message": "a handler failed", "exception": error})
            response = Response(500, b"a handler failed")
        if response is not None:
            self._answer(response, keep_alive=keep_alive)

    # -- a stream

    def begin_stream(self, headers: dict[str, str], on_lost: Callable[[], None]) -> None:
        """Sends the head of an endless chunked response; `on_lost` is called once, when the
        connection is gone before `end_stream`."""
        lines = ["HTTP/1.1 200 OK", f"Date: {_date()}", "Transfer-Encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        self._on_lost = on_lost

    def chunk(self, data: bytes) -> None:
        if self._on_lost is not None:
            self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        """The last chunk; the connection may be used on."""
        if self._on_lost is None:
            return
        self._on_lost = None
        self._write(b"0\r\n\r\n")
        held, self._held = self._held, []
        for answer in held:
            self._write(answer)

    def abort(self) -> None:
        """Breaks the connection at once."""
        self._out.clear()
        if self._transport is not None:
            self._transport.abort()

    # -- writing

    def _request(self) -> Request:
        target = self._url.decode("latin-1")
        parts = urlsplit(target)
        body = b"".join(self._body)
        if self._headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return Request(
            method=self._parser.get_method().decode("latin-1"),
            target=target,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)) if parts.query else {},
            headers=self._headers,
            body=body,
        )

    def _answer(self, response: Response, *, keep_alive: bool) -> None:
        data = _encoded(response, self._parser.get_method(), self._headers, keep_alive=keep_alive)
        if self._on_lost is not None:
            self._held.append(data)
            return
        self._close_after = self._close_after or not keep_alive
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > BUFFER_BYTES_MAX:
            self.abort()
        elif not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        if self._transport is None or self._paused or not self._out:
            return
        data, self._out, self._out_bytes = b"".join(self._out), [], 0
        self._transport.write(data)
        if self._close_after and self._on_lost is None:
            self._transport.close()


_dates: dict[int, str] = {}


def _date() -> str:
    """Made once a second."""
    now = int(time.time())
    if now not in _dates:
        _dates.clear()
        _dates[now] = formatdate(now, usegmt=True)
    return _dates[now]


def _encoded(
    response: Response, method: bytes, asked: dict[str, str], *, keep_alive: bool
) -> bytes:
    body = response.body
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}", f"Date: {_date()}"]
    if body and response.content_type:
        lines.append(f"Content-Type: {response.content_type}")
    if len(body) >= GZIP_FROM_BYTES and "gzip" in asked.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        lines.append("Content-Encoding: gzip")
    if not keep_alive:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    head = "\r\n".join(lines).encode("latin-1")
    return head if method == b"HEAD" else head + body
