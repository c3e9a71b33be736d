"""How many of a job's tasks each value of an attribute has, and what that leaves allowed.

A tally starts with the job's live tasks and grows with each instance that is placed. Its answers
are tables by the codes of the rows' column, with one cell more at the end for rows that lack the
attribute: a counted constraint rules those out, as Marathon does, for what has no value can be
neither apart nor together.
"""

from functools import cached_property

import numpy as np

from scheduler.core.model.job import Constraint, Operator
from scheduler.core.placement.columns import Codes, Counts, Indexes, Mask
from scheduler.core.placement.group import Group, counted_attributes
from scheduler.core.placement.rows import Rows


class Tally:
    """`codes` are the rows', `by_code` the counts. `seen` are the values that a task has or that
    one of the rows `fitting` would give it, and those that are known otherwise."""

    def __init__(self, counts: Counts, fitting: Mask) -> None:
        self.codes: Codes = counts.codes
        self.by_code = counts.by_code
        self.elsewhere = counts.rest
        self._named = counts.named
        self._fitting = fitting

    @cached_property
    def seen(self) -> Mask:
        seen = np.zeros(len(self.by_code), np.bool_)
        seen[self._named] = True
        seen[self.codes[self._fitting]] = True
        seen[-1] = False
        return seen

    def of_rows(self, rows: Indexes) -> Indexes:
        return self.by_code[self.codes[rows]]

    @property
    def any(self) -> bool:
        """There is a task."""
        return bool(self.by_code.any()) or any(self.elsewhere.values())

    def add(self, instances: Indexes) -> None:
        """So many more on each row."""
        np.add.at(self.by_code, self.codes, instances[: len(self.codes)])

    @property
    def values(self) -> int:
        """How many values are seen."""
        return int(self.seen.sum()) + len(self.elsewhere)

    def least(self, expected: int, by_code: Indexes | None = None) -> int:
        """The fewest tasks that any of the values has, or has `by_code`; if `expected` more than
        are seen, there is one that has none."""
        if self.values < expected or not self.values:
            return 0
        tasks = self.by_code if by_code is None else by_code
        fewest = [int(tasks[self.seen].min())] if self.seen.any() else []
        return min([*fewest, *self.elsewhere.values()])

    def allowed(self, constraint: Constraint) -> Mask:
        """By code, whether one more task may have the value."""
        match constraint.operator:
            case Operator.UNIQUE:
                table = self.by_code < 1
            case Operator.MAX_PER:
                table = self.by_code < constraint.count
            case Operator.GROUP_BY:
                table = self.by_code <= self.least(constraint.count)
            case Operator.CLUSTER if self.any:
                table = self.by_code > 0
            case Operator.CLUSTER:
                table = np.ones(len(self.by_code), np.bool_)
            case _:
                table = np.zeros(len(self.by_code), np.bool_)
        table[-1] = False
        return table


Tallies = dict[str, Tally]


def tallies_of(rows: Rows, group: Group, fitting: Mask) -> Tallies:
    """One for each attribute that the group counts by."""
    return {
        attribute: Tally(rows.counted(attribute, group.counts.get(attribute, {})), fitting)
        for attribute in counted_attributes(group.constraints, group.prefer)
    }
