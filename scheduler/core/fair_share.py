"""Whose turn it is: the highest priority first, and within one priority the owner who has the
smallest dominant share of the cluster (DRF, as Mesos' own allocator does among roles).

The owner of a job is the first part of its name (`team` of `team/web`); jobs without a `/` have
the nameless owner together. Between roles it is the master who shares fairly, by its offers.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import JobId
from scheduler.core.model.job import INSTANCES_MAX
from scheduler.core.model.resources import MILLI, SCALAR_NAMES, Amounts, values_of
from scheduler.core.queue import Waiting

TURN_INSTANCES = 32
"""What an owner may place in one turn while another of the same priority waits."""

UNKNOWN_CAPACITY = Amounts(MILLI, 4096 * MILLI, 65536 * MILLI, MILLI // 8, MILLI)
"""Weighs resources against each other while the cluster's size is not known: an eighth of a machine
with a gpu, as they are built."""

Owner = str


def owner_of(job: JobId) -> Owner:
    owner, slash, _ = job.partition("/")
    return owner if slash else ""


class Shares:
    """What each owner's live attempts use. An attempt counts as what its job asks for now."""

    def __init__(self) -> None:
        self._capacity = UNKNOWN_CAPACITY
        self._used: defaultdict[Owner, list[int]] = defaultdict(lambda: [0] * len(SCALAR_NAMES))
        self._of_job: dict[JobId, list[int]] = {}

    def set_capacity(self, totals: Iterable[Amounts]) -> None:
        """The agents' totals, as the master lists them. Without any, the last known stay."""
        sums = [sum(column) for column in zip(*map(values_of, totals), strict=True)]
        if any(sums):
            self._capacity = Amounts(*sums)

    def count(self, job: Job) -> None:
        """Call when attempts of the job began or ended, or it asks for something else."""
        amounts = [job.live * amount for amount in values_of(job.spec.template.amounts)]
        self._set(job.id, amounts if job.live else None)

    def forget(self, job: JobId) -> None:
        self._set(job, None)

    def of(self, owner: Owner) -> float:
        """The owner's largest share of any resource: 0.25 is a quarter of the cluster."""
        used = self._used.get(owner)
        if used is None:
            return 0.0
        pairs = zip(used, values_of(self._capacity), strict=True)
        return max((amount / total for amount, total in pairs if total), default=0.0)

    def _set(self, job: JobId, amounts: list[int] | None) -> None:
        before = self._of_job.pop(job, None)
        used = self._used[owner_of(job)]
        if before is not None:
            used[:] = [have - gone for have, gone in zip(used, before, strict=True)]
        if amounts is not None:
            self._of_job[job] = amounts
            used[:] = [have + more for have, more in zip(used, amounts, strict=True)]
        if not any(used):
            del self._used[owner_of(job)]


class Turns:
    """The groups that are to be tried, one turn after another. After each turn of a group say
    whether it goes on (`again`). A share that shrinks meanwhile counts from the owner's next turn
    on."""

    def __init__(self, groups: Iterable[Waiting], share_of: Callable[[Owner], float]) -> None:
        """`groups` in the order in which those of one owner have their turns."""
        self._share_of = share_of
        self._lines: defaultdict[tuple[int, Owner], deque[Waiting]] = defaultdict(deque)
        self._owners: defaultdict[int, int] = defaultdict(int)
        for group in groups:
            self._lines[-group.priority, owner_of(group.job)].append(group)
        self._heap: list[tuple[int, float, int, Owner]] = []
        for (priority, owner), line in self._lines.items():
            self._owners[priority] += 1
            self._heap.append((priority, share_of(owner), line[0].order, owner))
        heapq.heapify(self._heap)

    def next(self) -> Waiting | None:
        """Whose turn it is; None when all had theirs."""
        while self._heap:
            priority, share, order, owner = self._heap[0]
            now = self._share_of(owner)
            if now == share:
                return self._lines[priority, owner][0]
            heapq.heapreplace(self._heap, (priority, now, order, owner))
        return None

    @property
    def instances_max(self) -> int:
        """How many the present turn may place: as many as it likes, if there is nobody to leave
        any to."""
        return TURN_INSTANCES if self._owners[self._heap[0][0]] > 1 else INSTANCES_MAX

    def over(self, *, again: bool) -> None:
        """The turn of the group that `next` gave is over."""
        priority, _, _, owner = self._heap[0]
        line = self._lines[priority, owner]
        if not again:
            line.popleft()
        if line:
            entry = (priority, self._share_of(owner), line[0].order, owner)
            heapq.heapreplace(self._heap, entry)
        else:
            heapq.heappop(self._heap)
            self._owners[priority] -= 1
