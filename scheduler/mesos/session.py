"""The one session with the master: an event stream and a call connection, lost together.

    run ─ try ─ subscribe ─ SUBSCRIBED ─ call connection ─ emit(Subscribed) ─ events … ─ lost ─ wait
          ▲                                                                                    │
          └────────────────────────────────────────────────────────────────────────────────────┘

Either one's end ends both: a reopened call connection would let a RECONCILE overtake a stalled
ACCEPT. The old sockets are closed, the calls' outcomes and Disconnected told, before the next
SUBSCRIBE leaves. The session decides when to try again and when that cannot help; what events and
calls mean is the core's, how bytes move is stream.py's and calls.py's.
"""

import asyncio
import contextlib
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog

from scheduler.core.effects import Call, Wanted
from scheduler.core.events import ConnectFailed, Disconnected, Event, StatusUpdated, Subscribed
from scheduler.core.model.ids import MasterId
from scheduler.core.records import FrameworkRecord
from scheduler.errors import (
    FrameworkRemoved,
    FrameworkTaken,
    InvariantBroken,
    MasterRefused,
    MasterUnavailable,
    MesosError,
    TermEnded,
)
from scheduler.mesos.access import Credential, authorization
from scheduler.mesos.address import MasterSetting
from scheduler.mesos.backoff import Backoff
from scheduler.mesos.calls import CallConnection, CallLimits
from scheduler.mesos.codec import (
    CallCodec,
    EventDecoder,
    FrameworkSettings,
    ManyOffers,
    PassedOver,
    StreamError,
    StreamOpened,
    TaskRenderer,
    UnreadableStatus,
    encode_subscribe,
)
from scheduler.mesos.discovery import open_candidates
from scheduler.mesos.master_group import Leader
from scheduler.mesos.outbox import Outbox, end_unsent
from scheduler.mesos.stream import PROTOBUF, EventStream, StreamLimits, subscribe

# What the master writes into ERROR; there is no code beside the text.
_REMOVED: Final = "framework has been removed"
_FAILED_OVER: Final = "framework failed over"
_STOPPED: Final = "the session was stopped"

log = structlog.get_logger()


class SessionLimits(msgspec.Struct, frozen=True):
    """Bounds and waits of a session.

    Waits between tries are random, the first up to `retry_initial_s` (≤ 1 s by the framework
    guide), growing to `retry_s_max`; after a stream that lived `settled_s` they start anew.
    `failovers_max` in `failovers_within_s` are borne: a SUBSCRIBE of our own that was cut off may
    come back as one; more of them are another scheduler. `calls_waiting_max` is the number of
    calls that may wait beyond those the call connection holds.
    """

    stream: StreamLimits = StreamLimits()
    calls: CallLimits = CallLimits()
    retry_initial_s: float = 1.0
    retry_s_max: float = 15.0
    settled_s: float = 60.0
    failovers_max: int = 3
    failovers_within_s: float = 60.0
    calls_waiting_max: int = 100_000


class SessionSettings(msgspec.Struct, frozen=True):
    """`master` as `open_candidates` reads it. `tls` None: the system's certificate authorities."""

    master: MasterSetting
    framework: FrameworkSettings
    credential: Credential | None = None
    tls: ssl.SSLContext | None = None
    limits: SessionLimits = SessionLimits()


class FailedOver(MesosError):
    """Another SUBSCRIBE came with our framework id, and the master closed our stream for it."""


async def _room_at_once() -> None:
    """For a mailbox that takes everything."""


