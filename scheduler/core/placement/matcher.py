"""Chooses rows for instances that ask for the same: one vectorised pass for a whole group.

`place` only chooses; `assign` then cuts the pieces for what goes on one row and notes them as
taken. Until then the rows are as they were, so whoever places may stop after any row.
Rows are filled the fullest first (bin-packing), each with as many instances as fit, before the next
one, unless the group wants it otherwise (`picking.py`). The same rows and the same group always
give the same answer.

It knows nothing of queues, priorities and budgets: one call is one group, in time linear in rows.
"""

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np

from scheduler.core.model.job import INSTANCES_MAX
from scheduler.core.model.resources import SCALAR_NAMES, values_of
from scheduler.core.placement.carve import PORTS, Carved, Shape, carve, scalars_of
from scheduler.core.placement.columns import Indexes, Mask
from scheduler.core.placement.constraints import AGENT, HOSTNAME
from scheduler.core.placement.filters import admitting
from scheduler.core.placement.group import (
    NO_PREFERENCES,
    UNIQUE_HOST,
    Group,
    counted_among,
    uncounted_among,
)
from scheduler.core.placement.picking import pick
from scheduler.core.placement.reasons import Cause, Reason, Shortfall
from scheduler.core.placement.rows import Column, Rows
from scheduler.core.placement.tally import tallies_of

_SCALARS = tuple((Reason(name), name) for name in SCALAR_NAMES)

Share = tuple[int, int]
"""A row, and how many instances of the group it is to take."""


class Placed(msgspec.Struct, frozen=True):
    """The rows to fill, in order; `shortfall` is None when they take all instances, but for the
    `later` ones, which were too many to choose for now."""

    shares: tuple[Share, ...]
    shortfall: Shortfall | None = None
    later: int = 0

    @property
    def instances(self) -> int:
        return sum([instances for _, instances in self.shares])


def place(rows: Rows, group: Group, count: int, one_by_one_max: int = INSTANCES_MAX) -> Placed:
    """Choose rows for `count` instances, as many as fit. Of those for which one row has to be
    chosen after another, no more than `one_by_one_max`."""
    rows.sync()
    fitting = _fitting(rows, group)
    leaving = rows.leaving_before(group.stays_until)
    if leaving is not None:
        among = ~leaving & fitting
        placed = _choose(rows, group, fitting, among, count, one_by_one_max)
        if count - placed.instances == placed.later:
            return placed
    placed = _choose(rows, group, fitting, fitting, count, one_by_one_max)
    missing = count - placed.instances
    if missing == placed.later:
        return placed
    return Placed(placed.shares, _explain(rows, group, fitting, placed.shares, missing))


def assign(
    rows: Rows, group: Group, shares: Sequence[Share], seed: int
) -> list[tuple[Carved, ...]]:
    """For each share, cut the pieces of its instances out of its row and note them as taken.

    Fewer than its instances, or none: the row does not hold more (any more). Right after `place`
    that cannot be; it can when the row changed since. `seed` spreads dynamic ports. No row is in
    two shares.
    """
    rows.sync()
    chosen = [row for row, _ in shares]
    at = np.array(chosen, np.int64)
    takes = np.array([instances for _, instances in shares], np.int64)
    takes[~rows.in_role(group.role)[at]] = 0
    takes = np.minimum(takes, _capacity(rows, group, at))
    cutter = _Cutter(rows, group)
    cuts = [
        cutter.cut(row, count, seed + row) if count > 0 else ()
        for row, count in zip(chosen, takes.tolist(), strict=True)
    ]
    asked = (*values_of(group.amounts), len(group.ports))
    rows.take(at, asked, np.array([len(tasks) for tasks in cuts], np.int64))
    return cuts


