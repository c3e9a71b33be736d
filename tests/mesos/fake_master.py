"""A master made of a socket: it says what a test tells it to, right or wrong.

It shares the generated messages with the project and nothing else. Every SUBSCRIBE is answered by
the next of `on_subscribe` (an HTTP answer as bytes, after which it closes), and by a stream when
there is none left. Other calls are kept and answered by `answer`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from scheduler.mesos.proto import scheduler_pb2
from tests.support.listening import stop_listening

HOST = "127.77.3.1"
DEADLINE_S = 20.0
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
    b"Mesos-Stream-Id: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
)

Call = scheduler_pb2.Call
Event = scheduler_pb2.Event


def answer(status: str, text: str = "", *headers: str) -> bytes:
    """An HTTP answer with a body of text."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(text)}", *headers]
    return ("\r\n".join(head) + "\r\n\r\n" + text).encode()


def subscribed(framework_id: str = "M-0001", heartbeat_interval_s: float = 15.0) -> Event:
    event = Event(type=Event.SUBSCRIBED)
    event.subscribed.framework_id.value = framework_id
    event.subscribed.heartbeat_interval_seconds = heartbeat_interval_s
    event.subscribed.master_info.id = "M"
    event.subscribed.master_info.ip = 1
    event.subscribed.master_info.port = 5050
    event.subscribed.master_info.version = "1.11.0"
    return event


def error(message: str) -> Event:
    return Event(type=Event.ERROR, error=Event.Error(message=message))


class Stream:
    """The master's end of an event stream."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def say(self, *events: Event) -> None:
        for event in events:
            record = event.SerializePartialToString()
            self.write(b"%d\n%b" % (len(record), record))

    def write(self, data: bytes) -> None:
        """Bytes as they are, in one chunk."""
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """Ends the answer as HTTP wants it."""
        self._writer.write(b"0\r\n\r\n")

    def cut(self) -> None:
        self._writer.transport.abort()


class Request:
    """What came, as far as tests look at it: header names are in lower case."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body


class FakeMaster:
    """Listens on a free port of `HOST` as long as its context lasts."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.on_subscribe: list[bytes | None] = []
        self.greeting: list[Event] = [subscribed()]
        self.answer: Callable[[Call], bytes | None] = lambda _: ACCEPTED
        self.subscribes: list[Call] = []
        self.requests: list[Request] = []
        self.calls: list[Call] = []
        self.call_writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.connections_at_subscribe: list[int] = []
        self._tls = tls
        self._streams: asyncio.Queue[Stream] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await stop_listening(self._server)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    def stop_listening(self) -> None:
        """Takes no more connections; those that stand go on."""
        self._server.close()

    async def stream(self) -> Stream:
        """The next stream that was opened, its greeting said."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._streams.get()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something that came made the condition true."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._handle(await _request(reader), writer):
                    self._changed.set()
                await reader.read()
        finally:
            self.connections -= 1
            self._tasks.discard(task)
            self._changed.set()
            writer.close()

    async def _handle(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; false when no more is answered on its connection."""
        self.requests.append(request)
        call = Call.FromString(request.body)
        if call.type != Call.SUBSCRIBE:
            self.calls.append(call)
            if writer not in self.call_writers:
                self.call_writers.append(writer)
            said = self.answer(call)
            if said is not None:
                writer.write(said)
            return True
        self.subscribes.append(call)
        self.connections_at_subscribe.append(self.connections)
        self._changed.set()
        said = self.on_subscribe.pop(0) if self.on_subscribe else None
        if said is not None:
            writer.write(said)
            await writer.drain()
            return False
        writer.write(STREAM_HEAD % f"stream-{len(self.subscribes)}".encode())
        stream = Stream(writer)
        stream.say(*self.greeting)
        self._streams.put_nowait(stream)
        return False


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = [line.partition(":") for line in head[1:] if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Request(head[0].split(" ")[1], headers, body)
