"""Which submits share the next transaction of a store that has one at a time.

There are two classes. Launches leave after the rest, so that a status waits for no more of them
than are in flight; where much else leaves, some go along, and those that were passed over once
come with the next transaction. Submits of a class leave in order, and whole.

The values of one key leave in the order of their submits. So launches leave with the rest when
something else is written to a key of theirs.

Pure: no I/O, no clock. Neighbour: `sqlite.py` carries the transactions.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

WRITES_MAX = 5_000
"""Writes in a transaction."""

LAUNCHES_BESIDE = 2
"""Launches that go along with each other write, unless some were passed over."""

Values = Mapping[str, bytes | None]


class Transaction(NamedTuple):
    """The last value of each path, None to remove it, and what to call when that is durable."""

    values: Values
    dones: Sequence[Callable[[], None]]


class _Part(NamedTuple):
    """A submit, or a part of a large one, of which the last has its `done`."""

    values: dict[str, bytes | None]
    done: Callable[[], None] | None


class GroupCommit:
    def __init__(self) -> None:
        self._first: deque[_Part] = deque()
        self._launches: deque[_Part] = deque()
        self._passed_over = False

    @property
    def pending(self) -> int:
        """Writes that wait for a transaction; a key that was written twice counts twice."""
        return sum(len(part.values) for part in chain(self._first, self._launches))

    @property
    def only_launches(self) -> bool:
        """Launches wait, and nothing else."""
        return bool(self._launches) and not self._first

    def add(
        self, values: dict[str, bytes | None], done: Callable[[], None], *, launches: bool
    ) -> None:
        waiting = self._launches if launches else self._first
        if not launches and self._written_by_launches(values):
            self._first += self._launches
            self._launches.clear()
        if len(values) > WRITES_MAX:
            rows = list(values.items())
            last = (len(rows) - 1) // WRITES_MAX * WRITES_MAX
            for start in range(0, last, WRITES_MAX):
                waiting.append(_Part(dict(rows[start : start + WRITES_MAX]), None))
            values = dict(rows[last:])
        waiting.append(_Part(values, done))

    def _written_by_launches(self, values: Values) -> bool:
        return any(not part.values.keys().isdisjoint(values) for part in self._launches)

    def next(self) -> Transaction | None:
        """The next transaction; None when nothing waits. The last one must be durable by then."""
        parts, room = _take(self._first, WRITES_MAX)
        if not self._first:
            if parts and not self._passed_over:
                room = min(room, (WRITES_MAX - room) * LAUNCHES_BESIDE)
            launches, _ = _take(self._launches, room)
            parts += launches
            self._passed_over = bool(self._launches) and not launches
        if not parts:
            return None
        values = parts[0].values
        for part in parts[1:]:
            values.update(part.values)
        return Transaction(values, [part.done for part in parts if part.done is not None])


def _take(waiting: deque[_Part], room: int) -> tuple[list[_Part], int]:
    """What fits into so much room, and the room that is left."""
    parts = []
    while waiting and len(waiting[0].values) <= room:
        part = waiting.popleft()
        room -= len(part.values)
        parts.append(part)
    return parts, room