class _Cutter:
    """Cuts for one group; what rows of one shape give is worked out once."""

    def __init__(self, rows: Rows, group: Group) -> None:
        self._rows = rows
        self._scalars = scalars_of(group.amounts)
        self._ports = group.ports
        self._alike: dict[Shape, Carved] = {}

    def cut(self, row: int, count: int, seed: int) -> tuple[Carved, ...]:
        found = self._rows[row]
        shape = found.shape
        if shape is None or self._ports:
            return self._carve(row, count, seed)
        carved = self._alike.get(shape)
        if carved is None:
            (carved,) = self._carve(row, 1, seed)
            self._alike[shape] = carved
        return (carved,) * count

    def _carve(self, row: int, count: int, seed: int) -> tuple[Carved, ...]:
        rows = self._rows
        left = {name: int(rows.free(name)[row]) for name, _ in self._scalars}
        cut = carve(rows[row].pool, left, self._scalars, self._ports, count, seed)
        if self._ports:
            rows.take_ports(row, cut.pool)
        return cut.tasks


# --- choosing ------------------------------------------------------------------------------------


def _choose(
    rows: Rows, group: Group, fitting: Mask, among: Mask, count: int, one_by_one_max: int
) -> Placed:
    """The first rows in order that take the instances, each filled before the next, where there is
    no more to it. `among` are those of the `fitting` rows that are to be used."""
    counted = counted_among(group.constraints)
    if group.prefer != NO_PREFERENCES or counted not in ([], [UNIQUE_HOST]):
        capacity = partial(_capacity, rows, group)
        picked = pick(rows, group, fitting, among, capacity, count, one_by_one_max)
        return Placed(picked.shares, later=picked.later)
    if counted:
        among = among & ~rows.among(HOSTNAME, group.taken_hosts)
    order = rows.order
    candidates = order[among[order]]
    if counted:
        candidates = _first_of_each_host(rows, candidates, count)
    candidates = candidates[:count]
    takes = np.minimum(_capacity(rows, group, candidates), count)
    before = np.cumsum(takes) - takes
    needed = int(np.searchsorted(before, count))
    takes = np.minimum(takes, count - before)[:needed]
    return Placed(tuple(zip(candidates[:needed].tolist(), takes.tolist(), strict=True)))


def _fitting(rows: Rows, group: Group) -> Mask:
    """The rows that hold one instance at least, but for what the job's other tasks rule out."""
    fits = rows.in_role(group.role)
    for _, excluded in _excluded(rows, group):
        fits &= ~excluded
    for condition in uncounted_among(group.constraints):
        fits &= admitting(rows, condition, group.company)
    for _, name, asked in _asked(group):
        fits &= rows.free(name) >= asked
    for _, free in _fixed_ports(rows, group):
        fits &= free
    return fits


def _excluded(rows: Rows, group: Group) -> list[tuple[Reason, Mask]]:
    """Rows of agents that are not to be used whatever they have free."""
    excluded = []
    if group.avoided:
        excluded.append((Reason.AGENT_AVOIDED, rows.among(AGENT, group.avoided)))
    leaving = rows.leaving_before(group.needs_until)
    if leaving is not None:
        excluded.append((Reason.MAINTENANCE, leaving))
    return excluded


