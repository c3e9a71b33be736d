"""Calls on their way to the master: in order, bounded. Each that is told of ends as one CallEnded.

It stands between the session and one call connection, holds back what the connection has no room
for, and renders a call when it leaves. It lives as long as that connection; what is still here
when it is lost ends as not sent. It decides nothing about the calls and repeats none.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from scheduler.core.effects import Acknowledge, Call, UpdateFramework
from scheduler.core.events import UNTOLD, CallEnded, CallId, CallOutcome, Event
from scheduler.errors import CallsClosed, CallsFull
from scheduler.mesos import calls
from scheduler.mesos.calls import CallConnection
from scheduler.mesos.codec import CallCodec, UnreadableStatus

log = structlog.get_logger()


class Outbox:
    """The calls of one stream. All methods run in the event loop's thread."""

    def __init__(
        self,
        codec: CallCodec,
        emit: Callable[[Event], None],
        *,
        waiting_max: int,
        on_lost: Callable[[str], None],
    ) -> None:
        """`on_lost(reason)` is called once, after the last call has ended."""
        self._codec = codec
        self._emit = emit
        self._waiting_max = waiting_max
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._connection: CallConnection | None = None
        self._waiting: deque[Call] = deque()
        self._next_body: bytes | None = None  # the first waiting call, rendered
        self._updates: set[CallId] = set()
        self._lost: str | None = None

    def attach(self, connection: CallConnection) -> None:
        """From now on calls leave."""
        self._connection = connection
        self._pump()

    def send(self, calls_: Sequence[Call]) -> None:
        """Takes calls in order; what no longer fits ends the session, see `SessionLimits`."""
        if self._lost is not None:
            end_unsent(calls_, self._emit, self._lost)
            return
        self._waiting.extend(calls_)
        self._pump()
        if len(self._waiting) > self._waiting_max and self._connection is not None:
            # The master is far behind and nobody knows why: a new session starts clean.
            self._connection.close(f"{len(self._waiting)} calls wait for the master")

    def acknowledge(self, status: UnreadableStatus) -> None:
        """Acknowledges what the core never sees."""
        self.send([Acknowledge(status.agent_id, status.task_id, status.uuid)])

    async def aclose(self, reason: str) -> None:
        """Closes the connection; returns when every call has ended and the socket is gone."""
        if self._connection is None:
            self.lost(reason)
            return
        try:
            await self._connection.aclose(reason)
        except TimeoutError:
            # Its calls have ended and no byte leaves; only the kernel still holds the socket.
            log.warning("session.socket_stuck")

    # --- called by the connection ----------------------------------------------------------------

    def answered(self, token: int, outcome: calls.CallOutcome) -> None:
        if token != UNTOLD or not isinstance(outcome, calls.Sent):
            self._take_outcome(CallId(token), outcome)
        if self._waiting:
            self._pump()

    def lost(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = reason
        while self._waiting:
            self._end(self._waiting.popleft().call_id, CallOutcome.NOT_SENT, reason)
        self._on_lost(reason)

    # --- how -------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Hands calls to the connection as long as it takes them."""
        connection, waiting = self._connection, self._waiting
        if connection is None:
            return
        while waiting:
            call = waiting[0]
            body = self._next_body
            if body is None:
                try:
                    body = self._codec.encode(call)
                except (ValueError, TypeError) as error:
                    waiting.popleft()
                    self._loop.call_soon(
                        self._end, call.call_id, CallOutcome.REFUSED, f"cannot be said: {error}"
                    )
                    continue
            try:
                connection.send(call.call_id, body)
            except CallsFull:
                self._next_body = body
                return
            except CallsClosed:
                return  # `lost` ends what waits, after the calls that came before
            self._next_body = None
            waiting.popleft()
            if isinstance(call, UpdateFramework):
                self._updates.add(call.call_id)

    def _take_outcome(self, call_id: CallId, outcome: calls.CallOutcome) -> None:
        self._end(call_id, *_outcome(outcome))
        if isinstance(outcome, calls.Refused):
            self._look_at_refusal(call_id, outcome)
        self._updates.discard(call_id)

    def _end(self, call_id: CallId, outcome: CallOutcome, detail: str) -> None:
        if call_id != UNTOLD:
            self._emit(CallEnded(call_id, outcome, detail))
        elif outcome is CallOutcome.REFUSED:
            log.warning("session.acknowledge_refused", detail=detail)

    def _look_at_refusal(self, call_id: CallId, refused: calls.Refused) -> None:
        """Some refusals are about the connection, not the call: then stream and calls are over.

        A redirect or 503 to a call means that this master leads no more; 401, that credentials
        changed; 403, that it does not hold us for connected (but UPDATE_FRAMEWORK gets it for want
        of a right).
        """
        status = refused.status
        over = status in (307, 401, 503) or (status == 403 and call_id not in self._updates)
        if over and self._connection is not None:
            self._connection.close(f"the master answers calls with {status}: {refused.text}")


def end_unsent(calls_: Sequence[Call], emit: Callable[[Event], None], reason: str) -> None:
    """Ends calls for which there is no connection, not from within the caller's own turn."""
    loop = asyncio.get_running_loop()
    for call in calls_:
        if call.call_id != UNTOLD:
            loop.call_soon(emit, CallEnded(call.call_id, CallOutcome.NOT_SENT, reason))


def _outcome(outcome: calls.CallOutcome) -> tuple[CallOutcome, str]:
    match outcome:
        case calls.Sent():
            return CallOutcome.SENT, ""
        case calls.Refused(status, text):
            return CallOutcome.REFUSED, f"{status}: {text}"
        case calls.NotSent(reason):
            return CallOutcome.NOT_SENT, reason
        case calls.Unknown(reason):
            return CallOutcome.UNKNOWN, reason
