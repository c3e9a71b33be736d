"""Records in etcd, for several daemons of which one leads.

Each transaction compares the term (the create revision of the leader key), so that no write of an
ended term is applied, and its lane's last revision, so that none lands late. `lanes.py` decides
what goes into a transaction and what an outcome means; here they are carried, again and again
until their outcome is known.

It must not decide who leads (that is `election/`). Neighbours: `etcd_layout.py` says where things
stand, `etcd_follow.py` reads what the one who leads writes.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from scheduler.core.records import Record, Write
from scheduler.errors import (
    EtcdRefusal,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnknownOutcome,
    OfferdError,
    TermEnded,
    first_of,
)
from scheduler.etcd3.client import Client
from scheduler.etcd3.transactions import Compare, Operation, create, delete, get, mod, put
from scheduler.etcd3.values import Got, KeyValue, OperationResult, TransactionResult
from scheduler.store.etcd_layout import SCHEMA, Layout
from scheduler.store.lanes import BYTES_MAX, LANES, Found, Lanes, Transaction
from scheduler.store.records import decode, row_of

log = structlog.get_logger()

T = TypeVar("T")

PAGE_RECORDS = 10_000

OPEN_S_MAX = 10.0
UNKNOWN_S_MIN = 0.05
UNKNOWN_S_MAX = 1.0
REFUSED_S_MIN = 0.2
REFUSED_S_MAX = 5.0

SIZE = "size"
"""Who refuses, besides the lanes: a record that no transaction can hold."""


class EtcdStore:
    """See `runtime.protocols.Store`. `begin` comes first, with the term that the election gave.

    The client stays its maker's: `close` leaves it open.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        """`prefix` as `etcd_layout.prefix_of` gives it."""
        self._client = client
        self._layout = Layout(prefix)
        self._term = 0
        self._lanes = Lanes(0, [0] * LANES)
        self._submitted = [asyncio.Event() for _ in range(LANES)]
        self._refusals = _Refusals(lambda _: None, lambda: None)

    @property
    def pending(self) -> int:
        """Values that are not durable yet. `submit` never refuses, so this is what the one who
        submits must bound."""
        return self._lanes.pending

    @property
    def term(self) -> int:
        return self._term

    def begin(self, term: int) -> None:
        """The term in which everything is written from now on."""
        self._term = term

    async def open(self) -> None:
        """Raises `TermEnded`, `StoreUnreadable` for a layout of a newer version, and `EtcdError`
        when etcd gives no answer for ten seconds."""
        layout = self._layout
        try:
            async with asyncio.timeout(OPEN_S_MAX):
                schema, *commits = await self._read(layout.schema, *layout.commits)
                if schema is None:
                    await self._put_schema()
        except TimeoutError:
            raise EtcdUnavailable(f"etcd gave no answer for {OPEN_S_MAX:.0f} s") from None
        if schema is not None:
            layout.check_schema(schema.value)
        revisions = [item.mod_revision if item is not None else 0 for item in commits]
        self._lanes = Lanes(self._term, revisions, secrets.token_hex(4))

    async def _read(self, *keys: bytes) -> Sequence[KeyValue | None]:
        """What this term finds: nothing of an earlier one can be written any more."""
        result = await self._until_known(
            lambda: self._client.transaction(
                [create(self._layout.leader, self._term)], [get(key) for key in keys], []
            )
        )
        if not result.succeeded:
            raise TermEnded(f"the term {self._term} has ended before it began to write")
        return [_item(response) for response in result.responses]

    async def _put_schema(self) -> None:
        layout = self._layout
        await self._until_known(
            lambda: self._client.transaction(
                [create(layout.leader, self._term), create(layout.schema, 0)],
                [put(layout.schema, b"%d" % SCHEMA)],
                [],
            )
        )

    async def _until_known(self, call: Callable[[], Awaitable[T]]) -> T:
        """For what may be done twice."""
        while True:
            try:
                return await call()
            except (EtcdUnavailable, EtcdUnknownOutcome) as error:
                log.info("store.no_answer", reason=str(error))
            await asyncio.sleep(UNKNOWN_S_MAX)

    async def load(self) -> AsyncIterator[Sequence[Record]]:
        """All records as of one revision, in pages: the framework's, then jobs, then instances.

        Raises `StoreUnreadable` with the key of what cannot be read, and `EtcdError`.
        """
        layout = self._layout
        async for page in self._client.get_prefix(layout.prefix, page_size=PAGE_RECORDS):
            paths = ((layout.record_path(item.key), item.value) for item in page.items)
            records = [decode(path, value) for path, value in paths if path is not None]
            if records:
                yield records

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None:
        prefix = self._layout.prefix
        rows = []
        for write in writes:
            path, value = row_of(write)
            rows.append((prefix + path.encode(), value))
        self._lanes.submit(rows, done, launches=launches)
        for submitted in self._submitted:
            submitted.set()

    async def run(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        """Commits, until it is cancelled. Raises `TermEnded` when another term began, or the leader
        key is gone: what is pending then stays undone."""
        self._refusals = _Refusals(refusing, recovered)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in range(LANES):
                    group.create_task(self._drive(lane), name=f"store.lane.{lane}")
        except ExceptionGroup as failures:
            ours = failures.subgroup(OfferdError)
            if ours is None:
                raise
            raise first_of(ours) from None

    async def _drive(self, lane: int) -> None:
        submitted = self._submitted[lane]
        while True:
            submitted.clear()
            self._look_at_sizes()
            while (transaction := self._lanes.next(lane)) is not None:
                await self._commit(transaction)
                self._refusals.remove(lane)
                self._release()
            self._release()
            await submitted.wait()

    def _release(self) -> None:
        for done in self._lanes.released():
            done()

    def _look_at_sizes(self) -> None:
        found = self._lanes.too_large
        if found is None:
            self._refusals.remove(SIZE)
            return
        key, size = found
        path = self._layout.record_path(key)
        self._refusals.add(
            SIZE, f"the record {path!r} is too large: {size} bytes; at most {BYTES_MAX} can be kept"
        )

    async def _commit(self, transaction: Transaction) -> None:
        """Returns when it is durable. The same is sent until its outcome is known: a refusal is
        none, since etcd says "no space" of the write that crosses its quota, and keeps it."""
        compare, success, failure = self._wire(transaction)
        pause_s = 0.0
        while True:
            try:
                result = await self._client.transaction(compare, success, failure)
            except (EtcdUnavailable, EtcdUnknownOutcome) as error:
                log.info("store.outcome_unknown", lane=transaction.lane, reason=str(error))
                pause_s = min(max(2 * pause_s, UNKNOWN_S_MIN), UNKNOWN_S_MAX)
                await asyncio.sleep(pause_s)
            except EtcdRefused as error:
                if error.reason is not EtcdRefusal.OVERLOADED:
                    self._refusals.add(transaction.lane, str(error))
                pause_s = min(max(2 * pause_s, REFUSED_S_MIN), REFUSED_S_MAX)
                await self._refusals.pause(pause_s)
            else:
                self._settle(transaction, result)
                return

    def _wire(
        self, transaction: Transaction
    ) -> tuple[Sequence[Compare], Sequence[Operation], Sequence[Operation]]:
        leader, commit = self._layout.leader, self._layout.commits[transaction.lane]
        operations: list[Operation] = [put(commit, transaction.mark)]
        operations += [
            put(key, value) if value is not None else delete(key) for key, value in transaction.rows
        ]
        compare = [create(leader, self._term), mod(commit, transaction.expects)]
        return compare, operations, [get(leader), get(commit)]

    def _settle(self, transaction: Transaction, result: TransactionResult) -> None:
        if result.succeeded:
            self._lanes.committed(transaction.lane, result.revision)
            return
        leader, commit = map(_item, result.responses)
        found = Found(
            leader.create_revision if leader is not None else 0,
            commit.value if commit is not None else b"",
            commit.mod_revision if commit is not None else 0,
        )
        self._lanes.compare_failed(transaction.lane, found)

    async def close(self) -> None:
        """What is pending is not written: nobody was told that it is durable."""


class _Refusals:
    """Who refuses now: told once when the first does, and once when nobody does any more."""

    def __init__(self, refusing: Callable[[str], None], recovered: Callable[[], None]) -> None:
        self._refusing = refusing
        self._recovered = recovered
        self._by: set[int | str] = set()
        self._fewer = asyncio.Event()

    def add(self, who: int | str, reason: str) -> None:
        if not self._by:
            self._refusing(reason)
        self._by.add(who)

    def remove(self, who: int | str) -> None:
        if who in self._by:
            self._by.remove(who)
            self._fewer.set()
            if not self._by:
                self._recovered()

    async def pause(self, at_most_s: float) -> None:
        """Before the next try: what one got through, the others need not wait for."""
        self._fewer.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._fewer.wait()


def _item(response: OperationResult) -> KeyValue | None:
    return response.item if isinstance(response, Got) else None
