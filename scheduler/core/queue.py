"""What waits for an offer: instances, grouped by job (a job's instances share one spec).

An instance is *active* (may be placed now) or in *backoff* (until its time). A group with active
instances is *awake* (to be tried on the rows we hold), or *parked*: it was tried and did not fit.
A parked group carries its shortfall, and wakes only for what could help it: rows that may hold it
(`placement/demand.py` tells), a change of its own, or the slow sweep, in case we overlooked
something. So what cannot be placed costs nothing while offers come and go, and one group never
blocks another.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator

from scheduler.core.model.ids import InstanceKey, JobId, Role
from scheduler.core.placement.columns import Indexes
from scheduler.core.placement.demand import Demand
from scheduler.core.placement.group import Group
from scheduler.core.placement.reasons import Shortfall
from scheduler.core.placement.rows import Rows


class Waiting:
    """The waiting instances of one job. `active` keeps the order of arrival; `tries` counts how
    often it was matched with rows, `parked_at` is when that last failed (monotonic). `choosy`: only
    some agents will do."""

    __slots__ = (
        "active",
        "backoff",
        "choosy",
        "job",
        "order",
        "parked_at",
        "priority",
        "role",
        "shortfall",
        "tries",
    )

    def __init__(self, job: JobId, role: Role, priority: int, order: int) -> None:
        self.job = job
        self.role = role
        self.priority = priority
        self.choosy = False
        self.order = order
        self.active: dict[int, None] = {}
        self.backoff: dict[int, float] = {}
        self.shortfall: Shortfall | None = None
        self.parked_at: float | None = None
        self.tries = 0

    @property
    def awake(self) -> bool:
        return bool(self.active) and self.parked_at is None


class _Line:
    """One role's waiting groups, so that a question about a role costs what that role has.

    `changes` counts what may change the order of those awake, other than that they leave it.
    `parked` is in the order of parking. `dues` is a heap whose stale entries are dropped when they
    come to the top. `revision` grows with each group that becomes active or ceases to be.
    """

    __slots__ = ("awake", "changes", "demand", "dues", "parked", "revision")

    def __init__(self) -> None:
        self.awake: dict[JobId, Waiting] = {}
        self.changes = 0
        self.parked: dict[JobId, Waiting] = {}
        self.demand = Demand()
        self.dues: list[tuple[float, InstanceKey]] = []
        self.revision = 0


class Queue:
    def __init__(self) -> None:
        self._groups: dict[JobId, Waiting] = {}
        self._lines: defaultdict[Role, _Line] = defaultdict(_Line)
        self._order = 0
        self._count = 0
        self.woken: dict[JobId, Role] = {}
        """Jobs that came to need offers which may have been refused before; who acts on it clears
        it."""

    def group(self, job: JobId) -> Waiting | None:
        return self._groups.get(job)

    # --- who waits -------------------------------------------------------------------------------

    def add(
        self,
        key: InstanceKey,
        role: Role,
        priority: int,
        due: float | None = None,
        *,
        choosy: bool = False,
    ) -> bool:
        """Make an instance wait, from `due` (monotonic) on. True when it is new or due at another
        time than before. A job whose role changes is discarded first."""
        group = self._groups.get(key.job)
        if group is None:
            self._order += 1
            group = self._groups[key.job] = Waiting(key.job, role, priority, self._order)
        if (group.priority, group.choosy) != (priority, choosy):
            group.priority, group.choosy = priority, choosy
            self._lines[role].changes += 1
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
            if group.active:
                self._rests(group)

    def wake(self, key: InstanceKey, mono: float) -> bool:
        """The back-off of an instance may be over; True when it became active."""
        group = self._groups.get(key.job)
        due = group.backoff.get(key.instance) if group is not None else None
        if group is None or due is None or due > mono:
            return False
        self._take(group, key.instance)
        self._activate(group, key.instance)
        return True

    def has_active(self, role: Role) -> bool:
        line = self._lines[role]
        return bool(line.awake or line.parked)

    def waiting(self, role: Role) -> Iterator[Waiting]:
        """The groups of a role, those in back-off too."""
        return (group for group in self._groups.values() if group.role == role)

    def revision(self, role: Role) -> int:
        """Another number than before when other groups of the role are active."""
        return self._lines[role].revision

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

    # --- who is to be tried ----------------------------------------------------------------------

    def awake(self, role: Role) -> list[Waiting]:
        """The groups of a role that are to be tried on the rows held: by priority, then in order
        of arrival, the choosy ones first. Who can run anywhere would else fill the few agents that
        others need, and find place elsewhere as well."""
        groups = list(self._lines[role].awake.values())
        groups.sort(key=lambda group: (-group.priority, not group.choosy, group.order))
        return groups

    def changes(self, role: Role) -> int:
        """While this is the same, `awake` tells nothing new: groups only left."""
        return self._lines[role].changes

    def is_awake(self, group: Waiting) -> bool:
        return self._lines[group.role].awake.get(group.job) is group

    def has_awake(self, role: Role) -> bool:
        return bool(self._lines[role].awake)

    def has_many_awake(self, role: Role, instances: int) -> bool:
        """So many instances of a role, or more, are to be tried."""
        awake = 0
        for group in self._lines[role].awake.values():
            awake += len(group.active)
            if awake >= instances:
                return True
        return False

    def few_awake(self, role: Role, limit: int) -> list[Waiting] | None:
        """The groups of a role that are to be tried, in no order; None: more than so many."""
        awake = self._lines[role].awake
        return list(awake.values()) if len(awake) <= limit else None

    def park(self, group: Waiting, asked: Group, mono: float) -> None:
        """No more of the group fits any row held."""
        line = self._lines[group.role]
        if line.awake.pop(group.job, None) is not None:
            group.parked_at = mono
            line.parked[group.job] = group
            line.demand.add(group.job, asked)

    def stir(self, job: JobId) -> None:
        """Something about the job itself changed that may let it fit: try it again."""
        group = self._groups.get(job)
        if group is not None and group.active:
            self._rouse(group)

    def call(self, job: JobId) -> None:
        """Something outside of the job changed that may let it fit on agents whose offers were
        turned down."""
        group = self._groups.get(job)
        if group is not None and group.active:
            self._rouse(group)
            self.woken[job] = group.role

    def stir_helped(self, role: Role, rows: Rows, fresh: Indexes) -> None:
        """Rows came that had not been there before: wake whom they may hold."""
        for job in self._lines[role].demand.helped_by(rows, fresh):
            self.stir(job)

    def sweep(self, parked_before: float) -> None:
        """Wake every group that has been parked since before then (monotonic)."""
        for line in self._lines.values():
            for group in list(line.parked.values()):
                if group.parked_at is not None and group.parked_at > parked_before:
                    break
                self._rouse(group)

    def parked_since(self) -> float | None:
        """Since when the group has been parked that has been for longest (monotonic)."""
        firsts = [next(iter(line.parked.values()), None) for line in self._lines.values()]
        times = [group.parked_at for group in firsts if group and group.parked_at is not None]
        return min(times, default=None)

    # --- between the two -------------------------------------------------------------------------

    def _activate(self, group: Waiting, index: int) -> None:
        if not group.active:
            self._lines[group.role].revision += 1
        if not group.active or group.choosy:
            # One more of what waits already may use no agent that the others may not; but a place
            # that one of them has left may count for all, where constraints count.
            self.woken[group.job] = group.role
        awake = group.awake
        group.active[index] = None
        self._count += 1
        if not awake:
            self._rouse(group)

    def _rouse(self, group: Waiting) -> None:
        self._leave(group)
        line = self._lines[group.role]
        line.awake[group.job] = group
        line.changes += 1

    def _leave(self, group: Waiting) -> None:
        """Out of its line: nothing of it is active, or it changes its place there."""
        line = self._lines[group.role]
        line.awake.pop(group.job, None)
        if line.parked.pop(group.job, None) is not None:
            line.demand.discard(group.job)
            group.parked_at = None

    def _take(self, group: Waiting, index: int) -> None:
        """Out of wherever it waits."""
        if index in group.active:
            del group.active[index]
            self._count -= 1
            if not group.active:
                self._rests(group)
        elif group.backoff.pop(index, None) is not None:
            self._count -= 1

    def _rests(self, group: Waiting) -> None:
        """Nothing of it is active any more."""
        self._leave(group)
        self._lines[group.role].revision += 1
