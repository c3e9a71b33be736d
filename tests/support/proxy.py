"""A proxy between the daemon and its master that sees each call and can hurt the connection.

It runs in a thread of its own. `on_call` decides about each scheduler call before a byte of it
leaves; everything else (streams, operator calls, answers) passes. It changes no byte on its way.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from scheduler.mesos.proto.scheduler_pb2 import Call
from tests.support.listening import stop_listening

HOST: Final = "127.77.7.254"
HEAD_BYTES_MAX: Final = 1 << 20
READ_BYTES: Final = 1 << 16
DEADLINE_S: Final = 10.0
LATE_ANSWER_S: Final = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pass:
    """The call goes on its way."""


@dataclass(frozen=True, slots=True)
class Cut:
    """So many bytes of the request reach the master, then both sides lose the connection."""

    after: int


@dataclass(frozen=True, slots=True)
class Stall:
    """So many bytes reach the master, the daemon loses the connection, and the other bytes reach
    the master when the daemon has subscribed anew, as from a network that held them back."""

    after: int


@dataclass(frozen=True, slots=True)
class Swallow:
    """The call reaches the master, which answers; then the daemon loses the connection instead."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing more leaves on this connection; it stays open, in silence."""


Verdict = Pass | Cut | Stall | Swallow | Hold


@dataclass(frozen=True, slots=True)
class SentCall:
    """One call of the daemon: what it says, and the whole request."""

    call: Call
    request: bytes

    @property
    def kind(self) -> str:
        return Call.Type.Name(self.call.type)


def pass_all(_: SentCall) -> Verdict:
    return Pass()


class CallProxy:
    """`url` is the master's for the daemon. `held` is set when a call is held or was cut."""

    def __init__(self, master_url: str, port: int = 0) -> None:
        address = urlsplit(master_url)
        self._port = port
        self._target = address.hostname or "", address.port or 0
        self.on_call: Callable[[SentCall], Verdict] = pass_all
        self.held = threading.Event()
        self.calls: list[SentCall] = []
        self.url = ""
        self._subscribed = asyncio.Event()
        self._streams: list[_Stream] = []
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = f"http://{HOST}:{self._in_loop(self._listen())}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._in_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def kinds(self) -> list[str]:
        """The types of all calls so far."""
        return [sent.kind for sent in self.calls]

    def inject(self, record: bytes) -> None:
        """Puts bytes into the daemon's event stream, between two events of the master."""
        self._in_loop(self._inject(record))

    # ---- in the proxy's thread ----------------------------------------------------------------

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(
            self._accept, HOST, self._port, limit=HEAD_BYTES_MAX
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        await stop_listening(self._server)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._connection(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the daemon, until either side ends it."""
        try:
            answers, requests = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        stream = _Stream(writer)
        up = asyncio.create_task(self._requests(reader, requests, stream))
        down = asyncio.create_task(self._answers(answers, stream))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not up.cancelled() and up.exception() is None and up.result():
                await asyncio.wait([down], timeout=LATE_ANSWER_S)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            if stream in self._streams:
                self._streams.remove(stream)
            requests.transport.abort()
            writer.transport.abort()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        requests: asyncio.StreamWriter,
        stream: "_Stream",
    ) -> bool:
        """Passes requests on, one by one. True: what is left of this connection is cut off."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_content_length(head))
                sent = _scheduler_call(head, body)
                verdict = Pass() if sent is None else self._judge(sent)
                request = head + body
                match verdict:
                    case Pass():
                        requests.write(request)
                        await requests.drain()
                    case Cut(after):
                        requests.write(request[:after])
                        await requests.drain()
                        # FIN after these bytes; the daemon sees a reset.
                        requests.write_eof()
                        stream.writer.transport.abort()
                        self.held.set()
                        return True
                    case Stall(after):
                        await self._stall(request, after, requests, stream.writer)
                        return True
                    case Swallow():
                        stream.muted = True
                        requests.write(request)
                        await asyncio.wait_for(stream.answered.wait(), DEADLINE_S)
                        self.held.set()
                        return False
                    case Hold():
                        self.held.set()
                        await reader.read()
        return False

    def _judge(self, sent: SentCall) -> Verdict:
        self.calls.append(sent)
        return self.on_call(sent)

    async def _stall(
        self,
        request: bytes,
        after: int,
        requests: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        requests.write(request[:after])
        await requests.drain()
        self._subscribed.clear()
        writer.transport.abort()
        self.held.set()
        async with asyncio.timeout(DEADLINE_S):
            await self._subscribed.wait()
        requests.write(request[after:])
        await requests.drain()

    async def _answers(self, answers: asyncio.StreamReader, stream: "_Stream") -> None:
        with contextlib.suppress(ConnectionError):
            while data := await answers.read(READ_BYTES):
                if stream.take(data):
                    self._streams.append(stream)
                    self._subscribed.set()
                with contextlib.suppress(ConnectionError):
                    await stream.writer.drain()

    async def _inject(self, record: bytes) -> None:
        self._streams[-1].inject(record)


@dataclass(eq=False)
class _Stream:
    """Answers on their way to the daemon. Of a chunked one it knows where a chunk ends."""

    writer: asyncio.StreamWriter
    chunked: bool = False
    muted: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    _head: bytes = b""
    _left: int = 0
    _size: bytes = b""
    _waiting: list[bytes] = field(default_factory=list)

    def take(self, data: bytes) -> bool:
        """Passes data on; True when they are the beginning of an event stream."""
        if self.muted:
            self.answered.set()
            return False
        begins = False
        if not self.chunked:
            self.writer.write(data)
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            begins = bool(end) and b"mesos-stream-id" in head.lower()
            self.chunked = begins
            self._head = b"" if end else self._head
            if begins:
                self._follow(rest)
            return begins
        self.writer.write(data)
        self._follow(data)
        if self._between and self._waiting:
            self._write_waiting()
        return False

    def inject(self, record: bytes) -> None:
        self._waiting.append(record)
        if self._between:
            self._write_waiting()

    @property
    def _between(self) -> bool:
        return self._left == 0 and not self._size

    def _write_waiting(self) -> None:
        for record in self._waiting:
            self.writer.write(b"%x\r\n%b\r\n" % (len(record), record))
        self._waiting.clear()

    def _follow(self, data: bytes) -> None:
        """Counts chunks: a line with the size, so many bytes, an empty line's end."""
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
            else:
                line, newline, data = data.partition(b"\n")
                self._size += line
                if newline:
                    self._left = int(self._size, 16) + 2
                    self._size = b""


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _scheduler_call(head: bytes, body: bytes) -> SentCall | None:
    path = head.split(b" ", 2)[1]
    if not path.endswith(b"/api/v1/scheduler"):
        return None
    return SentCall(Call.FromString(body), head + body)
