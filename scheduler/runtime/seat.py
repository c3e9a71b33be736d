"""The one place that the API talks to, whatever this instance is at the moment: leading, standing
by, or neither yet. Implements `protocols.Front`."""

import asyncio
from collections.abc import Callable

from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import Command, Ticket
from scheduler.core.model.ids import Uid
from scheduler.core.views import Views
from scheduler.errors import InvariantBroken
from scheduler.runtime.protocols import LeaderInfo
from scheduler.runtime.standby import Standby
from scheduler.runtime.term import Term
from scheduler.runtime.uids import mint_uid


class Seat:
    """`sit` when the part that this instance plays changes."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._part: Term | Standby | None = None
        self._taken = asyncio.Event()

    def sit(self, part: Term | Standby | None) -> None:
        self._part = part
        if part is not None:
            self._taken.set()

    async def taken(self) -> None:
        """Waits until this instance has played a part for the first time."""
        await self._taken.wait()

    @property
    def instance(self) -> str:
        return self._instance

    @property
    def leading(self) -> bool:
        return isinstance(self._part, Term) and self._part.leading

    @property
    def leader(self) -> LeaderInfo | None:
        return self._part.leader if self._part is not None else None

    @property
    def age_s(self) -> float | None:
        match self._part:
            case Term():
                return 0.0 if self._part.leading else None
            case Standby():
                return self._part.age_s
            case None:
                return None

    @property
    def views(self) -> Views:
        if self._part is None:
            raise InvariantBroken("views were asked for before there is anything to see")
        return self._part.views

    def mint_uid(self) -> Uid:
        return mint_uid()

    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        if isinstance(self._part, Term) and self._part.leading:
            return await self._part.ask(make)
        return Answer(Ticket(0), Verdict.UNAVAILABLE, "this instance does not lead")
