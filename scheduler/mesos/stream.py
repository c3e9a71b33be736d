"""One event stream: a SUBSCRIBE that was answered 200, and the records that follow.

It connects, follows redirects, and hands out records until the stream is lost for whatever
reason: end, error, garbage, silence, or because it was cut from outside. It reads nothing of what
a record says and never tries again; the session does both.
"""

import asyncio
import math
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from scheduler.errors import MasterRefused, MasterUnavailable, RecordioError
from scheduler.mesos.address import SCHEDULER_PATH, MasterAddress
from scheduler.mesos.discovery import Candidates
from scheduler.mesos.failures import why_not
from scheduler.mesos.recordio import Decoder
from scheduler.mesos.sockets import forgetful_socket

PROTOBUF: Final = "application/x-protobuf"
# Mesos' own; a SUBSCRIBED that names none, or nonsense, gets this.
HEARTBEAT_INTERVAL_S: Final = 15.0
_HEARTBEAT_INTERVAL_S_MAX: Final = 3600.0
_STREAM_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_READ_BUFFER_BYTES: Final = 256 * 1024
_REFUSAL_BYTES_MAX: Final = 1024
# 404: a master that has just started and sets up its routes.
_TRY_AGAIN: Final = frozenset({404, 408, 429, 500, 502, 503, 504})


class StreamLimits(msgspec.Struct, frozen=True):
    """Deadlines of one stream. Silence for `heartbeats_missed_max` intervals ends it."""

    connect_timeout_s: float = 10.0
    subscribe_timeout_s: float = 20.0
    heartbeats_missed_max: int = 5
    record_bytes_max: int = 64 * 1024 * 1024


