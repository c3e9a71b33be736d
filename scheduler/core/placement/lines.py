"""Rows in lines: those of a line are alike in all that changes as instances are placed, so they are
sorted once, and only heads of lines are compared. What nobody looks at costs no more than a place
in an array: a line is opened when its turn comes, and rows that closed are passed over in bulk.

It knows rows as entries of four numbers. Neighbour: `picking.py`, which fills the lines and takes.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scheduler.core.placement.columns import Codes, Indexes, Mask
from scheduler.core.placement.rows import Column
from scheduler.core.placement.tally import Tally

PASSED_OVER_MAX = 16
"""Closed rows passed over one by one before all that closed are looked for at once."""


class Entry(NamedTuple):
    """A row with room for `room` instances more. The least is the best."""

    disliking: int
    rank: int
    row: int
    room: int


Key = tuple[int, int, int]
"""How well the head of a line does, now: less is better."""


class Limits:
    """Tallies with the most tasks that one of their values may have. A row that closed stays so."""

    def __init__(self, limits: Sequence[tuple[Tally, int]]) -> None:
        self._limits = limits

    def admit(self, row: int) -> bool:
        return all(tally.of(row) < most for tally, most in self._limits)

    def admitted(self, rows: Indexes) -> Mask:
        admitted = np.ones(len(rows), np.bool_)
        for tally, most in self._limits:
            admitted &= tally.by_code[tally.codes[rows]] < most
        return admitted


class Line:
    """`_entries` are rows that took nothing yet, in order from `_at` on; `_used` the others."""

    __slots__ = ("_at", "_entries", "_limits", "_used")

    def __init__(self, entries: Column, limits: Limits) -> None:
        self._entries = entries
        self._limits = limits
        self._at = 0
        self._used: list[Entry] = []

    def head(self) -> Entry | None:
        """The best row that is still open; what stood before it is dropped for good."""
        fresh = self._fresh()
        while self._used and not self._limits.admit(self._used[0].row):
            heapq.heappop(self._used)
        if self._used and (fresh is None or self._used[0] < fresh):
            return self._used[0]
        return fresh

    def _fresh(self) -> Entry | None:
        passed = 0
        while self._at < len(self._entries):
            fresh = Entry(*self._entries[self._at].tolist())
            if self._limits.admit(fresh.row):
                return fresh
            self._at += 1
            passed += 1
            if passed == PASSED_OVER_MAX:
                rest = self._entries[self._at :]
                self._entries = rest[self._limits.admitted(rest[:, 2])]
                self._at = 0
        return None

    def take(self, head: Entry, rank: int) -> None:
        """One instance goes to the head; with the room that is left its row ranks anew."""
        if self._used and self._used[0] is head:
            heapq.heappop(self._used)
        else:
            self._at += 1
        if head.room > 1:
            again = Entry(head.disliking, rank, head.row, head.room - 1)
            heapq.heappush(self._used, again)


class Lines:
    """All lines, by number."""

    def __init__(self, entries: Column, told_apart: Sequence[Codes], limits: Limits) -> None:
        """`entries` are sorted, lines one after the other; `told_apart` are codes of the entries
        that are the same in a line."""
        changes = np.zeros(len(entries), np.bool_)
        changes[:1] = True
        for codes in told_apart:
            changes[1:] |= codes[1:] != codes[:-1]
        self._entries = entries
        self._starts = np.flatnonzero(changes)
        self._ends = np.append(self._starts[1:], len(entries))
        self._limits = limits
        self._open: dict[int, Line] = {}
        self.heads: Column = entries[self._starts]
        """The first entry of each, as it was before anything was taken."""

    def __getitem__(self, number: int) -> Line:
        line = self._open.get(number)
        if line is None:
            entries = self._entries[self._starts[number] : self._ends[number]]
            line = self._open[number] = Line(entries, self._limits)
        return line

    def unopened(self) -> Mask:
        mask = np.ones(len(self._starts), np.bool_)
        mask[list(self._open)] = False
        return mask
