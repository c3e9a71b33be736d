"""The offers we hold, as rows of numbers: one row for each agent and role.

Several offers of one agent and role are one row, because they go into one ACCEPT together. What is
free is kept twice: as the offered entries themselves (the truth, from which pieces are carved) and
as int64 columns that the matcher works on. The columns follow in `sync`, which every placement
calls first.

This table does not decide anything and does not know jobs: `matcher.py` does and asks it for masks.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.job import Constraint
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.placement.carve import PORTS, Pool, amount_of, holds, pooled
from scheduler.core.placement.columns import (
    AttributeColumn,
    Codes,
    Counts,
    Indexes,
    Mask,
    PortColumn,
)
from scheduler.core.placement.constraints import HOSTNAME, value_of

Column = NDArray[np.int64]
Name = TypeVar("Name")
Kept = TypeVar("Kept", AttributeColumn, PortColumn)

CPU_MILLI_IN_MEM_MILLI = 4096
"""How full a row is, in one number: a cpu weighs as much as 4 GiB, which is what machines have."""

COLUMNS_MAX = 64
"""Attributes, and likewise fixed ports, remembered at once; the longest unused is dropped."""

NO_ROLE = -1
ROW_BITS = 24
ROW_MASK = (1 << ROW_BITS) - 1
FREE_MAX = 1 << 37
NO_KEY = np.iinfo(np.int64).max
COLUMN_NAMES = ("cpus", "mem", "disk", "gpus", PORTS)
NOTHING = (0,) * len(COLUMN_NAMES)


class Row:
    """One agent's offers for one role, pooled. `free` is what the pool sums up to, in the order of
    COLUMN_NAMES; custom resources, which no job asks for, are not counted."""

    __slots__ = ("agent", "arrival", "free", "offers", "pool", "role")

    def __init__(self, offer: Offer, arrival: int) -> None:
        self.agent: AgentInfo = offer.agent
        self.role: Role = offer.role
        self.arrival = arrival
        self.offers: list[Offer] = []
        self.pool: Pool = {}
        self.free: list[int] = []
        self.add(offer)

    def add(self, offer: Offer) -> None:
        """The agent is described as in the newest offer."""
        self.agent = offer.agent
        self.offers.append(offer)
        self.pool = pooled(self.pool, offer.resources)
        pool = self.pool
        self.free = [amount_of(pool[name]) if name in pool else 0 for name in COLUMN_NAMES]


class Rows:
    """Rows are named by their index, which is used again once the row has gone; `Row.arrival`
    never is. Free columns hold thousandths, `free("ports")` counts ports."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every offer (they are void after a disconnect)."""
        self._rows: list[Row | None] = []
        self._vacant: list[int] = []
        self._row_of: dict[tuple[AgentId, Role], int] = {}
        self._row_of_offer: dict[OfferId, int] = {}
        self._role_codes: dict[Role, int] = {}
        self._arrivals = 0
        self._stale: set[int] = set()
        self._renewed: set[int] = set()
        self._attributes: dict[str, AttributeColumn] = {}
        self._ports: dict[int, PortColumn] = {}
        self._free = np.zeros((len(COLUMN_NAMES), 0), np.int64)
        self._role = np.zeros(0, np.int32)
        self._key = np.zeros(0, np.int64)
        self._keys = np.zeros(0, np.int64)

    # --- what we hold ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._row_of)

    def __getitem__(self, row: int) -> Row:
        """KeyError: there is no such row."""
        found = self.get(row)
        if found is None:
            raise KeyError(row)
        return found

    def get(self, row: int) -> Row | None:
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def row_of(self, offer_id: OfferId) -> int | None:
        return self._row_of_offer.get(offer_id)

    def add(self, offer: Offer) -> int:
        """The row that the offer is in now. An offer that is held already changes nothing."""
        held = self._row_of_offer.get(offer.offer_id)
        if held is not None:
            return held
        key = (offer.agent.agent_id, offer.role)
        row = self._row_of.get(key)
        if row is None:
            row = self._new_row(Row(offer, self._arrivals))
            self._arrivals += 1
            self._row_of[key] = row
        else:
            self[row].add(offer)
        self._row_of_offer[offer.offer_id] = row
        self._stale.add(row)
        self._renewed.add(row)
        return row

    def _new_row(self, new: Row) -> int:
        if self._vacant:
            row = self._vacant.pop()
            self._rows[row] = new
            return row
        self._rows.append(new)
        return len(self._rows) - 1

    def remove_offer(self, offer_id: OfferId) -> bool:
        """Forget one offer (it was rescinded). False: it was not held.

        The rest of its row is as offered again: what was taken from the row came out of the pool of
        all its offers, so none of those tasks can be launched as carved. Who had taken from it
        (`row_of` tells, beforehand) places them anew.
        """
        row = self._row_of_offer.get(offer_id)
        if row is None:
            return False
        rest = [offer for offer in self.pop(row) if offer.offer_id != offer_id]
        for offer in rest:
            self.add(offer)
        return True

    def pop(self, row: int) -> tuple[Offer, ...]:
        """Take the row out, to be accepted or declined; its offers, oldest first."""
        gone = self[row]
        self._rows[row] = None
        self._vacant.append(row)
        del self._row_of[gone.agent.agent_id, gone.role]
        for offer in gone.offers:
            del self._row_of_offer[offer.offer_id]
        self._stale.add(row)
        self._renewed.add(row)
        return tuple(gone.offers)

    def take(self, row: int, left: Pool, asked: Sequence[int], times: int) -> None:
        """What was carved out of the row's pool is gone, `times` as much as `asked` (in the order
        of COLUMN_NAMES); what is left stays on offer."""
        found = self[row]
        found.pool = left
        found.free = [free - times * one for free, one in zip(found.free, asked, strict=True)]
        self._stale.add(row)

    def by_role(self, role: Role) -> tuple[int, ...]:
        """The role's rows, lowest first."""
        self.sync()
        return tuple(np.flatnonzero(self.in_role(role)).tolist())

    # --- what the matcher works on ---------------------------------------------------------------

    @property
    def size(self) -> int:
        """The length of every column and mask; vacant rows count."""
        return len(self._rows)

    def free(self, name: str) -> Column:
        """cpus, mem, disk, gpus or ports; as of the last `sync`."""
        return self._free[COLUMN_NAMES.index(name), : self.size]

    def in_role(self, role: Role) -> Mask:
        """The rows of the role; no vacant row is in any."""
        code = self._role_codes.get(role)
        if code is None:
            return np.zeros(self.size, np.bool_)
        return np.equal(self._role[: self.size], code)

    @property
    def order(self) -> Indexes:
        """The rows, the fullest first, ties by row; agents with gpus after all others (their gpus
        are scarce, and stay within reach of the tasks that ask for them)."""
        return self._keys & ROW_MASK

    def hosts(self) -> Codes:
        """A code for each row's hostname, the same for the same name."""
        return self._attribute(HOSTNAME).codes(self.size)

    def satisfying(self, constraint: Constraint) -> Mask:
        """By what is known of the agents alone, so neither counted nor about `@job`."""
        return self._attribute(constraint.attribute).mask(constraint, self.size)

    def among(self, attribute: str, values: Collection[str]) -> Mask:
        """The rows whose agent has one of the values."""
        return self._attribute(attribute).among(values, self.size)

    def counted(self, attribute: str, counts: Mapping[str, int]) -> Counts:
        return self._attribute(attribute).counted(counts, self.size)

    def port_free(self, port: int) -> Mask:
        def free_at(row: int) -> bool:
            found = self.get(row)
            return found is not None and any(
                holds(entry.ranges, port) for entry in found.pool.get(PORTS, ())
            )

        return _latest(self._ports, port, lambda: PortColumn(free_at)).mask(self.size)

    def _attribute(self, name: str) -> AttributeColumn:
        def values_at(indexes: list[int]) -> list[str | None]:
            found = [self._rows[row] for row in indexes]
            return [None if row is None else value_of(row.agent, name) for row in found]

        return _latest(self._attributes, name, lambda: AttributeColumn(values_at))

    # --- keeping the columns up to date ----------------------------------------------------------

    def sync(self) -> None:
        """Bring the columns up to date with the rows that changed since the last call."""
        if not self._stale:
            return
        if self.size > len(self._key):
            self._grow()
        stale = np.array(list(self._stale), np.int64)
        found = [self._rows[row] for row in stale.tolist()]
        sums = np.array([NOTHING if row is None else row.free for row in found], np.int64)
        self._free[:, stale] = sums.T
        for ports in self._ports.values():
            ports.forget(stale)
        if self._renewed:
            self._renew(np.array(list(self._renewed), np.int64))
        self._rank(stale, sums)
        self._stale.clear()
        self._renewed.clear()

    def _renew(self, renewed: Indexes) -> None:
        codes = []
        for row in renewed.tolist():
            found = self._rows[row]
            code = NO_ROLE
            if found is not None:
                code = self._role_codes.setdefault(found.role, len(self._role_codes))
            codes.append(code)
        self._role[renewed] = codes
        for column in self._attributes.values():
            column.forget(renewed)

    def _rank(self, stale: Indexes, sums: Column) -> None:
        """Sort again. `_keys` are right but for the stale rows, and a stable sort of what is nearly
        sorted is cheap; with the row in the low bits no two keys are the same."""
        score = np.minimum(sums[:, 0] * CPU_MILLI_IN_MEM_MILLI + sums[:, 1], FREE_MAX - 1)
        score[sums[:, 3] > 0] += FREE_MAX
        keys = (score << ROW_BITS) | stale
        keys[[self._rows[row] is None for row in stale.tolist()]] = NO_KEY
        former = self._key[stale]
        self._key[stale] = keys
        known = former != NO_KEY
        self._keys[np.searchsorted(self._keys, former[known])] = keys[known]
        self._keys = np.concatenate([self._keys, keys[~known]])
        self._keys.sort(kind="stable")
        self._keys = self._keys[: len(self)]

    def _grow(self) -> None:
        more = max(64, self.size, 2 * len(self._key)) - len(self._key)
        self._free = np.pad(self._free, ((0, 0), (0, more)))
        self._key = np.pad(self._key, (0, more), constant_values=NO_KEY)
        self._role = np.pad(self._role, (0, more), constant_values=NO_ROLE)


def _latest(known: dict[Name, Kept], name: Name, make: Callable[[], Kept]) -> Kept:
    """The column of that name, made when absent; the dict keeps the COLUMNS_MAX used last."""
    column = known.pop(name, None)
    if column is None:
        column = make()
        if len(known) >= COLUMNS_MAX:
            del known[next(iter(known))]
    known[name] = column
    return column
