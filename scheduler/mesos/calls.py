"""The connection for the master's 16 calls other than SUBSCRIBE: one, pipelined, HTTP/1.1.

Mesos handles the calls of one connection in order and answers them in order, so calls are
written without waiting for the answers of earlier ones. This module moves bytes and says of each
call how it ended, exactly once and in order; it does not know what a call says, never repeats
one and never connects again: a reopened connection would let a RECONCILE overtake a stalled
ACCEPT, so that stream and calls are lost together. The session owns both; answers.py parses.
"""

import asyncio
import re
import ssl as tls
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Self, cast

import msgspec

from scheduler.errors import CallsClosed, CallsFull, MasterUnavailable
from scheduler.mesos.address import SCHEDULER_PATH, MasterAddress
from scheduler.mesos.answers import Answer, AnswerReader
from scheduler.mesos.sockets import make_forgetful

# One write takes about so much; the transport asks for a pause when as much waits in it.
WRITE_BYTES: Final = 256 * 1024
# How long a socket that was given up may take to vanish: it needs one turn of the loop.
_SOCKET_GONE_S: Final = 5.0
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING_HEADERS: Final = frozenset(
    {"connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"}
)


class CallLimits(msgspec.Struct, frozen=True):
    """The bounds of a call connection. Calls count from `send` to their outcome."""

    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 30.0
    unanswered_max: int = 1_000
    unanswered_bytes_max: int = 8 * 1024 * 1024


class Sent(msgspec.Struct, frozen=True, gc=False):
    """The master took the call: 202, or 200 for UPDATE_FRAMEWORK. What it does is an event."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The master answered with a redirect or an error (3xx, 4xx, 5xx); `text` is ≤ 1 kB."""

    status: int
    text: str


class NotSent(msgspec.Struct, frozen=True, gc=False):
    """No byte of the call was given to the socket: the master cannot have seen it."""

    reason: str


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """The call was written, at least in part, and no answer came: it may have been handled."""

    reason: str


CallOutcome = Sent | Refused | NotSent | Unknown
_SENT: Final = Sent()


