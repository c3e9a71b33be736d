"""Facts about rows that are known once and asked for often, one number a row.

A column is filled lazily: a cell that is not known yet is worked out when the column is asked for,
so a burst of offers costs nothing for the attributes and ports that no waiting job names.
`AttributeColumn` keeps text as codes, which turns a constraint over ten thousand rows into one
comparison, and a regular expression into one match for each distinct value.

Columns know nothing of offers and free amounts: `rows.py` owns them, tells them which cells have
become unknown, and gives the way to fill one.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model.job import Constraint, Operator
from scheduler.core.placement.constraints import HOSTNAME, matches

Mask = NDArray[np.bool_]
Indexes = NDArray[np.int64]
Codes = NDArray[np.int32]

UNKNOWN = -2
MISSING = -1
NO_VALUE = -3
"""Codes that no value has: not worked out yet; the agent lacks the attribute; no row has it."""

PATTERNS_MAX = 256
"""Tables of `like` kept a column; beyond that all are dropped and come back as they are used."""


class AttributeColumn:
    """The value of one attribute in each row, as a code; MISSING where the agent has none."""

    def __init__(self, values_at: Callable[[list[int]], list[str | None]]) -> None:
        """`values_at` tells the values in rows; None for a row that is empty or has no value."""
        self._values_at = values_at
        self._codes: Codes = np.empty(0, np.int32)
        self._code_of: dict[str, int] = {}
        self._texts: list[str] = []
        self._like: dict[str, list[bool]] = {}

    def forget(self, rows: Indexes) -> None:
        self._codes[rows[rows < len(self._codes)]] = UNKNOWN

    def codes(self, size: int) -> Codes:
        """The codes of the first `size` rows."""
        if size > len(self._codes):
            self._codes = _grown(self._codes, size)
        if len(self._texts) > 4 * size + 1024:
            self._start_again()
        codes = self._codes[:size]
        unknown = np.flatnonzero(codes == UNKNOWN)
        if len(unknown):
            codes[unknown] = [self._encoded(one) for one in self._values_at(unknown.tolist())]
        return codes

    def mask(self, constraint: Constraint, taken_hosts: Iterable[str], size: int) -> Mask:
        """Which rows satisfy the constraint, by the rules of `constraints.satisfies`."""
        codes = self.codes(size)
        match constraint.operator:
            case Operator.IS:
                code = self._code_of.get(constraint.value)
                return np.equal(codes, NO_VALUE if code is None else code)
            case Operator.LIKE:
                return np.take(self._like_table(constraint.value), codes)
            case Operator.UNIQUE if constraint.attribute == HOSTNAME:
                return np.take(self._free_table(taken_hosts), codes)
            case Operator.UNIQUE:
                return np.zeros(size, np.bool_)

    def _encoded(self, value: str | None) -> int:
        if value is None:
            return MISSING
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self._texts)
            self._texts.append(value)
        return code

    def _free_table(self, taken: Iterable[str]) -> Mask:
        """By code, whether the value is none of `taken`; like all tables it has one cell more at
        the end, which MISSING (-1) finds, and which is false."""
        table = np.ones(len(self._texts) + 1, np.bool_)
        code_of = self._code_of
        table[[code_of[value] for value in taken if value in code_of]] = False
        table[-1] = False
        return table

    def _like_table(self, pattern: str) -> Mask:
        """By code, whether the pattern matches the value."""
        known = self._like.get(pattern)
        if known is None:
            if len(self._like) >= PATTERNS_MAX:
                self._like.clear()
            known = self._like[pattern] = []
        known += [matches(pattern, value) for value in self._texts[len(known) :]]
        return np.array([*known, False], np.bool_)

    def _start_again(self) -> None:
        """Values of agents long gone have piled up: forget them all."""
        self._codes[:] = UNKNOWN
        self._code_of.clear()
        self._texts.clear()
        self._like.clear()


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
