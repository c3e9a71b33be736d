"""One term in office: the engine with everything that works for it, from loading to the end.

    load ─ start ─ [ store │ loop │ session │ agents ] ─ drain

The four run in one task group: whichever ends unexpectedly ends the term, and there is no undo
code: the engine is dropped. It knows the adapters by their protocols only; `cli.daemon` chooses
them, and `Seat` shows it to the API.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from scheduler.core.effects import Answer, Verdict
from scheduler.core.engine import Engine
from scheduler.core.events import (
    Command,
    Disconnected,
    Event,
    ForgetFramework,
    StoreRecovered,
    StoreRefusing,
    Subscribed,
    Ticket,
)
from scheduler.core.policy import Policy
from scheduler.core.state import State
from scheduler.core.views import Views
from scheduler.errors import FrameworkRemoved, MasterUnavailable
from scheduler.runtime import notices
from scheduler.runtime.asks import ASK_TIMEOUT_S, Asks
from scheduler.runtime.loop import EngineLoop
from scheduler.runtime.mailbox import Mailbox
from scheduler.runtime.outbox import Outbox
from scheduler.runtime.pace import LoopLimits
from scheduler.runtime.protocols import LeaderInfo, Operator, Session, Store

log = structlog.get_logger()

MAILBOX_MAX = 50_000
AGENTS_INTERVAL_S = 30.0
DRAIN_S_MAX = 3.0
FORGET_AGAIN_S = 0.5


class TermSettings(msgspec.Struct, frozen=True):
    instance: str
    policy: Policy
    advertise: str = ""
    new_id_when_removed: bool = False
    limits: LoopLimits = LoopLimits()
    agents_interval_s: float = AGENTS_INTERVAL_S
    ask_timeout_s: float = ASK_TIMEOUT_S


class Term:
    """`leads` says at any moment whether the office is certainly still held: when it is not,
    nothing leaves any more, no call and no answer, and the term ends."""

    def __init__(
        self,
        settings: TermSettings,
        number: int,
        *,
        leads: Callable[[], bool],
        state: State | None = None,
        store: Store,
        make_session: Callable[[Callable[[], Awaitable[None]]], Session],
        operator: Operator,
    ) -> None:
        """`make_session` is given what to await before more is read from the stream; `state` is
        what a standby has followed, else `load` comes first."""
        seed = secrets.randbits(63)
        log.info("term.began", term=number, seed=seed, instance=settings.instance)
        self._settings = settings
        self._number = number
        self._leads = leads
        self._store = store
        self._operator = operator
        self._wake = asyncio.Event()
        self._mailbox = Mailbox(MAILBOX_MAX, self._wake)
        self._session = make_session(self._mailbox.room)
        self._engine = Engine(settings.policy, term=number, seed=seed, state=state)
        self._asks = Asks(self._mailbox, settings.ask_timeout_s)
        self._streams = 0
        self._stream_stands = False
        self._leading = state is not None
        self._outbox = Outbox(
            store,
            may_leave=leads,
            stream_now=lambda: self._streams if self._stream_stands else None,
            send=self._session.send,
            answer=self._asks.answer,
            notice=notices.writer(),
            emit=self._emit,
            released=self._wake.set,
        )
        self._loop = EngineLoop(
            self._engine, self._mailbox, self._outbox, self._wake, limits=settings.limits
        )

    # --- what the API sees -----------------------------------------------------------------------

    @property
    def leading(self) -> bool:
        return self._leading and self._leads()

    @property
    def leader(self) -> LeaderInfo:
        return LeaderInfo(self._settings.instance, self._settings.advertise, self._number)

    @property
    def views(self) -> Views:
        return self._engine.views

    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        return await self._asks.ask(make)

    # --- the term --------------------------------------------------------------------------------

    async def load(self) -> None:
        """Everything stored, into the engine. Raises StoreUnreadable."""
        count = 0
        async for records in self._store.load():
            self._engine.load(records)
            count += len(records)
        log.info("term.loaded", records=count)
        self._leading = True

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, or something fails for good. Tasks on the cluster live on."""
        try:
            await self._work(stop)
        finally:
            self._leading = False
            # Of a lost term nobody here knows what was stored; the next leader does.
            self._asks.end("the term ended before it was confirmed; it may still take effect")

    async def _work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            store = group.create_task(self._store.run(self._refusing, self._recovered))
            workers = [
                group.create_task(self._loop.run()),
                group.create_task(self._hold_session()),
                group.create_task(self._watch_cluster()),
            ]
            try:
                await stop.wait()
                log.info("term.ending")
            finally:
                self._leading = False
            workers[0].cancel()
            await self._drain()
            for worker in (*workers[1:], store):
                worker.cancel()

    async def _drain(self) -> None:
        """Let what was decided become durable and leave, for a bounded time."""
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                while len(self._outbox):
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            log.warning("term.not_drained", steps=len(self._outbox))

    def _emit(self, event: Event) -> None:
        """Streams are numbered as they begin, so that a call never leaves on another one than it
        was decided on."""
        match event:
            case Subscribed():
                self._streams += 1
                self._stream_stands = True
            case Disconnected():
                self._stream_stands = False
            case _:
                pass
        self._mailbox.put(event)

    def _refusing(self, reason: str) -> None:
        # Not a notice of the engine's: that would wait for the writes which are being refused.
        log.warning("store.refusing", reason=reason)
        self._mailbox.put(StoreRefusing(reason))

    def _recovered(self) -> None:
        log.info("store.recovered")
        self._mailbox.put(StoreRecovered())

    async def _hold_session(self) -> None:
        """An id that the master has removed is given up only if nothing is lost with it, or if the
        operator said so."""
        while True:
            try:
                await self._session.run(
                    self._emit,
                    registered=lambda: self._engine.framework,
                    wanted=self._engine.wanted,
                    may_speak=self._leads,
                )
            except FrameworkRemoved as removed:
                if self._engine.armed and not self._settings.new_id_when_removed:
                    raise
                log.warning("framework.forgotten", reason=str(removed))
                await self._forget_framework(str(removed))

    async def _forget_framework(self, reason: str) -> None:
        """Returns when it is durable, however long the store takes."""
        while True:
            answer = await self._asks.ask(lambda ticket: ForgetFramework(ticket, reason))
            if answer.verdict is Verdict.DONE:
                return
            # Where too much waits that is said at once.
            await asyncio.sleep(FORGET_AGAIN_S)

    async def _watch_cluster(self) -> None:
        """Offers show only agents with something free for us; the operator API shows the rest, and
        who else is offered what we are."""
        while True:
            try:
                self._mailbox.put(await self._operator.agents())
                self._mailbox.put(await self._operator.frameworks())
            except MasterUnavailable as error:
                log.info("cluster.not_listed", reason=str(error))
            await asyncio.sleep(self._settings.agents_interval_s)
