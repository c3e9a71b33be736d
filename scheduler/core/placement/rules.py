"""What a group counts, as one rule for each attribute: the most tasks a value may have, whether
values are to be level, and how evenly they share.

Where each value of one attribute lies within one value of the next (a host in a rack, a rack in a
zone), the rules form a chain, the finest first: what is chosen within one value does not bear on
what is best within another. `slots.py` places by chains, `entangled.py` by any rules.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from scheduler.core.model.job import INSTANCES_MAX, Operator
from scheduler.core.placement.columns import Codes, Indexes
from scheduler.core.placement.group import Group, counted_among
from scheduler.core.placement.rows import Rows
from scheduler.core.placement.scores import Evenness
from scheduler.core.placement.tally import Tallies, Tally

NO_LIMIT: Final = INSTANCES_MAX


class Rule(NamedTuple):
    """`most` is the number of tasks a value may have. `level`: only values that have as few tasks
    as any may have one more (`group_by`), where so many values are expected."""

    tally: Tally
    most: int
    level: int | None
    evenness: tuple[Evenness, ...]

    @property
    def tells(self) -> bool:
        """What a value has bears on how good it is, and not only on whether it is open."""
        return self.level is not None or bool(self.evenness)

    def binds(self, rows: Indexes) -> bool:
        """Some of the rows share a value, so that what one takes is not there for another."""
        return self.number(rows) < len(rows)

    def number(self, rows: Indexes) -> int:
        """How many values the rows have."""
        seen = np.zeros(len(self.tally.by_code), np.bool_)
        seen[self.tally.codes[rows]] = True
        return int(np.count_nonzero(seen))


def rules_of(rows: Rows, group: Group, tallies: Tallies) -> list[Rule]:
    rules = []
    for attribute, tally in tallies.items():
        counted = [one for one in counted_among(group.constraints) if one.attribute == attribute]
        most = [one.count for one in counted if one.operator is Operator.MAX_PER]
        most += [1 for one in counted if one.operator is Operator.UNIQUE]
        level = [one.count for one in counted if one.operator is Operator.GROUP_BY]
        evenness = tuple(
            Evenness(rows, spread, tally, group.instances)
            for spread in group.prefer.spread
            if spread.attribute == attribute
        )
        rule = Rule(tally, min(most, default=NO_LIMIT), max(level, default=None), evenness)
        if rule.tells or rule.most < NO_LIMIT:
            rules.append(rule)
    return rules


def chain_of(rules: Sequence[Rule], candidates: Indexes) -> list[Rule] | None:
    """The rules, the finest first; None where they do not form a chain for these rows."""
    if sum([rule.level is not None for rule in rules]) > 1:
        return None  # a value that waits for its like in one may hold up any value of the other
    if len(rules) < 2:
        return list(rules)
    chain = sorted(rules, key=lambda rule: rule.number(candidates), reverse=True)
    for finer, coarser in pairwise(chain):
        if not _lies_within(finer.tally.codes[candidates], coarser.tally.codes[candidates]):
            return None
    return chain


def _lies_within(finer: Codes, coarser: Codes) -> bool:
    """Each finer value goes with one coarser value. What a row lacks bears on nothing, so it may
    go with any."""
    known = finer >= 0
    finer, coarser = finer[known], coarser[known]
    one_of = np.zeros(int(finer.max(initial=-1)) + 1, np.int64)
    one_of[finer] = coarser
    return bool((one_of[finer] == coarser).all())
