"""The offers we hold, as rows of numbers: one row for each agent and role.

Several offers of one agent and role are one row, because they go into one ACCEPT together. What is
offered is kept as entries, from which pieces are carved; how much of them is free, as int64 columns
that the matcher works on. What came and went is put into the columns by `sync`, which every
placement calls first.

This table does not decide anything and does not know jobs: `matcher.py` does and asks it for masks.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.job import Constraint
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import SCALAR_NAMES
from scheduler.core.placement.carve import (
    PORTS,
    Pool,
    Shape,
    amount_of,
    holds,
    pooled,
    remaining,
    shape_of,
)
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
COLUMN_NAMES = (*SCALAR_NAMES, PORTS)
COLUMN_OF = {name: at for at, name in enumerate(COLUMN_NAMES)}
NOTHING = [0] * len(COLUMN_NAMES)
_CPUS, _MEM, _GPUS = (COLUMN_OF[name] for name in ("cpus", "mem", "gpus"))


class Row:
    """One agent's offers for one role, pooled."""

    __slots__ = ("agent", "arrival", "offers", "pool", "role", "shape")

    def __init__(self, offer: Offer, arrival: int) -> None:
        self.agent: AgentInfo = offer.agent
        self.role: Role = offer.role
        self.arrival = arrival
        self.offers: list[Offer] = []
        self.pool: Pool = {}
        self.shape: Shape | None = None
        self.add(offer)

    def add(self, offer: Offer) -> None:
        """The agent is described as in the newest offer."""
        self.agent = offer.agent
        self.offers.append(offer)
        self.pool = pooled(self.pool, offer.resources)
        self.shape = shape_of(self.pool)

    def total(self) -> list[int]:
        """What the pool sums up to, in the order of COLUMN_NAMES; custom resources, which no job
        asks for, are not counted."""
        totals = [0] * len(COLUMN_NAMES)
        for name, entries in self.pool.items():
            if name in COLUMN_OF:
                totals[COLUMN_OF[name]] = amount_of(entries)
        return totals


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
        self._renewed: set[int] = set()
        """Rows that came, grew or went since the last `sync`: nothing in the columns is true."""
        self._moved: set[int] = set()
        """Rows that were taken from since: they are elsewhere in the order."""
        self._taken_from: set[int] = set()
        """Rows of which less is left than their pools hold."""
        self._leaving: dict[int, float] = {}
        """When maintenance of a row's agent begins (wall), of the few for which any is planned."""
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
            self[row].pool = self.left(row)
            self[row].add(offer)
            self._taken_from.discard(row)
        if offer.unavailable_from is not None:
            self._leaving[row] = offer.unavailable_from
        self._row_of_offer[offer.offer_id] = row
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
        self._taken_from.discard(row)
        self._leaving.pop(row, None)
        self._renewed.add(row)
        return tuple(gone.offers)

    def left(self, row: int) -> Pool:
        """What of the row's entries has not been taken."""
        pool = self[row].pool
        if row not in self._taken_from:
            return pool
        return remaining(pool, {name: int(self.free(name)[row]) for name in SCALAR_NAMES})

    def take(self, rows: Indexes, asked: Sequence[int], times: Column) -> None:
        """From each of the rows, which are all different, so many `times` what is `asked` (in the
        order of COLUMN_NAMES) is gone: it was carved out. As of the last `sync`."""
        self._free[:, rows] -= np.outer(asked, times)
        taken_from = rows.tolist()
        self._taken_from.update(taken_from)
        self._moved.update(taken_from)

    def take_ports(self, row: int, pool: Pool) -> None:
        """The ports that the pool lacks are gone; `take` says how many they are."""
        self[row].pool = pool

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
        """Of one of COLUMN_NAMES; as of the last `sync`."""
        return self._free[COLUMN_OF[name], : self.size]

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

    def leaving_before(self, wall: float) -> Mask | None:
        """The rows whose agents have maintenance planned that begins before; None: there are
        none."""
        rows = [row for row, begins in self._leaving.items() if begins < wall]
        if not rows:
            return None
        mask = np.zeros(self.size, np.bool_)
        mask[rows] = True
        return mask

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
        if not self._renewed and not self._moved:
            return
        if self.size > len(self._key):
            self._grow()
        changed = np.array(list(self._renewed | self._moved), np.int64)
        if self._renewed:
            self._renew(np.array(list(self._renewed), np.int64))
        for ports in self._ports.values():
            ports.forget(changed)
        self._rank(changed)
        self._renewed.clear()
        self._moved.clear()

    def _renew(self, renewed: Indexes) -> None:
        codes, totals = [], []
        for row in renewed.tolist():
            found = self._rows[row]
            if found is None:
                codes.append(NO_ROLE)
                totals.append(NOTHING)
            else:
                codes.append(self._role_codes.setdefault(found.role, len(self._role_codes)))
                totals.append(found.total())
        self._role[renewed] = codes
        self._free[:, renewed] = np.array(totals, np.int64).T
        for column in self._attributes.values():
            column.forget(renewed)

    def _rank(self, changed: Indexes) -> None:
        """Sort again. `_keys` are right but for the changed rows, and a stable sort of what is
        nearly sorted is cheap, more so of the part within which rows only moved. With the row in
        the low bits no two keys are the same."""
        free = self._free[:, changed]
        cpus, mem, gpus = free[_CPUS], free[_MEM], free[_GPUS]
        score = np.minimum(cpus * CPU_MILLI_IN_MEM_MILLI + mem, FREE_MAX - 1)
        score[gpus > 0] += FREE_MAX
        keys = (score << ROW_BITS) | changed
        keys[self._role[changed] == NO_ROLE] = NO_KEY
        former = self._key[changed]
        self._key[changed] = keys
        known = former != NO_KEY
        places = np.searchsorted(self._keys, former[known])
        least, most = int(keys.min()), int(keys.max())
        if len(places) == len(keys) and most != NO_KEY:
            begin = min(int(places.min()), int(self._keys.searchsorted(least)))
            end = max(int(places.max()) + 1, int(self._keys.searchsorted(most)))
            self._keys[places] = keys
            self._keys[begin:end].sort(kind="stable")
            return
        self._keys[places] = keys[known]
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
