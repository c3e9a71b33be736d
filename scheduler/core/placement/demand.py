"""What the parked groups of one role ask for, so that new rows wake only whom they could help.

A group is parked when none of the rows fitted it. Rows only shrink while they are held, so it is
worth trying again only on rows that are new since. `helped_by` answers for all parked groups at
once, without trying one of them: it may name a group that does not fit after all, and never leaves
out one that does.

It knows what groups ask for and nothing else of them: `queue.py` keeps them, `matcher.py` places.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from scheduler.core.model.ids import JobId
from scheduler.core.model.job import Condition, Constraint, Operator
from scheduler.core.model.resources import values_of
from scheduler.core.placement.columns import Indexes, Mask
from scheduler.core.placement.constraints import value_of
from scheduler.core.placement.filters import about_jobs, admitting
from scheduler.core.placement.group import Group, counted_among
from scheduler.core.placement.rows import COLUMN_NAMES, Column, Rows

NOBODY_HAS = np.iinfo(np.int64).max
LARGEST_MAX = 64
"""Rows compared one by one; what is smaller than these is compared as if it were a single row."""

Closed = tuple[tuple[str, frozenset[str]], ...]
"""For attributes that a job counts by, the values at which no more of it may run."""


class _Terms:
    """What is asked of a row besides amounts. Slots that ask the same share one."""

    __slots__ = ("code", "constraints", "ports", "slots")

    def __init__(self, code: int, constraints: tuple[Condition, ...], ports: tuple[int, ...]):
        self.code = code
        self.constraints = constraints
        self.ports = ports
        self.slots = 0


class _Slot:
    """One row of the columns: jobs that ask for the same, with what is closed to each."""

    __slots__ = ("index", "jobs", "key", "terms")

    def __init__(self, index: int, key: "_Key", terms: _Terms) -> None:
        self.index = index
        self.key = key
        self.terms = terms
        self.jobs: dict[JobId, Closed] = {}


_TermsKey = tuple[tuple[Condition, ...], tuple[int, ...]]
_Key = tuple[tuple[int, ...], _TermsKey]


class Demand:
    """`_need` holds what one instance asks for, in the order of COLUMN_NAMES."""

    def __init__(self) -> None:
        self._slots: dict[_Key, _Slot] = {}
        self._by_index: list[_Slot | None] = []
        self._slot_of: dict[JobId, _Slot] = {}
        self._vacant: list[int] = []
        self._terms: dict[_TermsKey, _Terms] = {}
        self._terms_made = 0
        self._need = np.zeros((0, len(COLUMN_NAMES)), np.int64)
        self._code = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """How many groups are in here."""
        return len(self._slot_of)

    def add(self, job: JobId, group: Group) -> None:
        """The job's group is parked. What is closed to it stays so until it is added anew."""
        self.discard(job)
        key = _key_of(group)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._new_slot(key)
        slot.jobs[job] = _closed(group)
        self._slot_of[job] = slot

    def discard(self, job: JobId) -> None:
        slot = self._slot_of.pop(job, None)
        if slot is None:
            return
        del slot.jobs[job]
        if not slot.jobs:
            del self._slots[slot.key]
            self._by_index[slot.index] = None
            self._need[slot.index] = NOBODY_HAS
            self._vacant.append(slot.index)
            slot.terms.slots -= 1
            if not slot.terms.slots:
                del self._terms[slot.key[1]]

    def helped_by(self, rows: Rows, fresh: Indexes) -> list[JobId]:
        """The groups that one of the rows `fresh` may hold an instance of."""
        if not self._slot_of or not len(fresh):
            return []
        free = np.stack([rows.free(name)[fresh] for name in COLUMN_NAMES], axis=1)
        used = len(self._by_index)
        near = np.flatnonzero((self._need[:used] <= free.max(axis=0)).all(axis=1))
        offered = _Offered(rows, fresh)
        helped: list[JobId] = []
        for slots in self._by_terms(near):
            first = self._by_index[slots[0]]
            assert first is not None, "a vacant slot asks for more than there is"
            admitted = offered.admitted(first.terms)
            if not admitted.any():
                continue
            best = largest(free[admitted])
            fits = np.any(np.all(self._need[slots][:, None, :] <= best, axis=2), axis=1)
            names = [name for name, _ in next(iter(first.jobs.values()))]
            values = {name: offered.values(name, admitted) for name in names}
            for index in slots[fits].tolist():
                slot = self._by_index[index]
                for job, closed in slot.jobs.items() if slot is not None else ():
                    if not any(values[name] <= full for name, full in closed):
                        helped.append(job)
        return helped

    def _by_terms(self, slots: Indexes) -> Iterator[Indexes]:
        """The slots in pieces, each of one code."""
        ordered = slots[np.argsort(self._code[slots], kind="stable")]
        codes = self._code[ordered]
        cuts = np.flatnonzero(codes[1:] != codes[:-1]) + 1
        return iter(np.split(ordered, cuts) if len(ordered) else [])

    def _new_slot(self, key: _Key) -> _Slot:
        need, terms_key = key
        terms = self._terms.get(terms_key)
        if terms is None:
            self._terms_made += 1
            terms = self._terms[terms_key] = _Terms(self._terms_made, *terms_key)
        terms.slots += 1
        if self._vacant:
            index = self._vacant.pop()
        else:
            index = len(self._by_index)
            self._by_index.append(None)
            if index >= len(self._need):
                self._grow()
        slot = self._by_index[index] = _Slot(index, key, terms)
        self._need[index] = need
        self._code[index] = terms.code
        return slot

    def _grow(self) -> None:
        more = max(64, len(self._need))
        self._need = np.pad(self._need, ((0, more), (0, 0)), constant_values=NOBODY_HAS)
        self._code = np.pad(self._code, (0, more))


