"""What waits for an offer: instances, grouped by job (a job's instances share one spec).

An instance is *active* (may be placed now) or in *backoff* (until its time). A group that was tried
and did not fit is *parked*: it carries its shortfall, and is tried again when offers come. One
group never blocks another.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator

from scheduler.core.model.ids import InstanceKey, JobId, Role
from scheduler.core.placement.reasons import Shortfall


class Waiting:
    """The waiting instances of one job. `active` keeps the order of arrival; `tried` is the round
    of offers in which no more of them fitted."""

    __slots__ = ("active", "backoff", "job", "order", "priority", "role", "shortfall", "tried")

    def __init__(self, job: JobId, role: Role, priority: int, order: int) -> None:
        self.job = job
        self.role = role
        self.priority = priority
        self.order = order
        self.active: dict[int, None] = {}
        self.backoff: dict[int, float] = {}
        self.shortfall: Shortfall | None = None
        self.tried = -1


class _Line:
    """One role's waiting groups, so that a question about a role costs what that role has.

    `dues` is a heap whose stale entries are dropped when they come to the top.
    """

    __slots__ = ("active", "dues")

    def __init__(self) -> None:
        self.active: dict[JobId, Waiting] = {}
        self.dues: list[tuple[float, InstanceKey]] = []


class Queue:
    def __init__(self) -> None:
        self._groups: dict[JobId, Waiting] = {}
        self._lines: defaultdict[Role, _Line] = defaultdict(_Line)
        self._order = 0
        self._count = 0
        self.woken: set[Role] = set()
        """Roles in which something became active; who acts on it clears it."""

    def group(self, job: JobId) -> Waiting | None:
        return self._groups.get(job)

    def add(self, key: InstanceKey, role: Role, priority: int, due: float | None = None) -> bool:
        """Make an instance wait, from `due` (monotonic) on. True when it is new or due at another
        time than before. A job whose role changes is discarded first."""
        group = self._groups.get(key.job)
        if group is None:
            self._order += 1
            group = self._groups[key.job] = Waiting(key.job, role, priority, self._order)
        group.priority = priority
        if due is None:
            if key.instance in group.active:
                return False
            self._take(group, key.instance)
            self._activate(group, key.instance)
            return True
        if group.backoff.get(key.instance) == due:
            return False
        self._take(group, key.instance)
        group.backoff[key.instance] = due
        self._count += 1
        heapq.heappush(self._lines[role].dues, (due, key))
        return True

    def discard(self, key: InstanceKey) -> None:
        group = self._groups.get(key.job)
        if group is not None:
            self._take(group, key.instance)
            if not group.active and not group.backoff:
                del self._groups[key.job]

    def discard_job(self, job: JobId) -> None:
        group = self._groups.pop(job, None)
        if group is not None:
            self._count -= len(group.active) + len(group.backoff)
            self._lines[group.role].active.pop(job, None)

    def wake(self, key: InstanceKey, mono: float) -> bool:
        """The back-off of an instance may be over; True when it became active."""
        group = self._groups.get(key.job)
        due = group.backoff.get(key.instance) if group is not None else None
        if group is None or due is None or due > mono:
            return False
        self._take(group, key.instance)
        self._activate(group, key.instance)
        return True

    def active_groups(self, role: Role) -> list[Waiting]:
        """The groups of a role that may be placed now: by priority, then in order of arrival."""
        groups = list(self._lines[role].active.values())
        groups.sort(key=lambda group: (-group.priority, group.order))
        return groups

    def has_active(self, role: Role) -> bool:
        return bool(self._lines[role].active)

    def next_due(self, role: Role) -> float | None:
        """When the first back-off of this role ends; None when there is none."""
        dues = self._lines[role].dues
        while dues:
            due, key = dues[0]
            group = self._groups.get(key.job)
            if group is not None and group.backoff.get(key.instance) == due:
                return due
            heapq.heappop(dues)
        return None

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._groups.values())

    def __len__(self) -> int:
        return self._count

    def _activate(self, group: Waiting, index: int) -> None:
        group.active[index] = None
        self._count += 1
        self._lines[group.role].active[group.job] = group
        self.woken.add(group.role)

    def _take(self, group: Waiting, index: int) -> None:
        """Out of wherever it waits."""
        if index in group.active:
            del group.active[index]
            self._count -= 1
            if not group.active:
                del self._lines[group.role].active[group.job]
        elif group.backoff.pop(index, None) is not None:
            self._count -= 1
