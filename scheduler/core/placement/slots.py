"""Chooses rows for a whole group at once, where its rules form a chain (`rules.py`).

A slot is room for one instance on a row. Sorted by what makes slots better, the first of them are
those that instances take which are placed one after another, each on the best row open to it: the
tasks that a value has when a slot's turn comes are those it had, and the value's slots that come
before. That is so because a taken slot makes no other better, and bears on those of its value only.

Lines (rows that are alike in the finest value, or single rows) show only as many slots as are
likely to be needed. Where these prove too few, the lines that gave all that they showed show more.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from scheduler.core.placement.columns import Codes, Indexes, Mask
from scheduler.core.placement.ranking import Ranking, in_order
from scheduler.core.placement.rows import Column
from scheduler.core.placement.rules import NO_LIMIT, Rule
from scheduler.core.placement.scores import FULL

SHOWN_MORE: Final = 8
"""So many times the slots of a line that gave all it showed."""

SHORT_CODES: Final = 1 << 16
"""Fewer than so many codes are sorted by counting, which is faster."""

NEVER: Final = 1 << 40
"""More tasks than any value has."""


class Candidates(NamedTuple):
    """The rows that may take an instance, sorted by rank, how they are disliked, and how many
    instances any of them have room for."""

    rows: Indexes
    disliking: Column
    room: Callable[[Indexes], Column]


def choose(
    candidates: Candidates, chain: list[Rule], ranking: Ranking, count: int
) -> dict[int, int]:
    """How many instances each row takes, in the order in which rows are first chosen."""
    if not count or not len(candidates.rows):
        return {}
    lines = _Lines(candidates, chain, ranking, count)
    shown = np.minimum(2 + 2 * count // len(lines.slots), lines.slots)
    while True:
        slots = _Slots(lines, shown, chain, ranking)
        best = slots.best(count)
        given = np.bincount(slots.line[best], minlength=len(shown))
        short = (given == shown) & (shown < lines.slots)
        if not short.any():
            return _times(lines.rows[slots.at[best]])
        shown[short] = np.minimum(shown * SHOWN_MORE, lines.slots)[short]


class _Lines:
    """Candidates sorted by line, and in each line the best first, without those that are of no use
    for `count` instances. `line` is the number of each one's; `before`, how many slots of the line
    are in front of its own; `place`, how late it comes among all that are liked alike. `slots` are,
    by number, what a line has in all."""

    def __init__(
        self, candidates: Candidates, chain: list[Rule], ranking: Ranking, count: int
    ) -> None:
        line = _line_of(candidates.rows, chain, ranking)
        place = np.arange(len(line))
        if candidates.disliking.any():
            place = _sorted(candidates.disliking, place, len(line))
        place = place[together(line[place])]
        starts = _starts(line[place])
        lengths = np.diff(starts, append=len(line))
        useful = _useful(candidates, place[starts], chain, ranking, count)
        kept = np.repeat(useful, lengths)
        self.left_out = candidates.rows[place[~kept]]
        if count * len(starts) < len(line):  # a row that comes after so many in its line is no use
            kept &= np.arange(len(line)) - np.repeat(starts, lengths) < count
        self.place = place[kept]
        self.rows = candidates.rows[self.place]
        self.disliking = candidates.disliking[self.place]
        self.capacity = candidates.room(self.rows)
        starts = _starts(line[self.place])
        self.line = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(self.rows)))
        in_front = np.cumsum(self.capacity) - self.capacity
        self.before = in_front - in_front[starts][self.line]
        self.slots = np.add.reduceat(self.capacity, starts)


def _useful(
    candidates: Candidates, heads: Indexes, chain: list[Rule], ranking: Ranking, count: int
) -> Mask:
    """Which lines may be among so many: they begin with one of the best heads of the value that
    they lie in."""
    if len(heads) <= count:
        return np.ones(len(heads), np.bool_)
    grade, outer = candidates.disliking[heads], chain
    if ranking.settled:
        outer = chain[1:]
        tally = chain[0].tally
        codes = tally.codes[candidates.rows[heads]]
        for one in chain[0].evenness:
            grade -= one.scores_at(codes, tally.by_code[codes])
        if chain[0].level is not None:
            grade += tally.by_code[codes] * _span(candidates.disliking, chain)
    if outer:
        order = _sorted(grade, heads, len(candidates.rows))
        return _turns(outer[0].tally.codes[candidates.rows[heads]], order) < count
    keys = (grade - grade.min()) * len(candidates.rows) + heads
    useful: Mask = keys < np.partition(keys, count)[count]
    return useful


def _line_of(rows: Indexes, chain: list[Rule], ranking: Ranking) -> Indexes:
    """The number of each row's line. Rows whose rank changes as they take instances, and those
    without the finest value, are lines of their own."""
    own = np.arange(len(rows))
    if not ranking.settled:
        return own
    if not chain:
        return np.zeros(len(rows), np.int64)
    codes = chain[0].tally.codes[rows]
    return np.where(codes < 0, own + len(chain[0].tally.by_code), codes)


class _Slots:
    """What the lines show. `at` tells each slot's place in the lines, `line` its line. The lower
    the `grade` the better; of those alike, the lower `place`. `level` is how many tasks the slot's
    value has when its turn comes, where values are to be level."""

    def __init__(self, lines: _Lines, shown: Column, chain: list[Rule], ranking: Ranking) -> None:
        takes = np.clip(shown[lines.line] - lines.before, 0, lines.capacity)
        self._lines = lines
        self._shown = shown
        self._span = _span(lines.disliking, chain)
        self.at = np.repeat(np.arange(len(takes)), takes)
        self.line = lines.line[self.at]
        self.grade = lines.disliking[self.at]
        self.level = np.zeros(len(self.at), np.int64)
        if ranking.settled:
            self.place, self._places = lines.place[self.at], len(takes)
        else:
            self.place, self._places = _places(lines.rows, takes, self.at, ranking), len(self.at)
        for rule in chain:
            self._obey(rule)
        for rule in chain:
            if rule.level is not None:
                self._keep(self.level <= self._reached(rule, rule.level))

    def best(self, count: int) -> Indexes:
        """So many of those that may be taken, the best first."""
        return self._order()[:count]

    def _order(self) -> Indexes:
        return _sorted(self.grade, self.place, self._places)

    def _obey(self, rule: Rule) -> None:
        """See how many tasks each slot's value has when its turn comes, and what follows."""
        tally = rule.tally
        codes = tally.codes[self._lines.rows[self.at]]
        has = tally.by_code[codes] + _turns(codes, self._order())
        if rule.most < NO_LIMIT:
            within = has < rule.most
            self._keep(within)
            codes, has = codes[within], has[within]
        for one in rule.evenness:
            self.grade -= one.scores_at(codes, has)
        if rule.level is not None:
            self.level = has
            self.grade += has * self._span

    def _reached(self, rule: Rule, expected: int) -> int:
        """The last level that is reached: no value ends before it, whatever it has to offer."""
        lines, tally = self._lines, rule.tally
        codes = tally.codes[lines.rows]
        ends = tally.by_code.copy()
        np.add.at(ends, codes[self.at], 1)
        kept_all = np.bincount(self.line, minlength=len(self._shown)) == self._shown
        unseen = kept_all & (self._shown < lines.slots)
        ends[codes[unseen[lines.line]]] = NEVER
        ends[tally.codes[lines.left_out]] = NEVER
        return tally.least(expected, ends)

    def _keep(self, kept: Mask) -> None:
        self.at, self.line, self.place = self.at[kept], self.line[kept], self.place[kept]
        self.grade, self.level = self.grade[kept], self.level[kept]