class MasterSession:
    """Implements `runtime.protocols.Session`.

    `wait_for_room` is awaited before more is read from the stream: while it waits the master has
    to keep its events, and that time does not count as silence.
    """

    def __init__(
        self,
        settings: SessionSettings,
        *,
        wait_for_room: Callable[[], Awaitable[None]] = _room_at_once,
    ) -> None:
        """Raises `SettingsError` for a `master` that cannot be used."""
        self._settings = settings
        self._limits = settings.limits
        self._wait_for_room = wait_for_room
        self._candidates = open_candidates(settings.master, tls=settings.tls is not None)
        self._headers = authorization(settings.credential)
        self._decoder = EventDecoder()
        self._tasks = TaskRenderer()
        self._backoff = Backoff(self._limits.retry_initial_s, self._limits.retry_s_max)
        self._failovers: deque[float] = deque()
        self._emit: Callable[[Event], None] | None = None
        self._outbox: Outbox | None = None
        self._was_subscribed = False
        self._stood = False
        """The present session's stream stood, so its end was told."""
        self._trying: asyncio.Timeout | None = None
        self._stands: tuple[EventStream, MasterId] | None = None
        self._superseded = asyncio.Event()
        """Set when a master leads that was not yet tried."""
        self.passed_over: Counter[str] = Counter()
        """How often each event type was passed over, by name."""

    def send(self, calls: Sequence[Call]) -> None:
        """See `runtime.protocols.Session.send`; only while `run` runs."""
        if self._emit is None:
            raise InvariantBroken("calls are given to a session that does not run")
        if self._outbox is not None:
            self._outbox.send(calls)
        else:
            end_unsent(calls, self._emit, "not connected with the master")

    async def run(
        self,
        emit: Callable[[Event], None],
        *,
        registered: Callable[[], FrameworkRecord | None],
        wanted: Callable[[], Wanted],
        may_speak: Callable[[], bool],
    ) -> None:
        """See `runtime.protocols.Session.run`.

        Raises `TermEnded` when we may not speak any more, `MasterRefused` when the master refuses
        us before we were ever subscribed (an operator's mistake shows at the start; later it may be
        the master's, and we try again), `FrameworkRemoved`, and `FrameworkTaken` when another
        scheduler uses our framework id.
        """
        self._emit = emit
        async with self._candidates.followed(self._another_leads):
            while True:
                begun = asyncio.get_running_loop().time()
                self._stood = False
                try:
                    await self._one_session(emit, registered(), wanted(), may_speak)
                except MesosError as error:
                    if not may_speak():
                        # A successor subscribed with our framework id, and what the master says
                        # of that is no failure of ours.
                        raise TermEnded(f"the office may be another's by now: {error}") from error
                    first = isinstance(error, MasterRefused) and not self._was_subscribed
                    if first or isinstance(error, FrameworkRemoved):
                        raise
                    if isinstance(error, FailedOver):
                        self._count_failover(error)
                    if not self._stood:
                        emit(ConnectFailed(str(error)))
                    await self._wait(begun, str(error))

    def _another_leads(self, leader: Leader) -> None:
        """Does not wait until heartbeats are missed, a connection times out, or a pause ends."""
        if self._stands is not None:
            stream, master_id = self._stands
            if leader.master_id == master_id:
                return  # we were redirected to it before we were told
            stream.cut(f"another master leads: {leader.address}")
        elif self._trying is not None and not self._trying.expired():
            self._trying.reschedule(asyncio.get_running_loop().time())
        self._superseded.set()

    async def _wait(self, begun: float, reason: str) -> None:
        """Between two sessions; the last one lasted since `begun`."""
        if asyncio.get_running_loop().time() - begun >= self._limits.settled_s:
            self._backoff.reset()
        wait_s = self._backoff.next_s()
        log.warning("session.retry", reason=reason, wait_s=round(wait_s, 3))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._superseded.wait()
                # A leader that is new to all frameworks is not to be asked by all at once.
                self._backoff.reset()
                await asyncio.sleep(self._backoff.next_s())

    async def _one_session(
        self,
        emit: Callable[[Event], None],
        registered: FrameworkRecord | None,
        wanted: Wanted,
        may_speak: Callable[[], bool],
    ) -> None:
        """From SUBSCRIBE to the loss of the stream; always raises what ended it."""
        framework = self._as_registered(registered)
        framework_id = registered.framework_id if registered is not None else None
        body = encode_subscribe(framework, framework_id, wanted)
        self._superseded.clear()
        async with (
            self._until_superseded(),
            subscribe(
                self._candidates,
                body,
                headers=self._headers,
                tls=self._settings.tls,
                limits=self._limits.stream,
                may_speak=may_speak,
            ) as stream,
        ):
            records = deque(await stream.read())
            opened = self._decode_first(records.popleft())
            stream.expect_heartbeats(opened.heartbeat_interval_s)
            outbox = Outbox(
                CallCodec(opened.framework_id, framework, self._tasks),
                emit,
                waiting_max=self._limits.calls_waiting_max,
                on_lost=stream.cut,
            )
            outbox.attach(await self._open_calls(stream, outbox))
            self._candidates.leads(stream.address)
            self._stands = (stream, opened.master_id)
            subscribed = Subscribed(
                opened.framework_id,
                opened.master_id,
                stream.address.url(),
                opened.master_version,
                framework.user,
                framework.checkpoint,
            )
            await self._serve(emit, stream, subscribed, outbox, records)

    def _as_registered(self, registered: FrameworkRecord | None) -> FrameworkSettings:
        """A SUBSCRIBE with another `user` or `checkpoint` is taken and they are passed over, but
        every UPDATE_FRAMEWORK with them is refused, and our wishes with it."""
        framework = self._settings.framework
        if registered is None:
            return framework
        kept = {
            name: was
            for name, was in (("user", registered.user), ("checkpoint", registered.checkpoint))
            if was is not None and was != getattr(framework, name)
        }
        if kept and not self._was_subscribed:
            log.warning(
                "session.settings_ignored",
                framework_id=registered.framework_id,
                reason="the master takes no change of them for a framework that is registered",
                registered=kept,
            )
        return msgspec.structs.replace(framework, **kept)

    @asynccontextmanager
    async def _until_superseded(self) -> AsyncIterator[None]:
        """Ends a try as soon as another master leads. What stands is ended by its stream."""
        try:
            async with asyncio.timeout(None) as self._trying:
                yield
        except TimeoutError:
            raise MasterUnavailable("another master leads than the one that was tried") from None
        finally:
            self._trying = self._stands = None

    async def _serve(
        self,
        emit: Callable[[Event], None],
        stream: EventStream,
        subscribed: Subscribed,
        outbox: Outbox,
        records: deque[bytes],
    ) -> None:
        """Both connections stand. Tells events until the stream is lost, then closes the calls."""
        reason = _STOPPED
        self._outbox = outbox
        self._was_subscribed = self._stood = True
        framework_id = subscribed.framework_id
        try:
            log.info("session.subscribed", framework_id=framework_id, master=subscribed.master_url)
            emit(subscribed)
            while True:
                while records:
                    many = self._take(records.popleft(), emit, outbox)
                    if many is not None:
                        await self._tell_in_parts(many, emit)
                await self._wait_for_room()
                records.extend(await stream.read())
        except MesosError as error:
            reason = str(error)
            raise
        finally:
            self._outbox = None
            try:
                await outbox.aclose(reason)
            finally:
                if reason == _STOPPED:
                    log.info("session.stopped", framework_id=framework_id)
                else:
                    log.warning("session.lost", reason=reason, framework_id=framework_id)
                emit(Disconnected(reason))

    async def _open_calls(self, stream: EventStream, outbox: Outbox) -> CallConnection:
        return await CallConnection.open(
            stream.address,
            headers={
                "Content-Type": PROTOBUF,
                "Mesos-Stream-Id": stream.stream_id,
                **self._headers,
            },
            on_answer=outbox.answered,
            on_lost=outbox.lost,
            ssl=self._settings.tls,
            limits=self._limits.calls,
            ip=stream.ip,
        )

    def _decode_first(self, record: bytes) -> StreamOpened:
        """SUBSCRIBED is always the first record; a refused SUBSCRIBE has an ERROR instead."""
        match self._decoder.decode(record):
            case StreamOpened() as opened:
                return opened
            case StreamError(message):
                raise _error(message)
            case other:
                raise MasterUnavailable(
                    f"the stream begins with {type(other).__name__}, not SUBSCRIBED"
                )

    def _take(
        self, record: bytes, emit: Callable[[Event], None], outbox: Outbox
    ) -> ManyOffers | None:
        """Tells what a record says; gives back what is too much to be told in one turn."""
        match self._decoder.decode(record):
            case StatusUpdated() as status:  # first, as nearly all records are
                emit(status)
            case ManyOffers() as many:
                return many
            case PassedOver(name):
                self.passed_over[name] += 1
            case UnreadableStatus() as unreadable:
                self.passed_over["UPDATE"] += 1
                log.warning("session.status_unreadable", task_id=unreadable.task_id)
                if unreadable.uuid:
                    outbox.acknowledge(unreadable)
            case StreamError(message):
                raise _error(message)
            case StreamOpened():
                raise MasterUnavailable("a second SUBSCRIBED on one stream")
            case event:
                emit(event)
        return None

    async def _tell_in_parts(self, many: ManyOffers, emit: Callable[[Event], None]) -> None:
        for part in many.parts():
            emit(part)
            await self._wait_for_room()
            await asyncio.sleep(0)  # there may be room at once

    def _count_failover(self, error: FailedOver) -> None:
        """Raises `FrameworkTaken` when it happens so often that it cannot be an echo of ours."""
        now = asyncio.get_running_loop().time()
        while self._failovers and self._failovers[0] <= now - self._limits.failovers_within_s:
            self._failovers.popleft()
        self._failovers.append(now)
        if len(self._failovers) > self._limits.failovers_max:
            raise FrameworkTaken(
                "another scheduler uses this framework id: the master closed our stream "
                f"{len(self._failovers)} times within {self._limits.failovers_within_s:g} s for "
                "another one's. Stop the other scheduler, or give this one a store of its own"
            ) from error


def _error(message: str) -> MesosError:
    """What an ERROR event means; its text is all there is to go by."""
    said = message.lower()
    if _REMOVED in said:
        return FrameworkRemoved(
            f"the master says: {message}. It ended this framework and its tasks for good and "
            "takes its id no more (by teardown, or because it was away for longer than "
            "framework.failover_timeout). To go on, let the scheduler take a new id with "
            "framework.new_id_when_removed: true; then every attempt of the old one ends as gone, "
            "and is replaced"
        )
    if _FAILED_OVER in said:
        return FailedOver(f"the master says: {message}")
    return MasterRefused(f"the master says: {message}")
