"""Reads over what waits: the queue as a list, and the question why a job waits.

Nothing here changes a table, and nothing here takes long: what costs time is thought about
elsewhere, over the values that `question` gives (`explain.py`).
"""

import heapq
from itertools import islice
from typing import NamedTuple

from scheduler.core.asking import present_group
from scheduler.core.desk import Desk
from scheduler.core.explain import Question
from scheduler.core.fair_share import owner_of
from scheduler.core.inventory import Inventory
from scheduler.core.jobs.job import Job
from scheduler.core.known import Known, known_of
from scheduler.core.model.ids import JobId, Role
from scheduler.core.model.instance import AttemptState, Instance, Outcome
from scheduler.core.offers import Offers
from scheduler.core.placement.outlook import Access
from scheduler.core.placement.reasons import Reason, sentence
from scheduler.core.queue import Waiting
from scheduler.core.views import Page
from scheduler.core.waiting_views import BackOffView, WaitingView
from scheduler.core.wishes import Wishes

CURSOR_CHARS_MAX = 60

LOOKED_AT_MAX = 1000
"""Instances of a job that are looked at for the one that has waited the longest."""


class _Place(NamedTuple):
    """Where a job stands in the queue; its owner's share, which changes all the time, left out."""

    role: int
    priority: int
    choosy: int
    order: int


class QueueViews:
    def __init__(self, desk: Desk, offers: Offers, wishes: Wishes, inventory: Inventory) -> None:
        self._desk = desk
        self._offers = offers
        self._wishes = wishes
        self._inventory = inventory

    # --- the queue -------------------------------------------------------------------------------

    def queue(self, after: str, limit: int) -> Page[WaitingView]:
        """Raises ValueError for an `after` that is no `next` of a page."""
        start = _place_of(after)
        placed = ((self._place(group), group) for group in self._desk.queue)
        rest = ((place, group) for place, group in placed if start is None or place > start)
        found = heapq.nsmallest(limit + 1, rest, key=lambda entry: entry[0])
        items = [self._waiting_view(group) for _, group in found[:limit]]
        more = len(found) > limit
        return Page(items, " ".join(map(str, found[limit - 1][0])) if more else None)

    def _place(self, group: Waiting) -> _Place:
        roles = self._desk.policy.roles
        at = roles.index(group.role) if group.role in roles else len(roles)
        return _Place(at, -group.priority, int(not group.choosy), group.order)

    def _waiting_view(self, group: Waiting) -> WaitingView:
        job = self._desk.state.jobs[group.job]
        owner = owner_of(group.job)
        next_due = min(group.backoff.values(), default=None)
        at_rest = "parked" if group.active else "backoff"
        return WaitingView(
            job=group.job,
            role=group.role,
            owner=owner,
            share=round(self._desk.shares.of(owner), 6),
            priority=group.priority,
            state="awake" if group.awake else at_rest,
            waiting=len(group.active),
            backing_off=len(group.backoff),
            since=_since(job, group),
            next_at=self._wall(next_due) if next_due is not None else None,
            tries=group.tries,
            text=self.waits_for(group.job, backs_off=not group.active),
        )

    def waits_for(self, job: JobId, *, backs_off: bool) -> str:
        """What an instance waits for, in a few words: of the last try, where there was one."""
        if backs_off:
            return "back-off"
        if not self._desk.connected:
            return "the master"
        if self._desk.store_refusing:
            return "the store"
        group = self._desk.queue.group(job)
        if group is not None and group.shortfall is not None:
            return sentence(group.shortfall)
        return "the next offers"

    def _wall(self, mono: float) -> float:
        now = self._desk.now
        return now.wall + (mono - now.mono)

    # --- why a job waits -------------------------------------------------------------------------

    def question(self, job_id: JobId) -> Question | None:
        desk = self._desk
        job = desk.state.jobs.get(job_id)
        if job is None:
            return None
        group = desk.queue.group(job_id)
        return Question(
            job=job_id,
            state=job.state,
            owner=owner_of(job_id),
            priority=job.spec.priority,
            instances=job.spec.instances,
            live=_with_task(job),
            unconfirmed=self._unconfirmed(job),
            waiting=len(group.active) if group is not None else 0,
            since=_since(job, group) if group is not None else None,
            back_off=self._back_off(job, group) if group is not None else None,
            tries=group.tries if group is not None else 0,
            group=present_group(desk.state, job, desk.now.wall),
            blocked=self._blocked(),
            known=self.known(job.spec.template.role),
            history=desk.history.of(job_id),
        )

    def known(self, role: Role) -> Known:
        wishes, inventory, now = self._wishes, self._inventory, self._desk.now
        told = wishes.told(role)
        access = Access(
            wall=now.wall,
            suppressed=role in wishes.suppressed,
            gpus=wishes.takes_gpus,
            needs=told.needs,
            unhidden_at=wishes.returned.unhidden_at(role),
            revive_at=self._wall(told.revive_at) if told.revive_at is not None else None,
            listed_at=inventory.listed_at,
        )
        return known_of(role, self._offers.rows, wishes.returned, inventory, access)

    def _blocked(self) -> tuple[tuple[Reason, str], ...]:
        desk = self._desk
        found = []
        if not desk.connected:
            found.append((Reason.DISCONNECTED, "there is no connection with a master"))
        if desk.store_refusing:
            text = f"the store takes no writes: {desk.store_refusing}"
            found.append((Reason.STORE_REFUSING, text))
        return tuple(found)

    def _unconfirmed(self, job: Job) -> int:
        """Instances whose task the present master has not spoken of: they are not replaced."""
        reconciliation = self._desk.reconciliation
        if reconciliation.all_confirmed:
            return 0
        return sum(
            any(not reconciliation.confirmed(attempt.task_id) for attempt in instance.live)
            for instance in job.instances.values()
        )

    def _back_off(self, job: Job, group: Waiting) -> BackOffView | None:
        if not group.backoff:
            return None
        index, due = min(group.backoff.items(), key=lambda entry: entry[1])
        instance = job.instances.get(index) or Instance(job.id, index)
        last = instance.ended[0] if instance.ended else None
        return BackOffView(
            instances=len(group.backoff),
            until=self._wall(due),
            failures=instance.failures,
            state=last.state if last is not None else "",
            reason=last.reason if last is not None else "",
            message=last.message if last is not None else "",
        )


def _with_task(job: Job) -> int:
    """How many of its instances have a live attempt."""
    without = (AttemptState.QUEUED, *Outcome)
    return sum(count for state, count in job.state_counts().items() if state not in without)


def _since(job: Job, group: Waiting) -> float | None:
    """Since when the instance waits that has waited the longest of those that may be placed: by
    what is stored, so that it is the same under the next leader, who queues them by their index."""
    begins = None
    for index in islice(group.active, LOOKED_AT_MAX):
        instance = job.instances.get(index)
        if instance is None or not instance.ended:
            return job.record.changed_at  # none waits for longer
        began = max(instance.ended[0].since, job.record.changed_at)
        begins = began if begins is None else min(begins, began)
    return begins


def _place_of(after: str) -> _Place | None:
    """The place in a `next`; None for the first page."""
    if not after:
        return None
    parts = after.split(" ")
    digits = [part.removeprefix("-") for part in parts]
    whole = all(part.isascii() and part.isdigit() for part in digits)
    if len(parts) != 4 or len(after) > CURSOR_CHARS_MAX or not whole:
        raise ValueError("no page of the queue ends here")
    return _Place(*map(int, parts))
