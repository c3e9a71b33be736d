"""What makes one row better than another for a group: affinities, and even spread.

Scores are whole numbers, in thousandths of the weight that a job's author gave: a row that fulfils
an affinity has its whole weight; of a spread, a value that no task has yet the whole weight, one
with its share of tasks nothing, one with twice its share or more the weight below nothing. Scores
of one group are compared with each other and with nothing else; of equal ones the strategy decides.
Neighbour: `picking.py`, which takes the best.
"""

import numpy as np

from scheduler.core.model.job import Spread
from scheduler.core.placement.columns import Codes, Indexes, Mask
from scheduler.core.placement.filters import admitting
from scheduler.core.placement.group import Group
from scheduler.core.placement.rows import Column, Rows
from scheduler.core.placement.tally import Tally

FULL = 1000
PERCENT = 1000
"""Parts of a percent in which shares are kept."""


def liking(rows: Rows, group: Group) -> Column:
    """For each row the sum of the affinities that it fulfils."""
    score = np.zeros(rows.size, np.int64)
    for affinity in group.prefer.affinities:
        score[admitting(rows, affinity.condition, group.company)] += affinity.weight * FULL
    return score


class Evenness:
    """The score of one spread, with the tasks that its tally counts."""

    __slots__ = ("_wanted", "tally", "weight")

    def __init__(self, rows: Rows, spread: Spread, tally: Tally, instances: int) -> None:
        self.tally = tally
        self.weight = spread.weight
        self._wanted = _shares(rows, spread, tally) * max(instances, 1)

    def scores_at(self, codes: Codes | Indexes, tasks: Column) -> Column:
        """Of values that have so many tasks. One that is to have none, and a missing one, count
        like those that have too many."""
        wanted = self._wanted[codes]
        scores = FULL - FULL * (tasks * 100 * PERCENT) // np.maximum(wanted, 1)
        scores[wanted == 0] = -FULL
        return self.weight * np.maximum(scores, -FULL)

    def score(self, code: int, tasks: int) -> int:
        """Of one value."""
        wanted = int(self._wanted[code])
        if not wanted:
            return -self.weight * FULL
        return self.weight * max(FULL - FULL * (tasks * 100 * PERCENT) // wanted, -FULL)


def _shares(rows: Rows, spread: Spread, tally: Tally) -> Column:
    """By code, how much of the job each value is to have. What the targets leave is for the other
    values that are seen, in equal parts."""
    targets = {target.value: target.percent for target in spread.targets}
    named: Mask = rows.counted(spread.attribute, dict.fromkeys(targets, 1)).by_code > 0
    shares = rows.counted(spread.attribute, targets).by_code * PERCENT
    others = tally.seen & ~named
    number = int(others.sum()) + len([one for one in tally.elsewhere if one not in targets])
    if number:
        shares[others] = max(100 - sum(targets.values()), 0) * PERCENT // number
    return shares