class EventStream:
    """An open stream; made by `subscribe`."""

    def __init__(
        self, address: MasterAddress, response: aiohttp.ClientResponse, limits: StreamLimits
    ) -> None:
        self.address = address
        """Raises `MasterUnavailable` for an answer without a stream id that a call can carry."""
        self.stream_id = response.headers.get("Mesos-Stream-Id", "")
        if not _STREAM_ID.fullmatch(self.stream_id):
            raise MasterUnavailable(f"{address} answered 200, but that is no event stream")
        self.ip = _peer_ip(response)
        """Where the stream is connected to, for the calls to follow; None when it is gone."""
        self._response = response
        self._limits = limits
        self._decoder = Decoder(limits.record_bytes_max)
        self._silence_s_max = limits.subscribe_timeout_s
        self._waiting: asyncio.Timeout | None = None
        self._cut: str | None = None

    def expect_heartbeats(self, interval_s: float) -> None:
        """From now on silence is measured by the interval that SUBSCRIBED gave."""
        if not (math.isfinite(interval_s) and 0 < interval_s <= _HEARTBEAT_INTERVAL_S_MAX):
            interval_s = HEARTBEAT_INTERVAL_S
        self._silence_s_max = interval_s * self._limits.heartbeats_missed_max

    def cut(self, reason: str) -> None:
        """Ends the stream: the `read` that waits, or the next one, raises with this reason."""
        if self._cut is not None:
            return
        self._cut = reason
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def read(self) -> list[bytes]:
        """The next records, at least one. Raises `MasterUnavailable` when the stream is lost.

        The time between two calls does not count as silence: it is ours, not the master's.
        """
        deadline = asyncio.get_running_loop().time() + self._silence_s_max
        try:
            # Garbage behind the last records shows here, before any wait for more bytes.
            self._decoder.feed(b"")
            async with asyncio.timeout_at(deadline) as self._waiting:
                while True:
                    if self._cut is not None:
                        raise MasterUnavailable(self._cut)
                    data = await self._response.content.readany()
                    if not data:
                        raise MasterUnavailable("the master closed the stream")
                    if records := self._decoder.feed(data):
                        return records
        except TimeoutError:
            reason = self._cut or f"no event from the master for {self._silence_s_max:g} s"
            raise MasterUnavailable(reason) from None
        except RecordioError as error:
            raise MasterUnavailable(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise MasterUnavailable(f"the stream broke: {error!r}") from error
        finally:
            self._waiting = None


def _peer_ip(response: aiohttp.ClientResponse) -> str | None:
    transport = response.connection.transport if response.connection is not None else None
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if peer else None


@asynccontextmanager
async def subscribe(
    candidates: Candidates,
    body: bytes,
    *,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    limits: StreamLimits,
    may_speak: Callable[[], bool],
) -> AsyncIterator[EventStream]:
    """Opens a stream with the leading master; leaving the context closes its socket.

    `may_speak` is asked when there is a connection, just before the SUBSCRIBE leaves on it: to find
    a master and to connect may take longer than an office lasts.

    Raises `MasterUnavailable` where another try may help, `MasterRefused` where it may not.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout_s)
    # The stream stays as it is: a proxy that compresses it would hold back events.
    subscribe_headers = {
        "Content-Type": PROTOBUF,
        "Accept": PROTOBUF,
        "Accept-Encoding": "identity",
        **headers,
    }
    connector = aiohttp.TCPConnector(
        ssl=tls if tls is not None else True, force_close=True, socket_factory=forgetful_socket
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=subscribe_headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_READ_BUFFER_BYTES,
    ) as http:
        address = await candidates.first()
        while True:
            response = await _post(http, address, _Guarded(body, may_speak), limits)
            try:
                if response.status == 200:
                    yield EventStream(address, response, limits)
                    return
                if response.status != 307:
                    await _refuse(address, response, limits)
                location = response.headers.get("Location", "")
            finally:
                response.close()
            address = candidates.redirected(address, location)


class _Guarded(BytesPayload):
    """A body that leaves only while we may speak; else the connection ends without it."""

    def __init__(self, body: bytes, may_speak: Callable[[], bool]) -> None:
        super().__init__(body, content_type=PROTOBUF)
        self._may_speak = may_speak

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if not self._may_speak():
            raise MasterUnavailable("SUBSCRIBE is held back: we may not speak any more")
        await super().write_with_length(writer, content_length)


async def _post(
    http: aiohttp.ClientSession, address: MasterAddress, body: BytesPayload, limits: StreamLimits
) -> aiohttp.ClientResponse:
    try:
        async with asyncio.timeout(limits.subscribe_timeout_s):
            # aiohttp would not follow the 307 as we need it: scheme-less, credentials kept.
            return await http.post(address.url(SCHEDULER_PATH), data=body, allow_redirects=False)
    except aiohttp.ClientError as error:  # first: its own time-outs are TimeoutErrors, too
        raise MasterUnavailable(f"{address}: {why_not(error)}") from error
    except TimeoutError:
        raise MasterUnavailable(
            f"{address}: no answer to SUBSCRIBE within {limits.subscribe_timeout_s:g} s"
        ) from None
    except OSError as error:
        raise MasterUnavailable(f"{address}: {error}") from error


async def _refuse(
    address: MasterAddress, response: aiohttp.ClientResponse, limits: StreamLimits
) -> None:
    """Raises what an answer that is neither a stream nor a redirect means."""
    try:
        async with asyncio.timeout(limits.subscribe_timeout_s):
            text = (await response.content.read(_REFUSAL_BYTES_MAX)).decode("utf-8", "replace")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise MasterUnavailable(f"{address}: the answer broke off: {error!r}") from error
    said = f"{address} answered {response.status} to SUBSCRIBE: {text.strip() or '(no text)'}"
    if response.status in _TRY_AGAIN:
        raise MasterUnavailable(said)
    if response.status == 401:
        raise MasterRefused(
            f"{said}. The master wants other credentials: check framework.principal and "
            "framework.secret_file against the master's --credentials"
        )
    if response.status == 403:
        raise MasterRefused(
            f"{said}. The principal may not do this: check framework.principal and the master's "
            "ACLs (a token that carries claims but no principal is refused, too)"
        )
    raise MasterRefused(said)
