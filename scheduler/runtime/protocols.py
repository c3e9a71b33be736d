"""What the runtime asks of the adapters around the engine. Each is small enough to be faked, and
each fake passes the contract suite of the real one (tests/contract).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from scheduler.core.effects import Answer, Call, Wanted
from scheduler.core.events import AgentsListed, Command, Event, FrameworksListed, Ticket
from scheduler.core.model.ids import Uid
from scheduler.core.records import FrameworkRecord, Record, Write
from scheduler.core.views import Views

Emit = Callable[[Event], None]
"""Hands an event to the engine's mailbox; called in the loop's own thread."""


class Store(Protocol):
    """Durable records. One writer; the last write of a key wins.

    `submit` never blocks. `done` is called in the loop when its writes, or later ones of their
    keys, are durable; submits may be done in any order. `launches` says that only ACCEPTs wait for
    these writes, so they may leave behind the rest. A store that refuses keeps the writes, calls
    `refusing(reason)` once, tries again, and calls `recovered()` when they went through. A store
    that must not write any more (another term began, the file was taken) raises TermEnded out of
    `run`.
    """

    async def open(self) -> None: ...

    def load(self) -> AsyncIterator[Sequence[Record]]: ...

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None: ...

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None: ...

    async def close(self) -> None: ...


class Session(Protocol):
    """The one connection with the master: stream and calls, lost and made anew together.

    `run` connects, subscribes as `wanted()` and `registered()` say, emits events, reconnects
    with a back-off, until cancelled; it raises FrameworkRemoved or MasterRefused when trying again
    cannot help. `send` queues calls, in order; each ends as one CallEnded event, but those that are
    UNTOLD. Calls given while there is no connection end as NOT_SENT. `may_speak` is asked before a
    SUBSCRIBE leaves, and when a session is lost: once it denies, `run` raises TermEnded, whatever
    the master said.
    """

    async def run(
        self,
        emit: Emit,
        *,
        registered: Callable[[], FrameworkRecord | None],
        wanted: Callable[[], Wanted],
        may_speak: Callable[[], bool],
    ) -> None: ...

    def send(self, calls: Sequence[Call]) -> None: ...


class Operator(Protocol):
    """What the master's operator API tells of the cluster, beside offers. Refusals are answers;
    raises MasterUnavailable."""

    async def agents(self) -> AgentsListed: ...

    async def frameworks(self) -> FrameworksListed: ...


class LeaderInfo(msgspec.Struct, frozen=True):
    """Who leads: its name, the URL of its API ('' if it tells none), and its term."""

    instance: str
    advertise: str
    term: int


class Election(Protocol):
    """Who leads. A term's number is greater than those of all terms before it."""

    async def campaign(self) -> int:
        """Waits for the office, and gives the term. Raises ElectionError, StoreLocked."""
        ...

    def leads(self) -> bool:
        """Whether the office is certainly still held at this moment. Asked before anything leaves:
        a process that was stopped and goes on must not speak for a term that has ended."""
        ...

    async def watch(self) -> None:
        """Returns never; raises when the office is lost."""
        ...

    async def resign(self) -> None: ...


class Following(Protocol):
    """What the leader stores, as it stores it.

    `run` never returns. It gives all records first, then every change in the order of the store,
    and who leads in that same order: when our own leadership comes by, everything that was written
    before it has been seen. `on_alive` comes about once a second while the store answers.
    """

    async def run(
        self,
        on_writes: Callable[[Sequence[Write]], None],
        on_leader: Callable[[LeaderInfo | None], None],
        on_alive: Callable[[], None],
    ) -> None: ...


class Front(Protocol):
    """What the API sees of a daemon. Reads are made from the live tables, between two steps."""

    @property
    def instance(self) -> str: ...

    @property
    def leading(self) -> bool:
        """False before the first term has loaded its state, and after it ended."""
        ...

    @property
    def leader(self) -> LeaderInfo | None:
        """Who leads, as far as is known here."""
        ...

    @property
    def age_s(self) -> float | None:
        """How old the views are: 0 while leading, the time since the last news while following;
        None when there is nothing to see."""
        ...

    @property
    def views(self) -> Views:
        """Reads over the engine's tables; only while `age_s` is not None."""
        ...

    def mint_uid(self) -> Uid: ...

    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        """Gives the command to the engine and waits until its effects are durable.

        An overfull mailbox, a store that refuses and a passed deadline come back as UNAVAILABLE;
        after a deadline the command may still take effect.
        """
        ...
