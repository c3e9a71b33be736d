"""Commit lanes: which write goes into which transaction, and what a transaction's outcome means.

Writes of one key always take the same lane, and a lane has one transaction in flight. Each
transaction compares the mod revision that the last one gave to the lane's own key and puts a new
mark there, so a copy that arrives late finds another revision and does nothing: nothing lands over
a newer value. What gathers meanwhile goes into the lane's next transaction, a later write of a key
in place of an earlier one.

A transaction is never rebuilt once it was handed out: whoever got no clear answer, or a refusal,
sends the very same one again. Also after a refusal, since etcd answers "no space" to the write that
crosses its quota and applies it all the same. If the compare fails then, the mark tells: ours means
that an earlier copy was committed, any other that somebody else writes here.

There are two classes of writes. Launches leave after the rest, but some in each transaction, so
that neither keeps the other waiting for ever. A submit is done when all its rows are, whatever
became of those before it.

Pure: no I/O, no clock. Neighbour: `etcd.py` carries the transactions.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from scheduler.errors import TermEnded

LANES = 4

ROWS_MAX = 126
"""Keys in a transaction. With the lane's own it stays under etcd's default of 128 operations."""

LAUNCHES_MIN = ROWS_MAX // 4
"""Launches in a transaction, as far as there are any, however much else waits."""

BYTES_MAX = 1_000_000
"""Keys and values in a transaction; etcd takes 1.5 MiB. A record that alone has more never
leaves."""

ROW_BYTES = 32
"""What a row needs on the wire besides key and value, and a little more."""

Row = tuple[bytes, bytes | None]
"""A key and its value; None removes it."""


class Transaction(NamedTuple):
    """To be sent, unchanged, until its outcome is known. `expects` is the mod revision of the
    lane's key (0: it does not exist), `mark` what is put there."""

    lane: int
    expects: int
    mark: bytes
    rows: Sequence[Row]


class Found(NamedTuple):
    """What a transaction whose compare failed found: the leader key's create revision (0: there is
    none), and the lane's mark with its mod revision."""

    term: int
    mark: bytes
    revision: int


def lane_of(key: bytes) -> int:
    return crc32(key) % LANES


class _Ticket:
    """A submit: how many of its rows are not durable yet."""

    __slots__ = ("done", "left")

    def __init__(self, done: Callable[[], None]) -> None:
        self.done = done
        self.left = 0


class _Waiting:
    """The newest value of a key, and the submits that it will make durable."""

    __slots__ = ("tickets", "value")

    def __init__(self, value: bytes | None, ticket: _Ticket) -> None:
        self.value = value
        self.tickets = [ticket]


class _Lane:
    __slots__ = ("count", "first", "in_flight", "launches", "leaving", "revision")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.count = 0
        self.first: dict[bytes, _Waiting] = {}
        self.launches: dict[bytes, _Waiting] = {}
        self.in_flight: Transaction | None = None
        self.leaving: list[_Waiting] = []

    def add(self, key: bytes, value: bytes | None, launch: bool, ticket: _Ticket) -> None:
        """A key waits in one class. Who came first keeps its place; what a status waits for does
        not become a launch by what is written later."""
        waiting = self.first.get(key)
        if waiting is None and self.launches:
            waiting = self.launches.get(key)
            if waiting is not None and not launch:
                self.first[key] = self.launches.pop(key)
        if waiting is not None:
            waiting.value = value
            waiting.tickets.append(ticket)
        elif launch:
            self.launches[key] = _Waiting(value, ticket)
        else:
            self.first[key] = _Waiting(value, ticket)

    def take(self, key: bytes) -> _Waiting | None:
        return self.first.pop(key, None) or self.launches.pop(key, None)

    def fill(self) -> list[Row]:
        """Moves what fits from waiting to leaving: the launches' share, the rest, launches."""
        share = min(LAUNCHES_MIN, len(self.launches))
        rows: list[Row] = []
        room = self._move(self.launches, share, BYTES_MAX, rows)
        room = self._move(self.first, ROWS_MAX - len(rows), room, rows)
        self._move(self.launches, ROWS_MAX - len(rows), room, rows)
        return rows

    def _move(self, waiting: dict[bytes, _Waiting], count: int, room: int, rows: list[Row]) -> int:
        """Gives the bytes that are left."""
        before = len(rows)
        for key, one in islice(waiting.items(), count):
            size = _size(key, one.value)
            if size > room:
                break
            room -= size
            rows.append((key, one.value))
            self.leaving.append(one)
        for key, _ in islice(rows, before, None):
            del waiting[key]
        return room