class CallConnection(asyncio.Protocol):
    """One connection; made by `open`. Everything runs on its event loop, and nothing blocks.

    `on_answer(token, outcome)` is called once for each call, in the order of `send`, and then
    `on_lost(reason)` once, whoever ended the connection, `close` included. Neither is called from
    inside `send` or `close`; both may call them. A master that hangs up at once may be told by
    `on_lost` before `open` has returned.
    """

    @classmethod
    async def open(
        cls,
        address: MasterAddress,
        *,
        headers: Mapping[str, str],
        on_answer: Callable[[int, CallOutcome], None],
        on_lost: Callable[[str], None],
        ssl: tls.SSLContext | None = None,
        limits: CallLimits | None = None,
        ip: str | None = None,
    ) -> Self:
        """Connects within `connect_timeout_s`; `headers` go with each call.

        With https, `ssl` None means the system's certificate authorities. `ip` is where the stream
        is connected to: a host name may stand for several masters, of which one leads. Raises
        `MasterUnavailable`; then no callback is called.
        """
        limits = limits or CallLimits()
        connection = cls(_render_head(address, headers), limits, on_answer, on_lost)
        secure = (ssl if ssl is not None else True) if address.scheme == "https" else None
        opened = False
        try:
            async with asyncio.timeout(limits.connect_timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    ip or address.host,
                    address.port,
                    ssl=secure,
                    server_hostname=address.host if secure else None,
                )
            opened = True
        except TimeoutError:
            raise MasterUnavailable(
                f"no connection to {address} within {limits.connect_timeout_s:g} s"
            ) from None
        except OSError as error:
            raise MasterUnavailable(f"no connection to {address}: {error}") from error
        finally:
            if not opened:
                connection._abandon()
        return connection

    def __init__(
        self,
        head: bytes,
        limits: CallLimits,
        on_answer: Callable[[int, CallOutcome], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._head = head
        self._limits = limits
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = AnswerReader()
        # Calls move queued → written → outcomes, each a queue in the order of `send`.
        self._queued: deque[tuple[int, bytes]] = deque()
        self._written: deque[tuple[int, int, float]] = deque()  # token, bytes, when
        self._outcomes: deque[tuple[int, CallOutcome]] = deque()
        self._unanswered_bytes = 0
        self._flush_due = False
        self._paused_at: float | None = None  # since when the transport takes no more
        self._timer: asyncio.TimerHandle | None = None
        self._socket_gone = asyncio.Event()
        self._lost: str | None = None
        self._lost_told = False

    @property
    def unanswered(self) -> int:
        """How many calls have no outcome yet."""
        return len(self._queued) + len(self._written)

    def send(self, token: int, body: bytes) -> None:
        """Queues one call; it is written with all others of this turn of the loop.

        Raises `CallsFull` at the bounds, `CallsClosed` when the connection has ended; then the
        call is not taken and has no outcome.
        """
        if self._lost is not None:
            raise CallsClosed(self._lost)
        if not self._has_room(len(body)):
            raise CallsFull(
                f"{self.unanswered} calls with {self._unanswered_bytes} bytes are unanswered"
            )
        request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        self._unanswered_bytes += len(request)
        self._queued.append((token, request))
        if not self._flush_due and self._paused_at is None:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def close(self, reason: str = "closed") -> None:
        """Ends the connection now: no byte leaves any more, nor one that the kernel holds.

        Idempotent."""
        self._lose(reason)
        self._loop.call_soon(self._deliver)

    async def aclose(self, reason: str = "closed") -> None:
        """The same; returns when the outcomes are delivered and the socket is closed."""
        self.close(reason)
        async with asyncio.timeout(_SOCKET_GONE_S):
            await self._socket_gone.wait()

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Neither asyncio nor uvloop delays small writes: both set TCP_NODELAY by themselves.
        self._transport = cast(asyncio.Transport, transport)
        make_forgetful(transport)
        if self._lost is not None:  # abandoned meanwhile
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)

    def data_received(self, data: bytes) -> None:
        if self._lost is not None:
            return
        for answer in self._reader.feed(data):
            self._take(answer)
        if self._reader.end is not None:
            self._lose(self._reader.end)
        elif self._reader.begun and not self._written:
            # It would be taken for the answer of the next call.
            self._lose("the master answers though no call waits")
        self._deliver()

    def eof_received(self) -> None:
        self._lose("the master closed the connection")
        self._deliver()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("the connection broke" + (f": {exc}" if exc is not None else ""))
        self._deliver()
        self._socket_gone.set()

    def pause_writing(self) -> None:
        self._paused_at = self._loop.time()

    def resume_writing(self) -> None:
        self._paused_at = None
        self._flush()

    def _abandon(self) -> None:
        """`open` failed: a connection that comes about nevertheless is closed in silence."""
        self._lost_told = True
        self._lose("not connected")

    def _has_room(self, body_bytes: int) -> bool:
        """Whether both bounds allow it; a body above the bound of bytes goes alone."""
        unanswered = len(self._queued) + len(self._written)
        if unanswered >= self._limits.unanswered_max:
            return False
        request_bytes = len(self._head) + body_bytes
        return (
            unanswered == 0
            or self._unanswered_bytes + request_bytes <= self._limits.unanswered_bytes_max
        )

    def _flush(self) -> None:
        """Writes what is queued, unless the transport is full: what waits here is not sent."""
        self._flush_due = False
        transport = self._transport
        now = self._loop.time()
        # A transport that failed reports so in its next turn; till then it swallows writes.
        while self._queued and self._paused_at is None and transport and not transport.is_closing():
            requests: list[bytes] = []
            size = 0
            while self._queued and size < WRITE_BYTES:
                token, request = self._queued.popleft()
                self._written.append((token, len(request), now))
                requests.append(request)
                size += len(request)
            transport.write(b"".join(requests))
        if self._written and self._timer is None:
            self._watch(now + self._limits.answer_timeout_s)

    def _watch(self, deadline: float) -> None:
        self._timer = self._loop.call_at(deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        """One timer for all: when it rings, it is set to the oldest call's own deadline."""
        self._timer = None
        if self._written:
            _, _, since = self._written[0]
        elif self._paused_at is not None:
            # All is answered, but the master stopped reading: the queued calls wait for that.
            since = self._paused_at
        else:
            return
        deadline = since + self._limits.answer_timeout_s
        if self._loop.time() < deadline:
            self._watch(deadline)
            return
        self._lose(f"the master did not answer within {self._limits.answer_timeout_s:g} s")
        self._deliver()

    def _take(self, answer: Answer) -> None:
        if self._lost is not None:
            return
        if not self._written:
            self._lose("the master answers though no call waits")
            return
        outcome: CallOutcome
        if answer.status in (200, 202):
            outcome = _SENT
        elif answer.status >= 300:
            outcome = Refused(*answer)
        else:
            # No master answers so. Something between may have passed the call on: not "refused".
            self._lose(f"the status {answer.status} is no answer to a call")
            return
        token, size, _ = self._written.popleft()
        self._unanswered_bytes -= size
        self._outcomes.append((token, outcome))

    def _lose(self, reason: str) -> None:
        """Ends the connection and gives each call without an answer its outcome."""
        if self._lost is not None:
            return
        if (answer := self._reader.cut_off()) is not None:
            self._take(answer)
        if self._lost is not None:  # that answer was none, and has ended the connection
            return
        self._lost = reason
        unknown, not_sent = Unknown(reason), NotSent(reason)
        self._outcomes.extend((token, unknown) for token, _, _ in self._written)
        self._outcomes.extend((token, not_sent) for token, _ in self._queued)
        self._written.clear()
        self._queued.clear()
        self._unanswered_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            # Not close(): that would go on sending what the transport still holds.
            self._transport.abort()

    def _deliver(self) -> None:
        """Tells what is to be told; never runs inside itself, as `close` only schedules it."""
        try:
            while self._outcomes:
                self._on_answer(*self._outcomes.popleft())
            if self._lost is not None and not self._lost_told:
                self._lost_told = True
                self._on_lost(self._lost)
        finally:
            if self._outcomes:  # a callback raised; the others still hear of their calls
                self._loop.call_soon(self._deliver)


def _render_head(address: MasterAddress, headers: Mapping[str, str]) -> bytes:
    """The request up to the value of Content-Length. Errors never show a header's value."""
    lines = [f"POST {SCHEDULER_PATH} HTTP/1.1", f"Host: {address.authority}"]
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING_HEADERS:
            raise ValueError(f"{name!r} cannot be a header of a call")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of the header {name} holds characters that HTTP forbids")
        lines.append(f"{name}: {value}")
    lines.append("Content-Length: ")
    return "\r\n".join(lines).encode("latin-1")
