"""Facts about rows that are known once and asked for often, one number a row.

A column is filled lazily: a cell that is not known yet is worked out when the column is asked for,
so a burst of offers costs nothing for the attributes and ports that no waiting job names.
`AttributeColumn` keeps text as codes, which turns a constraint over ten thousand rows into one
comparison, and a regular expression into one match for each distinct value.

Columns know nothing of offers and free amounts: `rows.py` owns them, tells them which cells have
become unknown, and gives the way to fill one.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model.job import Constraint, Operator
from scheduler.core.placement.constraints import allows

Mask = NDArray[np.bool_]
Indexes = NDArray[np.int64]
Codes = NDArray[np.int32]

UNKNOWN = -2
MISSING = -1
NO_VALUE = -3
"""Codes that no value has: not worked out yet; the agent lacks the attribute; no row has it."""

TABLES_MAX = 256
"""Tables of constraints kept a column; beyond that all are dropped and come back as they are
used."""


class Counts(NamedTuple):
    """`by_code` is for the values that rows have, of which `named` are counted; `rest` for those
    that no row has."""

    codes: Codes
    by_code: Indexes
    named: Indexes
    rest: dict[str, int]


class AttributeColumn:
    """The value of one attribute in each row, as a code; MISSING where the agent has none."""

    def __init__(self, values_at: Callable[[list[int]], list[str | None]]) -> None:
        """`values_at` tells the values in rows; None for a row that is empty or has no value."""
        self._values_at = values_at
        self._codes: Codes = np.empty(0, np.int32)
        self._known = 0
        """So many of the first cells are known for sure."""
        self._code_of: dict[str, int] = {}
        self._texts: list[str] = []
        self._tables: dict[Constraint, list[bool]] = {}

    def forget(self, rows: Indexes) -> None:
        self._codes[rows[rows < len(self._codes)]] = UNKNOWN
        self._known = 0

    def codes(self, size: int) -> Codes:
        """The codes of the first `size` rows."""
        if size > len(self._codes):
            self._codes = _grown(self._codes, size)
        if len(self._texts) > 4 * size + 1024:
            self._start_again()
        codes = self._codes[:size]
        if size > self._known:
            unknown = np.flatnonzero(codes == UNKNOWN)
            codes[unknown] = [self._encoded(one) for one in self._values_at(unknown.tolist())]
            self._known = size
        return codes

    def mask(self, constraint: Constraint, size: int) -> Mask:
        """Which rows satisfy the constraint, by the rules of `constraints.satisfies`."""
        codes = self.codes(size)
        match constraint.operator:
            case Operator.IS:
                code = self._code_of.get(constraint.value)
                return np.equal(codes, NO_VALUE if code is None else code)
            case Operator.IN:
                return self.among(constraint.values, size)
            case _:
                return np.take(self._table(constraint), codes)

    def among(self, values: Collection[str], size: int) -> Mask:
        """Which rows have one of the values."""
        if not values:
            return np.zeros(size, np.bool_)
        codes = self.codes(size)
        table = np.zeros(len(self._texts) + 1, np.bool_)
        code_of = self._code_of
        table[[code_of[value] for value in values if value in code_of]] = True
        return np.take(table, codes)

    def counted(self, counts: Mapping[str, int], size: int) -> Counts:
        """For each code, the number that `counts` has for its value; for each row, its code. Like
        all tables this has one cell more at the end, which MISSING (-1) finds."""
        codes = self.codes(size)
        code_of = self._code_of
        by_code = np.zeros(len(self._texts) + 1, np.int64)
        known = [value for value in counts if value in code_of]
        named = np.array([code_of[value] for value in known], np.int64)
        by_code[named] = [counts[value] for value in known]
        rest = {value: count for value, count in counts.items() if value not in code_of}
        return Counts(codes, by_code, named, rest)

    def _encoded(self, value: str | None) -> int:
        if value is None:
            return MISSING
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self._texts)
            self._texts.append(value)
        return code

    def _table(self, constraint: Constraint) -> Mask:
        """By code, whether the value satisfies the constraint; in the last cell, whether a missing
        one does."""
        known = self._tables.get(constraint)
        if known is None:
            if len(self._tables) >= TABLES_MAX:
                self._tables.clear()
            known = self._tables[constraint] = []
        known += [allows(constraint, value) for value in self._texts[len(known) :]]
        return np.array([*known, constraint.operator is Operator.UNLIKE], np.bool_)

    def _start_again(self) -> None:
        """Values of agents long gone have piled up: forget them all."""
        self._codes[:] = UNKNOWN
        self._known = 0
        self._code_of.clear()
        self._texts.clear()
        self._tables.clear()


class PortColumn:
    """Whether one host port is free in each row."""

    def __init__(self, free_at: Callable[[int], bool]) -> None:
        self._free_at = free_at
        self._cells: Codes = np.empty(0, np.int32)

    def forget(self, rows: Indexes) -> None:
        self._cells[rows[rows < len(self._cells)]] = UNKNOWN

    def mask(self, size: int) -> Mask:
        if size > len(self._cells):
            self._cells = _grown(self._cells, size)
        cells = self._cells[:size]
        for row in np.flatnonzero(cells == UNKNOWN).tolist():
            cells[row] = self._free_at(row)
        return np.equal(cells, 1)


def _grown(cells: Codes, size: int) -> Codes:
    grown = np.full(max(size, 2 * len(cells)), UNKNOWN, np.int32)
    grown[: len(cells)] = cells
    return grown