def _span(disliking: Column, chain: list[Rule]) -> int:
    """More than grades can differ by among slots of one level."""
    weights = sum([one.weight for rule in chain for one in rule.evenness])
    return 1 + (int(np.ptp(disliking)) if len(disliking) else 0) + 2 * FULL * weights


def _places(rows: Indexes, takes: Column, at: Indexes, ranking: Ranking) -> Column:
    """How late slots come where a row ranks anew with each one: `takes` of each row's are shown."""
    before = np.cumsum(takes) - takes
    steps = ranking.step(rows[at], np.arange(len(at)) - before[at])
    first = takes > 0
    steps[before[first]] = ranking.first(rows)[first]
    ranks = np.cumsum(steps)
    ranks -= (ranks - steps)[before[at]]
    places = np.empty(len(at), np.int64)
    places[in_order(ranks, rows[at])] = np.arange(len(at))
    return places


def _times(rows: Indexes) -> dict[int, int]:
    """How often each comes, in the order in which they first do."""
    values, first, counts = np.unique(rows, return_index=True, return_counts=True)
    order = np.argsort(first)
    return dict(zip(values[order].tolist(), counts[order].tolist(), strict=True))


# --- sorting -------------------------------------------------------------------------------------


def _sorted(grade: Column, place: Column, places: int) -> Indexes:
    """The indexes by grade, and by place among those alike; places are fewer than `places`."""
    if not len(grade):
        return np.zeros(0, np.int64)
    return np.argsort((grade - grade.min()) * places + place)


def _turns(codes: Codes, order: Indexes) -> Column:
    """How many of the same code come before, in that order."""
    by_code = order[together(codes[order])]
    starts = _starts(codes[by_code])
    lengths = np.diff(starts, append=len(order))
    turns = np.empty(len(order), np.int64)
    turns[by_code] = np.arange(len(order)) - np.repeat(starts, lengths)
    return turns


def together(codes: Codes | Indexes) -> Indexes:
    """The indexes, those of the same code together and otherwise as they were."""
    if len(codes) and codes.max() < SHORT_CODES - 1:  # what is missing becomes the last
        return np.argsort(codes.astype(np.uint16), kind="stable")
    return np.argsort(codes, kind="stable")


def _starts(codes: Codes | Indexes) -> Indexes:
    """Where another code begins."""
    changes = np.ones(len(codes), np.bool_)
    changes[1:] = codes[1:] != codes[:-1]
    return np.flatnonzero(changes)
