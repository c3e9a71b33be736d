"""What waits for an offer: instances, grouped by job (a job's instances share one spec).

An instance is *active* (may be placed now) or in *backoff* (until its time). A group that was tried
and did not fit is *parked*: it carries its shortfall, and is tried again when offers come. One
group never blocks another.
"""

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


class Queue:
    def __init__(self) -> None:
        self._groups: dict[JobId, Waiting] = {}
        self._order = 0
        self.woken: set[Role] = set()
        """Roles in which something became active; who acts on it clears it."""

    def group(self, job: JobId) -> Waiting | None:
        return self._groups.get(job)

    def add(self, key: InstanceKey, role: Role, priority: int, due: float | None = None) -> bool:
        """Make an instance wait, from `due` (monotonic) on. True when it is new or due at another
        time than before."""
        group = self._groups.get(key.job)
        if group is None:
            self._order += 1
            group = self._groups[key.job] = Waiting(key.job, role, priority, self._order)
        group.role = role
        group.priority = priority
        if due is None:
            group.backoff.pop(key.instance, None)
            if key.instance in group.active:
                return False
            group.active[key.instance] = None
            self.woken.add(role)
            return True
        if group.backoff.get(key.instance) == due:
            return False
        group.active.pop(key.instance, None)
        group.backoff[key.instance] = due
        return True

    def discard(self, key: InstanceKey) -> None:
        group = self._groups.get(key.job)
        if group is not None:
            group.active.pop(key.instance, None)
            group.backoff.pop(key.instance, None)
            if not group.active and not group.backoff:
                del self._groups[key.job]

    def discard_job(self, job: JobId) -> None:
        self._groups.pop(job, None)

    def wake(self, key: InstanceKey, mono: float) -> bool:
        """The back-off of an instance may be over; True when it became active."""
        group = self._groups.get(key.job)
        due = group.backoff.get(key.instance) if group is not None else None
        if group is None or due is None or due > mono:
            return False
        del group.backoff[key.instance]
        group.active[key.instance] = None
        self.woken.add(group.role)
        return True

    def active_groups(self, role: Role) -> list[Waiting]:
        """The groups of a role that may be placed now: by priority, then in order of arrival."""
        groups = [g for g in self._groups.values() if g.active and g.role == role]
        groups.sort(key=lambda group: (-group.priority, group.order))
        return groups

    def has_active(self, role: Role) -> bool:
        return any(group.active and group.role == role for group in self._groups.values())

    def next_due(self, role: Role) -> float | None:
        """When the first back-off of this role ends; None when there is none."""
        dues = [
            min(group.backoff.values())
            for group in self._groups.values()
            if group.backoff and group.role == role
        ]
        return min(dues, default=None)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._groups.values())

    def __len__(self) -> int:
        return sum(len(group.active) + len(group.backoff) for group in self._groups.values())
