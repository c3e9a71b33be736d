"""Who leads, by a key in etcd that a lease holds: whoever creates it leads until it is gone.

The term is the revision that created the key. The lease is kept on connections of its own, and the
office is given up before the lease can have ended: its deadline counts from when a keepalive was
sent, on a clock that goes on while the machine sleeps. What was lost stays lost: a process that was
held up finds itself without the office, even if etcd has not noticed.

It must not touch records; the store compares the term in each of its transactions. Neighbour:
`open.py` chooses it by the setting `store`.
"""

import asyncio
import contextlib
import math
import random
from dataclasses import dataclass
from typing import Final, Never

import msgspec
import structlog

from scheduler.core.candidate import Candidate
from scheduler.errors import (
    Compacted,
    ElectionError,
    EtcdError,
    EtcdRefusal,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnknownOutcome,
)
from scheduler.etcd3.client import Client
from scheduler.etcd3.leases import LeaseKeeper, boot_time_s
from scheduler.etcd3.transactions import create, get, put
from scheduler.etcd3.values import Got, Lease, LeaseEnd, TransactionResult

log = structlog.get_logger()

TTL_S: Final = 3
MARGIN_SHARE: Final = 0.1
"""Of the time granted: how long before the lease can have ended the office is given up."""

RESIGN_S_MAX: Final = 0.5
RETRY_S_MIN: Final = 0.1
RETRY_S_MAX: Final = 2.0
LOOK_S_MIN: Final = 0.01

_HOPELESS: Final = frozenset(
    {EtcdRefusal.PERMISSION, EtcdRefusal.CREDENTIALS, EtcdRefusal.INVALID, EtcdRefusal.TOO_LARGE}
)
"""Refusals that another try does not change."""


@dataclass(frozen=True, slots=True)
class _Candidacy:
    """A lease, kept from the start, with which the key is, or shall be, created."""

    lease: Lease
    keeper: LeaseKeeper
    keeping: asyncio.Task[LeaseEnd]


