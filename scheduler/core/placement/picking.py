"""Chooses rows one instance at a time, where each choice bears on the next: counted constraints,
scores, and strategies other than bin-packing. Who needs none of these is placed by `matcher.py` in
one pass.

Rows that are alike in what changes with each choice (the values of attributes that are spread or
grouped by) form a line, in which they are sorted once. So each choice looks at the heads of lines,
of which there are as many as such values, and not at rows. As instances are placed, a line's score
only sinks and a row's room only shrinks, so a heap that is a little behind is put right by looking
again at what stands on top.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scheduler.core.model.job import Constraint, Operator, Strategy
from scheduler.core.placement.columns import Indexes, Mask
from scheduler.core.placement.group import Group, counted_among
from scheduler.core.placement.rows import CPU_MILLI_IN_MEM_MILLI, FREE_MAX, Column, Rows
from scheduler.core.placement.scores import Evenness, liking
from scheduler.core.placement.tally import Tallies, Tally, tallies_of

RANDOM_MAX = 1 << 62

Key = tuple[int, int, int]
"""How well the head of a line does, now: less is better."""
FIRST: Key = (-(1 << 62), 0, 0)
"""Before all others, to be looked at."""


class Entry(NamedTuple):
    """A row with room for `room` instances more. The least is the best."""

    disliking: int
    rank: int
    row: int
    room: int


class _Line:
    """Rows that are alike, the best first. `used` are those that took an instance already."""

    __slots__ = ("_at", "_entries", "_used")

    def __init__(self, entries: Column) -> None:
        self._entries = entries
        self._at = 0
        self._used: list[Entry] = []

    def head(self, is_open: Callable[[int], bool]) -> Entry | None:
        """The best row that is still open; what stood before it is dropped for good."""
        fresh = None
        while fresh is None and self._at < len(self._entries):
            fresh = Entry(*self._entries[self._at].tolist())
            if not is_open(fresh.row):
                fresh = None
                self._at += 1
        while self._used and not is_open(self._used[0].row):
            heapq.heappop(self._used)
        if self._used and (fresh is None or self._used[0] < fresh):
            return self._used[0]
        return fresh

    def take(self, head: Entry, rank: int) -> None:
        """One instance goes to the head; with the room that is left its row ranks anew."""
        if self._used and self._used[0] is head:
            heapq.heappop(self._used)
        else:
            self._at += 1
        if head.room > 1:
            again = Entry(head.disliking, rank, head.row, head.room - 1)
            heapq.heappush(self._used, again)


class _Floor:
    """A `group_by`: only values that have as few tasks as any may have one more."""

    __slots__ = ("_at_least", "_expected", "least", "tally")

    def __init__(self, constraint: Constraint, tally: Tally) -> None:
        self.tally = tally
        self._expected = constraint.count
        self._look()

    def _look(self) -> None:
        tally = self.tally
        self.least = tally.least(self._expected)
        self._at_least = int((tally.by_code[tally.seen] == self.least).sum())
        self._at_least += list(tally.elsewhere.values()).count(self.least)
        self._at_least += max(self._expected - tally.values, 0)

    def allows(self, row: int) -> bool:
        return self.tally.of(row) <= self.least

    def rises(self) -> bool:
        """One of the least values has one more task; True when no other was as low."""
        self._at_least -= 1
        if self._at_least:
            return False
        self._look()
        return True


class _Limit(NamedTuple):
    """A `unique` or `max_per`: so many tasks a value at most."""

    tally: Tally
    most: int


def pick(
    rows: Rows, group: Group, fitting: Mask, capacity: Column, count: int
) -> tuple[tuple[int, int], ...]:
    """The rows that take `count` instances, in the order in which they were chosen first, and how
    many each takes.

    `fitting` are the rows that hold an instance and fulfil what is not counted; `capacity` says how
    many each of all rows would take."""
    tallies = tallies_of(rows, group, fitting)
    open_rows = fitting.copy()
    for constraint in counted_among(group.constraints):
        tally = tallies[constraint.attribute]
        if constraint.operator is Operator.GROUP_BY:
            open_rows &= tally.codes >= 0
            continue
        open_rows &= tally.allowed(constraint)[tally.codes]
        if constraint.operator is Operator.CLUSTER:
            open_rows &= _roomiest(tally, open_rows, capacity, count)
    candidates = rows.order[open_rows[rows.order]]
    taken = _Picker(rows, group, tallies).pick(candidates, capacity[candidates], count)
    return tuple(taken.items())


def _roomiest(tally: Tally, open_rows: Mask, capacity: Column, count: int) -> Mask:
    """Where a `cluster` may choose its value, the rows of the one with most room for it."""
    if tally.by_code.any():
        return open_rows
    room = np.zeros(len(tally.by_code), np.int64)
    np.add.at(room, tally.codes[open_rows], capacity[open_rows])
    best = int(np.argmax(np.minimum(room, count)))
    return np.equal(tally.codes, best)


class _Picker:
    def __init__(self, rows: Rows, group: Group, tallies: Tallies) -> None:
        self._rows = rows
        self._group = group
        self._tallies = list(tallies.values())
        counted = counted_among(group.constraints)
        self._limits = [
            _Limit(tallies[one.attribute], 1 if one.operator is Operator.UNIQUE else one.count)
            for one in counted
            if one.operator in (Operator.UNIQUE, Operator.MAX_PER)
        ]
        self._floors = [
            _Floor(one, tallies[one.attribute])
            for one in counted
            if one.operator is Operator.GROUP_BY
        ]
        self._evenness = [
            Evenness(rows, spread, tallies[spread.attribute], group.instances)
            for spread in group.prefer.spread
        ]
        self._random = np.random.default_rng(group.seed)

    def pick(self, candidates: Indexes, capacity: Column, count: int) -> dict[int, int]:
        taken: defaultdict[int, int] = defaultdict(int)
        lines = self._lines(candidates, capacity)
        heap = [(FIRST, at) for at in range(len(lines))]
        barred: list[int] = []
        while heap and count:
            key, at = heap[0]
            head = lines[at].head(self._is_open)
            if head is None:
                heapq.heappop(heap)
            elif not all(floor.allows(head.row) for floor in self._floors):
                heapq.heappop(heap)
                barred.append(at)
            elif (now := self._key(head)) > key:
                heapq.heapreplace(heap, (now, at))
            else:
                lines[at].take(head, self._rank_again(head))
                taken[head.row] += 1
                count -= 1
                heapq.heapreplace(heap, (FIRST, at))
                if self._count(head.row):
                    heap += [(FIRST, other) for other in barred]
                    heapq.heapify(heap)
                    barred.clear()
        return dict(taken)

    def _lines(self, candidates: Indexes, capacity: Column) -> list[_Line]:
        disliking = -liking(self._rows, self._group)[candidates]
        ranks = self._ranks(candidates)
        tallies = [floor.tally for floor in self._floors] + [one.tally for one in self._evenness]
        told_apart = [tally.codes[candidates].astype(np.int64) for tally in tallies]
        order = np.lexsort([candidates, ranks, disliking, *told_apart])
        entries = np.stack([disliking, ranks, candidates, capacity], axis=1)[order]
        changes = np.zeros(len(candidates), np.bool_)
        for codes in told_apart:
            changes[1:] |= np.diff(codes[order]) != 0
        return [_Line(alike) for alike in np.split(entries, np.flatnonzero(changes))]

    def _ranks(self, candidates: Indexes) -> Column:
        """The lower the earlier among rows that are liked alike."""
        match self._group.prefer.strategy:
            case Strategy.BIN_PACK:
                return np.arange(len(candidates), dtype=np.int64)
            case Strategy.SPREAD:
                free = self._rows.free
                ranks = FREE_MAX * (free("gpus") > 0).astype(np.int64)
                ranks -= free("cpus") * CPU_MILLI_IN_MEM_MILLI + free("mem")
                return ranks[candidates]
            case Strategy.RANDOM:
                return self._random.integers(RANDOM_MAX, size=len(candidates))

    def _rank_again(self, head: Entry) -> int:
        match self._group.prefer.strategy:
            case Strategy.BIN_PACK:
                return head.rank
            case Strategy.SPREAD:
                amounts = self._group.amounts
                return head.rank + max(amounts.cpus * CPU_MILLI_IN_MEM_MILLI + amounts.mem, 1)
            case Strategy.RANDOM:
                return int(self._random.integers(RANDOM_MAX))

    def _is_open(self, row: int) -> bool:
        return all(tally.of(row) < most for tally, most in self._limits)

    def _key(self, head: Entry) -> Key:
        evenness = sum([one.score(head.row) for one in self._evenness])
        return head.disliking - evenness, head.rank, head.row

    def _count(self, row: int) -> bool:
        """The row took one more; True when that opened values to others."""
        for tally in self._tallies:
            tally.place(row)
        return any([floor.rises() for floor in self._floors])