def _size(key: bytes, value: bytes | None) -> int:
    return len(key) + ROW_BYTES + (len(value) if value is not None else 0)


class Lanes:
    """All lanes of one term. Whoever drives it sends what `next` gives, one a lane, and tells each
    outcome; `released` then gives what to call."""

    def __init__(self, term: int, revisions: Sequence[int], author: str = "") -> None:
        """`revisions` are the mod revisions of the lanes' keys, 0 where there is none; read after
        the term began. `author` tells two writers of one term apart."""
        self._term = term
        self._author = author
        self._lanes = [_Lane(revision) for revision in revisions]
        self._dones: list[Callable[[], None]] = []
        self._too_large: dict[bytes, _Waiting] = {}
        self._ended = False

    @property
    def pending(self) -> int:
        """Keys with a value that is not durable yet; one with a value in flight and another one
        behind it counts twice."""
        lanes = self._lanes
        waiting = sum(len(own.first) + len(own.launches) + len(own.leaving) for own in lanes)
        return waiting + len(self._too_large)

    @property
    def too_large(self) -> tuple[bytes, int] | None:
        """A key whose value no transaction can hold, and its size. It stays until it is written
        anew, and keeps its submit from being done."""
        for key, waiting in self._too_large.items():
            return key, _size(key, waiting.value)
        return None

    def submit(
        self,
        rows: Iterable[tuple[bytes, bytes | None]],
        done: Callable[[], None],
        *,
        launches: bool = False,
    ) -> None:
        ticket = _Ticket(done)
        lanes = self._lanes
        count = 0
        for key, value in rows:
            count += 1
            if self._too_large or (value is not None and len(value) > BYTES_MAX // 2):
                self._add_with_care(key, value, launches, ticket)
            else:
                lanes[crc32(key) % LANES].add(key, value, launches, ticket)
        ticket.left = count
        if not count:
            self._dones.append(done)

    def _add_with_care(
        self, key: bytes, value: bytes | None, launch: bool, ticket: _Ticket
    ) -> None:
        """The same when it, or an earlier value of its key, may be too large to leave."""
        lane = self._lanes[lane_of(key)]
        before = self._too_large.pop(key, None)
        if _size(key, value) > BYTES_MAX:
            before = before or lane.take(key)
            after = self._too_large[key] = _Waiting(value, ticket)
        else:
            lane.add(key, value, launch, ticket)
            after = lane.first.get(key) or lane.launches[key]
        if before is not None:
            after.tickets += before.tickets

    def next(self, lane: int) -> Transaction | None:
        """The next transaction of a lane; None while one is in flight, or nothing waits."""
        own = self._lanes[lane]
        if self._ended or own.in_flight is not None or not (own.first or own.launches):
            return None
        own.count += 1
        mark = f"{self._term}.{self._author}.{own.count}".encode()
        own.in_flight = Transaction(lane, own.revision, mark, own.fill())
        return own.in_flight

    def committed(self, lane: int, revision: int) -> None:
        """The lane's transaction was done, at this revision of the store."""
        own = self._lanes[lane]
        for waiting in own.leaving:
            for ticket in waiting.tickets:
                ticket.left -= 1
                if not ticket.left:
                    self._dones.append(ticket.done)
        own.leaving.clear()
        own.in_flight = None
        own.revision = revision

    def compare_failed(self, lane: int, found: Found) -> None:
        """The lane's transaction found other revisions than it expects. Raises `TermEnded` unless
        an earlier copy of it was committed and the term goes on."""
        own = self._lanes[lane]
        if found.term != self._term:
            self._ended = True
            raise TermEnded(f"the term {self._term} has ended: {_said_of(found.term)}")
        if own.in_flight is None or found.mark != own.in_flight.mark:
            self._ended = True
            raise TermEnded(f"another process writes in the term {self._term}, in lane {lane}")
        self.committed(lane, found.revision)

    def released(self) -> list[Callable[[], None]]:
        """What to call now: of each submit that has become durable. Nothing once the term has
        ended: nobody may speak for it any more."""
        dones, self._dones = self._dones, []
        return [] if self._ended else dones


def _said_of(term: int) -> str:
    return f"the term {term} has begun" if term else "there is no leader"
