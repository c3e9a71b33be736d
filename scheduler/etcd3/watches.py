"""What changes under a prefix, in order and without a gap, over as many streams as it takes.

A stream that breaks or falls silent is opened again at another member, from the revision after
the last event that was handed out. Not from the revision in an answer's header: while etcd
catches up, and with the events of a batch, that is the newest of the store, far ahead of them.
"""

import asyncio
import contextlib
import random
from typing import Final, Self

import structlog

from scheduler.errors import Compacted, EtcdRefusal, EtcdRefused, EtcdUnavailable
from scheduler.etcd3.calls import Calls, Metadata
from scheduler.etcd3.failures import Kind, known_text
from scheduler.etcd3.members import Member
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.ranges import key_value, prefix_end
from scheduler.etcd3.values import WatchEvent, WatchEvents
from scheduler.etcd3.watch_stream import StreamBroken, TokenRefused, WatchStream

PAUSE_S_MAX: Final = 1.0
PAUSE_S_FIRST: Final = 0.05
TOKENS_IN_A_ROW: Final = 2

log = structlog.get_logger()


class Watch:
    """An async iterator of `WatchEvents`; not to be shared. Close it, best with `async with`.

    It ends only by an error: `Compacted` (list anew, watch from there) or `EtcdRefused`. While no
    member answers it gives nothing.
    """

    def __init__(self, calls: Calls, prefix: bytes, start_revision: int) -> None:
        """`calls` is for this watch alone. `start_revision`: the first that is of interest."""
        self._calls = calls
        self._prefix = prefix
        self._next = start_revision
        self._stream: WatchStream | None = None
        self._member: Member | None = None
        self._metadata: Metadata | None = None
        # Events of one transaction that came in parts, the last part not yet.
        self._partial: list[WatchEvent] = []
        self._failures = 0
        self._tokens = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvents:
        while True:
            try:
                stream = self._stream or await self._open()
                response = await stream.response()
                batch = await self._read(response)
            except TokenRefused as refused:
                await self._refused(EtcdRefusal.CREDENTIALS, str(refused))
                await self._broken(str(refused))
                continue
            except (StreamBroken, EtcdUnavailable) as error:
                await self._broken(str(error))
                continue
            if batch is not None:
                self._failures = self._tokens = 0
                return batch

    async def aclose(self) -> None:
        await self._drop_stream()
        await self._calls.aclose()

    async def _open(self) -> WatchStream:
        self._partial.clear()
        self._metadata = await self._calls.metadata()
        timeouts = self._calls.timeouts
        loop = asyncio.get_running_loop()
        self._member = await self._calls.members.ready(loop.time() + timeouts.call_s)
        request = pb.WatchCreateRequest(
            key=self._prefix or b"\0",
            range_end=prefix_end(self._prefix),
            start_revision=self._next,
            progress_notify=True,
            fragment=True,
        )
        self._stream = WatchStream(self._member, self._metadata, timeouts.silence_s)
        await self._stream.create(request)
        return self._stream

    async def _read(self, response: pb.WatchResponse) -> WatchEvents | None:
        if response.canceled:
            await self._look_at_end(response)
        if response.events:
            return self._take(response)
        if response.watch_id == 0 and not response.created:
            # etcd's own progress notification, in line with the events of this watch. What it
            # answers to a request (id -1) is not: up to 3.4.24 that overtakes events.
            self._next = max(self._next, response.header.revision + 1)
        return WatchEvents((), self._next - 1)

    def _take(self, response: pb.WatchResponse) -> WatchEvents | None:
        """The events of a response, but only of transactions that are there wholly."""
        events = self._partial
        first = self._next
        events.extend(
            WatchEvent(event.type == pb.Event.DELETE, key_value(event.kv))
            for event in response.events
            if event.kv.mod_revision >= first
        )
        if not events:
            return None
        last = events[-1].item.mod_revision
        whole = events
        self._partial = []
        if response.fragment:
            whole = [event for event in events if event.item.mod_revision < last]
            self._partial = events[len(whole) :]
            if not whole:
                return None
            last = whole[-1].item.mod_revision
        self._next = last + 1
        return WatchEvents(whole, last)

    async def _look_at_end(self, response: pb.WatchResponse) -> None:
        """Raises what the end of a watch means."""
        reason = response.cancel_reason
        if response.compact_revision:
            raise Compacted(response.compact_revision)
        known = known_text(reason)
        if known is None or known.kind is Kind.NOT_DONE:
            raise StreamBroken(reason or "ended by etcd")
        if known.kind is Kind.COMPACTED:
            raise Compacted(0)
        await self._refused(known.reason, reason)
        raise StreamBroken(reason)

    async def _refused(self, reason: EtcdRefusal, text: str) -> None:
        # Older releases of etcd say "permission denied" to a watch whose token has expired.
        of_token = reason in (EtcdRefusal.PERMISSION, EtcdRefusal.CREDENTIALS)
        self._tokens += 1
        if not of_token or not self._calls.has_credentials or self._tokens > TOKENS_IN_A_ROW:
            raise EtcdRefused(reason, text)
        with contextlib.suppress(EtcdUnavailable):  # then the next stream comes back here
            await self._calls.renew_token(self._metadata)

    async def _broken(self, reason: str) -> None:
        log.info(
            "etcd.watch_broken",
            endpoint=None if self._member is None else self._member.endpoint,
            next_revision=self._next,
            reason=reason,
        )
        await self._drop_stream()
        if self._member is not None:
            self._calls.members.leave(self._member)
        self._failures += 1
        if self._failures > 1:
            pause_s = min(PAUSE_S_MAX, PAUSE_S_FIRST * 2 ** min(self._failures, 10))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()
