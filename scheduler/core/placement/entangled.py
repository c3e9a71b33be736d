"""Chooses rows one instance at a time, for rules that do not form a chain (`rules.py`): a choice
bears on the next in ways that are seen only by making it.

Rows with the same values of the attributes that are spread or grouped by form a line (`lines.py`),
so each choice looks at the heads of lines and not at rows. As instances are placed, a line's score
only sinks and a row's room only shrinks, so a heap that is a little behind is put right by looking
again at what stands on top. Only `group_by` lets in later what it barred.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from scheduler.core.placement.lines import Entry, Key, Limits, Lines
from scheduler.core.placement.ranking import Ranking
from scheduler.core.placement.rows import Column
from scheduler.core.placement.rules import NO_LIMIT, Rule
from scheduler.core.placement.slots import Candidates
from scheduler.core.placement.tally import Tally

FIRST: Key = (-(1 << 62), 0, 0)
"""Before all others, to be looked at."""


class _Floor:
    """A `group_by`: only values that have as few tasks as any may have one more."""

    __slots__ = ("_at_least", "_expected", "least", "tally")

    def __init__(self, expected: int, tally: Tally) -> None:
        self.tally = tally
        self._expected = expected
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


class Picker:
    def __init__(self, rules: Sequence[Rule], ranking: Ranking) -> None:
        self._ranking = ranking
        self._tallies = [rule.tally for rule in rules]
        self._limits = Limits([(rule.tally, rule.most) for rule in rules if rule.most < NO_LIMIT])
        self._floors = [_Floor(rule.level, rule.tally) for rule in rules if rule.level is not None]
        self._evenness = [one for rule in rules for one in rule.evenness]
        self._telling = [rule.tally for rule in rules if rule.tells]

    def pick(self, candidates: Candidates, count: int) -> dict[int, int]:
        """How many instances each row takes, in the order in which rows are first chosen."""
        taken: defaultdict[int, int] = defaultdict(int)
        lines = self._lines(candidates)
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
                taken[head.row] += 1
                lines[number].take(head, head.rank + self._step(head.row, taken[head.row]))
                count -= 1
                heapq.heapreplace(heap, (FIRST, number))
                if self._count(head.row):
                    heap += [(FIRST, other) for other in barred]
                    heapq.heapify(heap)
                    barred.clear()
                    unopened = self._level_unopened(lines, keys)
        return dict(taken)

    # --- lines -----------------------------------------------------------------------------------

    def _lines(self, candidates: Candidates) -> Lines:
        """Candidates come the fullest first; what ranks alike stays in that order."""
        rows, disliking = candidates.rows, candidates.disliking
        ranks = self._ranking.first(rows)
        told_apart = [tally.codes[rows] for tally in self._telling]
        entries = np.stack([disliking, ranks, rows, candidates.capacity], axis=1)
        order = np.lexsort(np.stack([rows, ranks, disliking, *told_apart]))
        return Lines(entries[order], [codes[order] for codes in told_apart], self._limits)

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

    def _step(self, row: int, took: int) -> int:
        return int(self._ranking.step(np.array([row]), np.array([took]))[0])

    def _key(self, head: Entry) -> Key:
        evenness = sum([one.score(head.row) for one in self._evenness])
        return head.disliking - evenness, head.rank, head.row

    def _count(self, row: int) -> bool:
        """The row took one more; True when that opened values to others."""
        for tally in self._tallies:
            tally.place(row)
        return any([floor.rises() for floor in self._floors])