class EtcdElection:
    """See `runtime.protocols.Election`. The client stays its maker's."""

    def __init__(
        self, client: Client, prefix: str, info: Candidate, *, ttl_s: float = TTL_S
    ) -> None:
        """`prefix` is that of the store. `ttl_s` is a wish: etcd grants whole seconds, and may
        grant more."""
        self._client = client
        self._key: Final = f"{prefix}leader".encode()
        self._value: Final = msgspec.json.encode(info)
        self._ttl_s = math.ceil(ttl_s)
        self._office: _Candidacy | None = None
        self._lost = False
        self._term = 0

    # --- in office -------------------------------------------------------------------------------

    def leads(self) -> bool:
        """Whether the office is certainly held now. Asked before anything leaves; once it is False,
        it stays so until the next campaign is won."""
        office = self._office
        if office is None or self._lost:
            return False
        self._lost = office.keeping.done() or boot_time_s() >= self.deadline()
        return not self._lost

    def deadline(self) -> float:
        """Until when the office is held, as `boot_time_s` counts; 0 without one."""
        if self._office is None:
            return 0.0
        return self._office.keeper.deadline_s - MARGIN_SHARE * self._office.lease.ttl_s

    async def watch(self) -> Never:
        """Raises `ElectionError` as soon as the office is lost."""
        office = self._office
        if office is None:
            raise ElectionError("the office is not held")
        passing = asyncio.create_task(self._deadline_passes())
        going = asyncio.create_task(self._key_goes())
        try:
            looks = {office.keeping, passing, going}
            await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
            self._lost = True
            if going.done():
                going.result()
                why = "its key is gone"
            elif office.keeping.done() and not office.keeping.cancelled():
                why = f"its lease ended ({office.keeping.result().value})"
            else:
                why = "etcd has not confirmed it in time"
        finally:
            passing.cancel()
            going.cancel()
            await asyncio.gather(passing, going, return_exceptions=True)
        raise ElectionError(f"the term {self._term} is over: {why}")

    async def _deadline_passes(self) -> None:
        while self.leads():  # noqa: ASYNC110 - time passes without an event
            await asyncio.sleep(max(LOOK_S_MIN, self.deadline() - boot_time_s()))

    async def _key_goes(self) -> None:
        """Also when somebody deletes it by hand."""
        while True:
            try:
                found = await self._client.get(self._key)
                if found.item is None or found.item.create_revision != self._term:
                    return
                await self._next_change(found.revision + 1)
            except (Compacted, EtcdUnavailable, EtcdRefused) as error:
                log.info("election.key_not_watched", reason=str(error))
                await asyncio.sleep(RETRY_S_MIN)

    async def resign(self) -> None:
        """Gives the office back, for at most half a second; then the lease ends by itself."""
        office, self._office = self._office, None
        if office is None:
            return
        await self._withdraw(office)

    # --- campaigning -----------------------------------------------------------------------------

    async def campaign(self) -> int:
        """Waits until nobody leads, then leads; gives the term. Raises `ElectionError` when etcd
        refuses for good."""
        pause_s = RETRY_S_MIN
        while True:
            try:
                await self._until_vacant()
                if await self._stand():
                    return self._term
                pause_s = RETRY_S_MIN
                continue
            except EtcdRefused as error:
                if error.reason in _HOPELESS:
                    raise ElectionError(f"nobody can be elected: {error}") from error
                log.warning("election.refused", reason=str(error))
            except EtcdError as error:
                log.info("election.no_answer", reason=str(error))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def _until_vacant(self) -> None:
        while True:
            found = await self._client.get(self._key)
            if found.item is None:
                return
            with contextlib.suppress(Compacted):  # whether it changed meanwhile is asked for
                await self._next_change(found.revision + 1)

    async def _next_change(self, start_revision: int) -> None:
        async with self._client.watch_prefix(self._key, start_revision) as watch:
            async for batch in watch:
                if any(event.item.key == self._key for event in batch.events):
                    return

    async def _stand(self) -> bool:
        """Whether we were first. The lease is kept meanwhile, and ended if we were not."""
        lease = await self._client.lease(self._ttl_s)
        keeper = self._client.keeper(lease)
        candidacy = _Candidacy(lease, keeper, asyncio.create_task(keeper.keep(), name="lease"))
        try:
            self._term = await self._create(lease)
            if self._term:
                self._office, self._lost = candidacy, False
                log.info("election.won", term=self._term, ttl_s=lease.ttl_s)
        finally:
            if self._office is not candidacy:
                await self._withdraw(candidacy)
        return self.leads()

    async def _create(self, lease: Lease) -> int:
        """Gives the term; 0 if another one was first. Sent again where nobody can tell: then the
        key's lease does."""
        while True:
            try:
                result = await self._client.transaction(
                    [create(self._key, 0)],
                    [put(self._key, self._value, lease.lease_id)],
                    [get(self._key)],
                )
            except (EtcdUnknownOutcome, EtcdUnavailable):
                if boot_time_s() >= lease.deadline_s + self._ttl_s:
                    raise
                await asyncio.sleep(RETRY_S_MIN)
            else:
                return _term_of(result, lease)

    async def _withdraw(self, candidacy: _Candidacy) -> None:
        candidacy.keeping.cancel()
        await asyncio.gather(candidacy.keeping, return_exceptions=True)
        try:
            async with asyncio.timeout(RESIGN_S_MAX):
                await self._client.revoke(candidacy.lease)
        except (EtcdError, TimeoutError) as error:
            log.info("election.lease_left", lease_id=candidacy.lease.lease_id, reason=str(error))


def _term_of(result: TransactionResult, lease: Lease) -> int:
    if result.succeeded:
        return result.revision
    (found,) = result.responses
    if isinstance(found, Got) and found.item is not None:
        return found.item.create_revision if found.item.lease == lease.lease_id else 0
    return 0
