"""Chooses rows one instance at a time, where each choice bears on the next: counted constraints,
scores, and strategies other than bin-packing. Who needs none of these is placed by `matcher.py` in
one pass.

Rows with the same values of the attributes that are spread or grouped by form a line (`lines.py`),
so each choice looks at the heads of lines and not at rows. As instances are placed, a line's score
only sinks and a row's room only shrinks, so a heap that is a little behind is put right by looking
again at what stands on top. Only `group_by` lets in later what it barred.
"""

import heapq
from collections import defaultdict

import numpy as np

from scheduler.core.model.job import Constraint, Operator, Strategy
from scheduler.core.placement.columns import Indexes, Mask
from scheduler.core.placement.group import Group, counted_among
from scheduler.core.placement.lines import Entry, Key, Limits, Lines
from scheduler.core.placement.rows import CPU_MILLI_IN_MEM_MILLI, FREE_MAX, Column, Rows
from scheduler.core.placement.scores import Evenness, liking
from scheduler.core.placement.tally import Tallies, Tally, tallies_of

RANDOM_MAX = 1 << 62
FIRST: Key = (-(1 << 62), 0, 0)
"""Before all others, to be looked at."""


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


def pick(
    rows: Rows, group: Group, fitting: Mask, among: Mask, capacity: Column, count: int
) -> tuple[tuple[int, int], ...]:
    """The rows that take `count` instances, in the order in which they were chosen first, and how
    many each takes.

    `fitting` are the rows that hold an instance and fulfil what is not counted, `among` those of
    them that are to be used: the values of the others count too. `capacity` says how many each of
    all rows would take."""
    tallies = tallies_of(rows, group, fitting)
    open_rows = _heeding(group, tallies, among, capacity, count)
    candidates = rows.order[open_rows[rows.order]]
    taken = _Picker(rows, group, tallies).pick(candidates, capacity[candidates], count)
    return tuple(taken.items())


def _heeding(group: Group, tallies: Tallies, among: Mask, capacity: Column, count: int) -> Mask:
    """Those of the rows that may take an instance, now or when others have taken theirs. A
    `cluster` that may choose its value takes, of those that may have a task now, the one with most
    room."""
    counted = [(one, tallies[one.attribute]) for one in counted_among(group.constraints)]
    open_rows, open_now = among.copy(), among.copy()
    for constraint, tally in counted:
        allowed = tally.allowed(constraint)[tally.codes]
        open_now &= allowed
        # What is barred for the sake of others may be let in when those have caught up.
        open_rows &= tally.codes >= 0 if constraint.operator is Operator.GROUP_BY else allowed
    for constraint, tally in counted:
        if constraint.operator is Operator.CLUSTER and not tally.any:
            room = np.zeros(len(tally.by_code), np.int64)
            np.add.at(room, tally.codes[open_now], capacity[open_now])
            chosen = np.equal(tally.codes, np.argmax(np.minimum(room, count)))
            open_rows &= chosen
            open_now &= chosen
    return open_rows


class _Picker:
    def __init__(self, rows: Rows, group: Group, tallies: Tallies) -> None:
        self._rows = rows
        self._group = group
        self._tallies = list(tallies.values())
        counted = counted_among(group.constraints)
        self._limits = Limits(
            [
                (tallies[one.attribute], 1 if one.operator is Operator.UNIQUE else one.count)
                for one in counted
                if one.operator in (Operator.UNIQUE, Operator.MAX_PER)
            ]
        )
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
        keys = self._first_keys(lines)
        unopened = self._level_unopened(lines, keys)
        heap: list[tuple[Key, int]] = []
        barred: list[int] = []
        while count:
            while unopened and (not heap or tuple(keys[unopened[-1]].tolist()) < heap[0][0]):
                heapq.heappush(heap, (FIRST, unopened.pop()))
            if not heap:
                break
            key, number = heap[0]
            head = lines[number].head()
            if head is None:
                heapq.heappop(heap)
            elif not all(floor.allows(head.row) for floor in self._floors):
                heapq.heappop(heap)
                barred.append(number)
            elif (now := self._key(head)) > key:
                heapq.heapreplace(heap, (now, number))
            else:
                lines[number].take(head, self._rank_again(head))
                taken[head.row] += 1
                count -= 1
                heapq.heapreplace(heap, (FIRST, number))
                if self._count(head.row):
                    heap += [(FIRST, other) for other in barred]
                    heapq.heapify(heap)
                    barred.clear()
                    unopened = self._level_unopened(lines, keys)
        return dict(taken)

    # --- lines -----------------------------------------------------------------------------------

    def _lines(self, candidates: Indexes, capacity: Column) -> Lines:
        """Candidates come the fullest first; what ranks alike stays in that order."""
        disliking = -liking(self._rows, self._group)[candidates]
        ranks = self._ranks(candidates)
        told_apart = [tally.codes[candidates] for tally in self._telling()]
        entries = np.stack([disliking, ranks, candidates, capacity], axis=1)
        sorted_by = [code.astype(np.int64) for code in told_apart]
        if self._group.prefer.affinities:
            sorted_by.insert(0, disliking)
        if self._group.prefer.strategy is not Strategy.BIN_PACK:
            sorted_by.insert(0, ranks)
        if not sorted_by:
            return Lines(entries, (), self._limits)
        order = np.lexsort(sorted_by)
        return Lines(entries[order], [codes[order] for codes in told_apart], self._limits)

    def _telling(self) -> list[Tally]:
        """What tells lines apart: the tallies whose values are scored or kept level."""
        return [floor.tally for floor in self._floors] + [one.tally for one in self._evenness]

    def _first_keys(self, lines: Lines) -> Column:
        """How well each line does before anything is taken: it will never do better."""
        keys = lines.heads[:, :3].copy()
        for one in self._evenness:
            keys[:, 0] -= one.scores()[one.tally.codes[keys[:, 2]]]
        return keys

    def _level_unopened(self, lines: Lines, keys: Column) -> list[int]:
        """The lines that were not looked at and may be, the best last."""
        level = lines.unopened()
        for floor in self._floors:
            level &= floor.tally.by_code[floor.tally.codes[keys[:, 2]]] <= floor.least
        numbers = np.flatnonzero(level)
        worse = np.lexsort(keys[numbers, ::-1].T)
        best_last: list[int] = numbers[worse[::-1]].tolist()
        return best_last

    # --- what is better --------------------------------------------------------------------------

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

    def _key(self, head: Entry) -> Key:
        evenness = sum([one.score(head.row) for one in self._evenness])
        return head.disliking - evenness, head.rank, head.row

    def _count(self, row: int) -> bool:
        """The row took one more; True when that opened values to others."""
        for tally in self._tallies:
            tally.place(row)
        return any([floor.rises() for floor in self._floors])
