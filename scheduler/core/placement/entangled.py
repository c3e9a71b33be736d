"""Chooses rows one instance at a time, for rules that do not form a chain (`rules.py`): a choice
bears on the next in ways that are seen only by making it.

Rows with the same values of all that is counted form a line, of which only the first that has room
is compared with those of other lines. Rows that rank anew with each instance they take are lines by
themselves.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from scheduler.core.placement.columns import Codes, Indexes, Mask
from scheduler.core.placement.ranking import Ranking
from scheduler.core.placement.rows import Column
from scheduler.core.placement.rules import Rule
from scheduler.core.placement.slots import Candidates, together

BARRED: Final = 1 << 50
"""Added to the grade of a line for each `group_by` that bars its value: worse than any other."""

CLOSED: Final = 1 << 60
"""The grade of a line that takes no more, beyond any number of bars."""


class _Counted:
    """A rule and the value of each line. Values that have more tasks than `_least` are barred."""

    __slots__ = ("_at_least", "_codes", "_least", "_rule", "_tally")

    def __init__(self, rule: Rule, codes: Codes) -> None:
        self._rule = rule
        self._codes = codes
        self._tally = rule.tally
        if rule.level is not None:
            self._look(rule.level)

    def _look(self, expected: int) -> None:
        tally = self._tally
        self._least = tally.least(expected)
        self._at_least = int((tally.by_code[tally.seen] == self._least).sum())
        self._at_least += list(tally.elsewhere.values()).count(self._least)
        self._at_least += max(expected - tally.values, 0)

    def badness(self) -> Column:
        """What the rule adds to the grades, as of now."""
        tasks = self._tally.by_code[self._codes]
        bad = np.zeros(len(self._codes), np.int64)
        for one in self._rule.evenness:
            bad -= one.scores_at(self._codes, tasks)
        if self._rule.level is not None:
            bad[tasks > self._least] += BARRED
        return bad

    def count(self, line: int, grade: Column) -> None:
        """An instance goes to the line: grade those of its value anew."""
        rule, tally, code = self._rule, self._tally, int(self._codes[line])
        tasks = int(tally.by_code[code])
        tally.by_code[code] = tasks + 1
        alike = np.equal(self._codes, code)
        for one in rule.evenness:
            grade[alike] += one.score(code, tasks) - one.score(code, tasks + 1)
        if rule.level is not None:
            grade[alike] += BARRED
            self._at_least -= 1
            if not self._at_least:
                self._look(rule.level)
                grade[tally.by_code[self._codes] == self._least] -= BARRED
        if tasks + 1 >= rule.most:
            grade[alike] = CLOSED


def choose(
    candidates: Candidates, rules: Sequence[Rule], ranking: Ranking, count: int
) -> dict[int, int]:
    """How many instances each row takes, in the order in which rows are first chosen."""
    order, heads = _in_lines(candidates, rules, ranking)
    rows = candidates.rows[order]
    room = candidates.room(rows)
    disliking, ranks = candidates.disliking[order], ranking.first(candidates.rows)[order]
    counted = [_Counted(rule, rule.tally.codes[rows[heads]]) for rule in rules]
    ends = np.append(heads[1:], len(rows))
    rank, grade = ranks[heads], disliking[heads]
    for one in counted:
        grade += one.badness()
    taken: defaultdict[int, int] = defaultdict(int)
    for _ in range(count):
        best = grade.min(initial=CLOSED)
        if best >= BARRED // 2:
            break
        alike = np.flatnonzero(grade == best)
        line = int(alike[rank[alike].argmin()])
        for one in counted:
            one.count(line, grade)
        at = heads[line]
        row = int(rows[at])
        taken[row] += 1
        room[at] -= 1
        if room[at]:
            if not ranking.settled:
                rank[line] += ranking.step(rows[at : at + 1], np.array([taken[row]]))[0]
        elif at + 1 < ends[line]:
            heads[line] = at + 1
            grade[line] += disliking[at + 1] - disliking[at]
            rank[line] = ranks[at + 1]
        else:
            grade[line] = CLOSED
    return dict(taken)


def _in_lines(
    candidates: Candidates, rules: Sequence[Rule], ranking: Ranking
) -> tuple[Indexes, Indexes]:
    """The candidates line by line, in each the best first; and where lines begin."""
    rows = candidates.rows
    if not ranking.settled:
        return np.argsort(rows), np.arange(len(rows))
    order: Indexes = np.argsort(candidates.disliking, kind="stable")
    for rule in rules:
        order = order[together(rule.tally.codes[rows[order]])]
    begins: Mask = np.zeros(len(rows), np.bool_)
    begins[:1] = True
    for rule in rules:
        codes = rule.tally.codes[rows[order]]
        begins[1:] |= codes[1:] != codes[:-1]
    return order, np.flatnonzero(begins)