class _Offered:
    """The new rows, asked about by many terms: what they have in common is worked out once."""

    def __init__(self, rows: Rows, fresh: Indexes) -> None:
        self._rows = rows
        self._fresh = fresh
        self._agents = [rows[row].agent for row in fresh.tolist()]
        self._values: dict[str, set[str | None]] = {}

    def admitted(self, terms: _Terms) -> Mask:
        """The new rows that every constraint and fixed port allows. What the tasks of this or
        another job rule out is not looked at here: that is another thing for each job."""
        lasting = [one for one in terms.constraints if not _passing(one)]
        if any(not self._anywhere(condition) for condition in lasting):
            return np.zeros(len(self._fresh), np.bool_)
        admitted = np.ones(len(self._fresh), np.bool_)
        for condition in lasting:
            admitted &= admitting(self._rows, condition, {})[self._fresh]
        for port in terms.ports:
            admitted &= self._rows.port_free(port)[self._fresh]
        return admitted

    def values(self, attribute: str, admitted: Mask) -> set[str]:
        """Those that the admitted rows have; who has none, no job that counts by it may use."""
        agents = [self._agents[at] for at in np.flatnonzero(admitted).tolist()]
        found = (value_of(agent, attribute) for agent in agents)
        return {value for value in found if value is not None}

    def _anywhere(self, constraint: Condition) -> bool:
        """A quick no for the commonest constraint: thousands of jobs may name a value each."""
        if not isinstance(constraint, Constraint) or constraint.operator is not Operator.IS:
            return True
        values = self._values.get(constraint.attribute)
        if values is None:
            values = {value_of(agent, constraint.attribute) for agent in self._agents}
            self._values[constraint.attribute] = values
        return constraint.value in values


def _closed(group: Group) -> Closed:
    """By `unique` and `max_per`; what the others allow changes with every row that is seen."""
    limits = {
        one.attribute: 1 if one.operator is Operator.UNIQUE else one.count
        for one in counted_among(group.constraints)
        if one.operator in (Operator.UNIQUE, Operator.MAX_PER)
    }
    return tuple(
        (name, frozenset(value for value, tasks in _counts(group, name) if tasks >= limit))
        for name, limit in limits.items()
    )


def _counts(group: Group, name: str) -> Iterable[tuple[str, int]]:
    return group.counts.get(name, {}).items()


def _passing(condition: Condition) -> bool:
    """It depends on what runs where, not on the agents alone."""
    counted = isinstance(condition, Constraint) and condition.operator.counted
    return counted or bool(about_jobs(condition))


def largest(free: Column) -> Column:
    """Rows such that whatever fits into any of `free` fits into one of these: those that no other
    holds more than in everything. Of more than LARGEST_MAX the rest stand together as one."""
    rest = free[np.argsort(-free.sum(axis=1), kind="stable")]
    kept: list[Column] = []
    while len(rest) and len(kept) < LARGEST_MAX:
        kept.append(rest[0])
        rest = rest[(rest > rest[0]).any(axis=1)]
    if len(rest):
        kept.append(rest.max(axis=0))
    return np.array(kept, np.int64)


def _key_of(group: Group) -> _Key:
    fixed = tuple(port.host for port in group.ports if port.host is not None)
    asked = (*values_of(group.amounts), len(group.ports))
    return asked, (group.constraints, fixed)
