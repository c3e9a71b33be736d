"""What a group's strategy makes of rows that are liked alike: which comes first, and where a row
stands that took some.

A rank is a number, the lower the earlier; of equal ones the lower row. A row's rank only grows as
it takes instances: `step` says by how much. Neighbours: `slots.py` and `entangled.py`, which
choose.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model.job import Strategy
from scheduler.core.placement.columns import Indexes
from scheduler.core.placement.group import Group
from scheduler.core.placement.rows import (
    CPU_MILLI_IN_MEM_MILLI,
    FREE_MAX,
    ROW_BITS,
    Column,
    Rows,
)

MEAN_GAP: Final = 1 << 24
GAPS_MAX: Final = 1 << 38
"""With a row below it in one number, no rank is more."""

Words = NDArray[np.uint64]


class Ranking:
    def __init__(self, rows: Rows, group: Group) -> None:
        self._rows = rows
        self._strategy = group.prefer.strategy
        self._asked = max(group.amounts.cpus * CPU_MILLI_IN_MEM_MILLI + group.amounts.mem, 1)
        self._seed = group.seed

    @property
    def settled(self) -> bool:
        """A row keeps its rank whatever it takes."""
        return self._strategy is Strategy.BIN_PACK

    def first(self, candidates: Indexes) -> Column:
        """Of rows that took nothing yet; they come the fullest first, where that counts."""
        match self._strategy:
            case Strategy.BIN_PACK:
                return np.arange(len(candidates))
            case Strategy.SPREAD:
                free = self._rows.free
                ranks = FREE_MAX * (free("gpus") > 0).astype(np.int64)
                ranks -= free("cpus") * CPU_MILLI_IN_MEM_MILLI + free("mem")
                return ranks[candidates]
            case Strategy.RANDOM:
                return self.step(candidates, np.zeros(len(candidates), np.int64))

    def sort(self, candidates: Indexes) -> Indexes:
        """From the fullest first to the best first."""
        if self.settled:
            return candidates
        return candidates[in_order(self.first(candidates), candidates)]

    def step(self, rows: Indexes, took: Column) -> Column:
        """How much later a row comes that took so many, than before it took the last of them.

        `random`: the instances of a row come after waits of random length, which leave no memory,
        so the next one is on each of the rows as likely as on any other."""
        match self._strategy:
            case Strategy.BIN_PACK:
                return np.zeros(len(rows), np.int64)
            case Strategy.SPREAD:
                return np.full(len(rows), self._asked)
            case Strategy.RANDOM:
                drawn = _drawn(self._seed, rows, took)
                return (-np.log1p(-drawn) * MEAN_GAP).astype(np.int64)


def in_order(ranks: Column, rows: Indexes) -> Indexes:
    """The indexes that sort by rank, then by row."""
    return np.argsort((np.minimum(ranks, GAPS_MAX - 1) << ROW_BITS) | rows)


def _drawn(seed: int, rows: Indexes, took: Column) -> NDArray[np.float64]:
    """Numbers in [0, 1) that are the same for the same seed, row and count, whichever are asked
    for together (SplitMix64's way of mixing bits)."""
    words: Words = (rows << 17 | took).astype(np.uint64)
    words += np.uint64((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    for _ in range(2):
        words += np.uint64(0x9E3779B97F4A7C15)
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words ^= words >> np.uint64(31)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
