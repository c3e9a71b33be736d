"""A daemon's life between start and stop: waiting for the office, holding it, losing it.

    one instance on a store of its own:   campaign ─► load ─► term ─► end
    several on a shared store:            stand by ─► elected ─► seen our own term ─► term ─┐
                                             ▲──────────── the term is over ◄───────────────┘

What ends a term without a fault of ours (the lease, a newer term) leads back to standing by; every
other error ends the daemon. There is no undo: the engine of a lost term is dropped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec
import structlog

from scheduler.core.policy import Policy
from scheduler.core.state import State
from scheduler.errors import ElectionError, EtcdError, TermEnded
from scheduler.runtime.garbage import walked_once
from scheduler.runtime.protocols import Election, Following, Store
from scheduler.runtime.seat import Seat
from scheduler.runtime.standby import Standby
from scheduler.runtime.term import Term

log = structlog.get_logger()

T = TypeVar("T")

MakeTerm = Callable[[int, Store, State | None], Term]
MakeStore = Callable[[int], Store]
"""The store for one term, not opened yet."""

SEEN_S_MAX = 10.0
"""How long after an election our own leadership may take to come by in the feed."""
AGAIN_S_MIN = 0.5
AGAIN_S_MAX = 8.0


class Parts(msgspec.Struct, frozen=True):
    """What a life is made of."""

    seat: Seat
    election: Election
    make_store: MakeStore
    make_term: MakeTerm
    policy: Policy


async def lead_alone(parts: Parts, number: int, stop: asyncio.Event) -> None:
    """The one term of a daemon that nobody else can follow, until `stop` is set. Raises what ends
    the daemon, alone or in a group."""
    await _hold_office(parts, number, None, stop)


async def live_among_others(parts: Parts, following: Following, stop: asyncio.Event) -> None:
    """Standing by and leading, term after term, until `stop` is set. Raises as `lead_alone`."""
    pause_s = AGAIN_S_MIN
    while not stop.is_set():
        elected = None
        with _back_to_standing_by():
            elected = await _stand_by(parts, following, stop)
            if elected is not None:
                await _hold_office(parts, *elected, stop)
        # Who is refused all that is stored asks less and less often: a password costs etcd much.
        heard = elected is not None or parts.seat.age_s is not None
        pause_s = AGAIN_S_MIN if heard else min(2 * pause_s, AGAIN_S_MAX)
        if not stop.is_set():
            await _unless(stop, asyncio.sleep(pause_s))


@contextlib.contextmanager
def _back_to_standing_by() -> Iterator[None]:
    """A term that ends, or a store that does not answer, is no reason to end the daemon."""
    try:
        yield
    except* (TermEnded, ElectionError, EtcdError) as group:
        log.warning("term.lost", reason="; ".join(str(error) for error in _leaves(group)))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _stand_by(
    parts: Parts, following: Following, stop: asyncio.Event
) -> tuple[int, State] | None:
    """Follow until elected; gives the term and the state, None when told to stop first."""
    standby = Standby(parts.policy)
    parts.seat.sit(standby)
    async with asyncio.TaskGroup() as group:
        feed = group.create_task(
            following.run(standby.on_writes, standby.on_leader, standby.on_alive)
        )
        try:
            number = await _unless(stop, parts.election.campaign())
            if number is None:
                return None
            async with asyncio.timeout(SEEN_S_MAX):
                return number, await standby.sees_term(number)
        except BaseException as error:
            # Who was elected and cannot begin would keep everybody else out, itself included.
            await parts.election.resign()
            if isinstance(error, TimeoutError):
                raise TermEnded("our own leadership did not come by in the feed") from None
            raise
        finally:
            feed.cancel()


async def _hold_office(parts: Parts, number: int, state: State | None, stop: asyncio.Event) -> None:
    election = parts.election
    try:
        async with _opened(parts.make_store(number)) as store:
            term = parts.make_term(number, store, state)
            if state is None:
                await term.load()
            parts.seat.sit(term)
            with walked_once():
                async with asyncio.TaskGroup() as group:
                    office = group.create_task(election.watch())
                    work = group.create_task(term.run(stop))
                    await work
                    office.cancel()
    finally:
        parts.seat.sit(None)
        await election.resign()


@contextlib.asynccontextmanager
async def _opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The work's result, or None when `stop` is set first; then the work is cancelled."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
