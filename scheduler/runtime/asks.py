"""Requests on their way through the engine: each has a ticket, a deadline, and one answer."""

import asyncio
from collections.abc import Callable

from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import Command, Ticket
from scheduler.runtime.mailbox import Mailbox

ASK_TIMEOUT_S = 10.0
ASKS_MAX = 1000


class Asks:
    def __init__(self, mailbox: Mailbox, timeout_s: float) -> None:
        self._mailbox = mailbox
        self._timeout_s = timeout_s
        self._waiting: dict[Ticket, asyncio.Future[Answer]] = {}
        self._tickets = 0

    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        """See `protocols.Front.ask`."""
        self._tickets += 1
        ticket = Ticket(self._tickets)
        if self._mailbox.full or len(self._waiting) >= ASKS_MAX:
            return Answer(ticket, Verdict.UNAVAILABLE, "too much is waiting; try again soon")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        try:
            self._mailbox.put(make(ticket))
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            return Answer(
                ticket,
                Verdict.UNAVAILABLE,
                f"not stored within {self._timeout_s:g} s; it may still take effect",
            )
        finally:
            del self._waiting[ticket]

    def answer(self, answer: Answer) -> None:
        """Give an answer to whoever still waits for it."""
        future = self._waiting.get(answer.ticket)
        if future is not None and not future.done():
            future.set_result(answer)

    def end(self, reason: str) -> None:
        """Nobody will be answered any more."""
        for ticket, future in self._waiting.items():
            if not future.done():
                future.set_result(Answer(ticket, Verdict.UNAVAILABLE, reason))