def _capacity(rows: Rows, group: Group, at: Indexes) -> Column:
    """How many instances each of the rows has enough free for."""
    once = UNIQUE_HOST in group.constraints or any(port.host is not None for port in group.ports)
    capacity = np.full(len(at), 1 if once else INSTANCES_MAX)
    for _, name, asked in _asked(group):
        np.minimum(capacity, rows.free(name)[at] // asked, out=capacity)
    return capacity


def _asked(group: Group) -> list[tuple[Reason, str, int]]:
    """What the group asks for: thousandths, and ports, of each column that it asks for at all.

    A fixed port is one of the row's free ones too, so `ports` counts both kinds.
    """
    amounts = zip(_SCALARS, values_of(group.amounts), strict=True)
    asked = [(reason, name, amount) for (reason, name), amount in amounts if amount]
    if group.ports:
        asked.append((Reason.PORTS, PORTS, len(group.ports)))
    return asked


def _fixed_ports(rows: Rows, group: Group) -> list[tuple[int, Mask]]:
    """For each fixed port the rows in which it is free; asked for twice, it is nowhere."""
    fixed = [port.host for port in group.ports if port.host is not None]
    return [
        (port, rows.port_free(port) if fixed.count(port) == 1 else np.zeros(rows.size, np.bool_))
        for port in dict.fromkeys(fixed)
    ]


def _first_of_each_host(rows: Rows, candidates: Indexes, count: int) -> Indexes:
    """`count` of them, without those whose host came before: a host may have several agents."""
    codes = rows.hosts()
    some = candidates[: 2 * count]
    first = np.unique(codes[some], return_index=True)[1]
    if len(first) < count and len(some) < len(candidates):
        some = candidates
        first = np.unique(codes[some], return_index=True)[1]
    return some[np.sort(first)]


# --- explaining ----------------------------------------------------------------------------------


class _Check(msgspec.Struct):
    """One thing that can rule rows out: which it does, and by how much where that has a measure."""

    cause: Cause
    fails: Mask
    short: Column | None = None


def _explain(
    rows: Rows, group: Group, fitting: Mask, shares: Sequence[Share], missing: int
) -> Shortfall:
    """Why the next instance fits nowhere, with the shares counted as taken."""
    left = rows.in_role(group.role)
    held = int(np.count_nonzero(left))
    if not held:
        return Shortfall(missing, 0, (Cause(Reason.NO_OFFERS, 0),))
    used = np.zeros(rows.size, np.int64)
    for row, instances in shares:
        used[row] = instances
    checks = [_Check(Cause(reason, 0), mask) for reason, mask in _excluded(rows, group)]
    checks += [*_attribute_checks(rows, group), *_counted_checks(rows, group, fitting, used)]
    checks += _amount_checks(rows, group, used)  # a row counts under the first that it fails
    failed = np.zeros(rows.size, np.int8)
    for check in checks:
        failed += check.fails
    alone = failed == 1
    causes = []
    for check in checks:
        counted = check.fails & left
        count = int(np.count_nonzero(counted))
        if not count:
            continue
        left &= ~check.fails
        only = counted & alone
        only_count = int(np.count_nonzero(only))
        short = 0
        if check.short is not None:
            short = int(check.short[only if only_count else counted].min())
        constraint, port = check.cause.constraint, check.cause.port
        causes.append(Cause(check.cause.reason, count, only_count, short, constraint, port))
    return Shortfall(missing, held, tuple(causes))


def _attribute_checks(rows: Rows, group: Group) -> list[_Check]:
    checks = []
    for condition in uncounted_among(group.constraints):
        cause = Cause(Reason.CONSTRAINT, 0, constraint=condition)
        checks.append(_Check(cause, ~admitting(rows, condition, group.company)))
    return checks


def _counted_checks(rows: Rows, group: Group, fitting: Mask, used: Column) -> list[_Check]:
    """What the job's tasks, with those on the used rows, leave no room for."""
    counted = counted_among(group.constraints)
    if counted == [UNIQUE_HOST]:
        taken = rows.among(HOSTNAME, group.taken_hosts) | _on_used_hosts(rows, used)
        return [_Check(Cause(Reason.HOST_TAKEN, 0), taken)]
    checks = []
    tallies = tallies_of(rows, group, fitting)
    for tally in tallies.values():
        tally.add(used)
    for constraint in counted:
        tally = tallies[constraint.attribute]
        cause = Cause(Reason.CONSTRAINT, 0, constraint=constraint)
        if constraint == UNIQUE_HOST:
            cause = Cause(Reason.HOST_TAKEN, 0)
        checks.append(_Check(cause, ~tally.allowed(constraint)[tally.codes]))
    return checks


def _amount_checks(rows: Rows, group: Group, used: Column) -> list[_Check]:
    checks = []
    for reason, name, asked in _asked(group):
        short = asked * (used + 1) - rows.free(name)
        checks.append(_Check(Cause(reason, 0), short > 0, short))
    for port, free in _fixed_ports(rows, group):
        cause = Cause(Reason.FIXED_PORT, 0, port=port)
        checks.append(_Check(cause, ~free | (used > 0)))
    return checks


def _on_used_hosts(rows: Rows, used: Column) -> Mask:
    hosts = rows.hosts()
    table = np.zeros(int(hosts.max(initial=-1)) + 2, np.bool_)  # the last is for vacant rows (-1)
    table[hosts[used > 0]] = True
    return np.take(table, hosts)
