"""Reads over the engine's live tables, as the values of `views.py`. Nothing here changes a table.

Lists are paged by key, so a page costs what it shows, not what there is.
"""

import bisect
import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import msgspec

from scheduler.core.desk import Desk
from scheduler.core.explain import Question
from scheduler.core.inventory import Agent, Inventory
from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import InstanceKey, JobId, Role, TaskId
from scheduler.core.model.instance import Attempt, AttemptState, Instance
from scheduler.core.model.job import JobSpec
from scheduler.core.neighbours import Neighbours
from scheduler.core.offers import Offers
from scheduler.core.plan import PlanQuestion
from scheduler.core.planning import plan_question
from scheduler.core.queue_views import QueueViews
from scheduler.core.unknown import Unknown, UnknownTask
from scheduler.core.views import (
    AgentView,
    JobView,
    Page,
    RoleOffersView,
    StatusView,
    TaskView,
    UnknownTaskView,
)
from scheduler.core.waiting_views import WaitingView
from scheduler.core.wishes import Wishes

INDEX_DIGITS_MAX = 9


class Connection(msgspec.Struct, frozen=True):
    """What the engine knows of the stream: that it stands, or why it does not. Wall times."""

    master: str = ""
    since: float | None = None
    lost_at: float | None = None
    trouble: str = ""


class StateViews:
    """`connection` is replaced by the engine; the rest are its tables."""

    def __init__(
        self,
        desk: Desk,
        offers: Offers,
        wishes: Wishes,
        unknown: Unknown,
        inventory: Inventory,
        neighbours: Neighbours,
    ) -> None:
        self._desk = desk
        self._wishes = wishes
        self._unknown = unknown
        self._inventory = inventory
        self._neighbours = neighbours
        self._queue = QueueViews(desk, offers, wishes, inventory)
        self.connection = Connection()

    # --- jobs ------------------------------------------------------------------------------------

    def jobs(self, after: str, limit: int) -> Page[JobView]:
        jobs = self._desk.state.jobs
        names = heapq.nsmallest(limit + 1, (name for name in jobs if name > after))
        items = [_job_view(jobs[name]) for name in names[:limit]]
        return Page(items, names[limit - 1] if len(names) > limit else None)

    def job(self, job: JobId) -> JobView | None:
        found = self._desk.state.jobs.get(job)
        return _job_view(found) if found is not None else None

    def spec(self, job: JobId) -> JobSpec | None:
        found = self._desk.state.jobs.get(job)
        return found.spec if found is not None else None

    # --- tasks -----------------------------------------------------------------------------------

    def tasks(
        self,
        after: str,
        limit: int,
        *,
        job: JobId | None = None,
        instance: int | None = None,
        states: Collection[str] = (),
        ended: bool = False,
    ) -> Page[TaskView]:
        """Pages hold whole instances, so one may be a little longer than `limit`; `next` is
        `<job> <instance>` of the last one shown."""
        items: list[TaskView] = []
        last = ""
        for key in self._instances_after(_place_of(after), job, instance):
            if len(items) >= limit:
                return Page(items, last)
            shown = self._task_views(key, ended)
            items += [view for view in shown if not states or view.state in states]
            last = f"{key.job} {key.instance}"
        return Page(items, None)

    def task(self, task: TaskId) -> TaskView | None:
        found = self._desk.state.find(task)
        return _attempt_view(found.instance, found.attempt) if found is not None else None

    def _instances_after(
        self, after: tuple[str, int], only: JobId | None, index: int | None
    ) -> Iterator[InstanceKey]:
        jobs = self._desk.state.jobs
        after_job, after_index = after
        if only is not None and index is not None:
            if only in jobs:
                yield InstanceKey(only, index)
            return
        if only is not None:
            names = [only] if only in jobs else []
        else:
            names = sorted(jobs)
            names = names[bisect.bisect_left(names, after_job) :]
        for name in names:
            job = jobs[JobId(name)]
            start = after_index + 1 if name == after_job else 0
            for number in range(start, job.spec.instances):
                yield InstanceKey(job.id, number)
            beyond = sorted(i for i in job.instances if i >= max(start, job.spec.instances))
            for number in beyond:
                yield InstanceKey(job.id, number)

    def _task_views(self, key: InstanceKey, ended: bool) -> list[TaskView]:
        job = self._desk.state.jobs[key.job]
        instance = job.instances.get(key.instance) or Instance(key.job, key.instance)
        views = [_attempt_view(instance, attempt) for attempt in reversed(instance.live)]
        if not views and job.wants(key.instance):
            views.append(self._waiting_view(job, instance))
        if ended:
            # The attempt that made the outcome is there already.
            shown = {view.id for view in views}
            views += [_attempt_view(instance, a) for a in instance.ended if a.task_id not in shown]
        return views

    def _waiting_view(self, job: Job, instance: Instance) -> TaskView:
        """An instance without a live attempt: it waits, or has its outcome."""
        outcome = job.outcome(instance)
        last = instance.ended[0] if instance.ended else None
        if outcome is not None and last is not None:
            return msgspec.structs.replace(_attempt_view(instance, last), state=outcome)
        next_at = instance.not_before
        if next_at is not None and next_at <= self._desk.now.wall:
            next_at = None
        return TaskView(
            id="",
            job=job.id,
            instance=instance.index,
            attempt=instance.attempts,
            state=AttemptState.QUEUED,
            agent_id="",
            hostname="",
            since=last.since if last is not None else job.record.changed_at,
            version=job.record.template_version,
            reason=last.reason if last is not None else "",
            message=last.message if last is not None else "",
            failures=instance.failures,
            next_at=next_at,
            waits_for=self._queue.waits_for(job.id, backs_off=next_at is not None),
        )

    def unknown_tasks(self) -> list[UnknownTaskView]:
        return [_unknown_view(task) for task in self._unknown.tasks.values()]

    # --- the queue -------------------------------------------------------------------------------

    def queue(self, after: str, limit: int) -> Page[WaitingView]:
        return self._queue.queue(after, limit)

    def question(self, job: JobId) -> Question | None:
        return self._queue.question(job)

    def plan_question(self, specs: Sequence[JobSpec]) -> PlanQuestion:
        return plan_question(self._desk, specs, self._queue.known)

    # --- agents and status -----------------------------------------------------------------------

    def agents(self, after: str, limit: int) -> Page[AgentView]:
        agents = self._inventory.agents
        names = heapq.nsmallest(limit + 1, (name for name in agents if name > after))
        shown = set(names[:limit])
        tasks = Counter(
            attempt.agent_id
            for job in self._desk.state.jobs.values()
            for instance in job.instances.values()
            for attempt in instance.live
            if attempt.agent_id in shown
        )
        items = [self._agent_view(agents[name], tasks[name]) for name in names[:limit]]
        return Page(items, names[limit - 1] if len(names) > limit else None)

    def _agent_view(self, agent: Agent, tasks: int) -> AgentView:
        listed, listed_at = agent.listed, self._inventory.listed_at
        health = self._desk.state.agents.get(agent.info.agent_id)
        avoided = health if health is not None and health.avoided else None
        known = listed is not None and listed_at is not None
        return AgentView(
            id=agent.info.agent_id,
            hostname=agent.info.hostname,
            url=agent.info.url,
            active=listed.active if listed is not None else None,
            attributes=dict(agent.info.attributes),
            tasks=tasks,
            total=listed.total if listed is not None else None,
            used=listed.used if listed is not None else None,
            seen_s_ago=self._desk.now.wall - listed_at if known and listed_at else None,
            region=agent.info.region,
            zone=agent.info.zone,
            avoided_until=avoided.until if avoided is not None else None,
            avoided_for=avoided.fault if avoided is not None else "",
            leaves_at=agent.leaves_at,
        )

    def status(self) -> StatusView:
        desk = self._desk
        framework = desk.state.framework
        counts: Counter[str] = Counter()
        for job in desk.state.jobs.values():
            counts.update(job.state_counts())
        return StatusView(
            framework_id=framework.framework_id if framework is not None else "",
            master=self.connection.master,
            connected=desk.connected,
            connected_since=self.connection.since,
            reconciling=desk.reconciliation.going_on,
            jobs=len(desk.state.jobs),
            tasks=dict(counts),
            waiting=len(desk.queue),
            suppressed=tuple(sorted(self._wishes.suppressed)),
            roles=desk.policy.roles,
            unknown_tasks=len(self._unknown.tasks),
            store_refusing=desk.store_refusing,
            agents_hidden=self._inventory.hidden,
            offers=tuple(self._role_offers(role) for role in desk.policy.roles),
            needs_refused=self._wishes.needs_refused,
            disconnected_since=self.connection.lost_at,
            not_connected=self.connection.trouble,
            other_frameworks=self._neighbours.others,
            frameworks_hidden=self._neighbours.hidden,
        )

    def _role_offers(self, role: Role) -> RoleOffersView:
        told, mono = self._wishes.told(role), self._desk.now.mono
        refused_s = (told.hidden_until or 0.0) - mono
        return RoleOffersView(
            role=role,
            suppressed=told.suppressed,
            constraints=tuple(" and ".join(map(str, group)) for group in told.needs.groups),
            minimums=told.needs.minimums,
            refused_for_s=round(refused_s, 3) if refused_s > 0.0 else None,
        )


def _place_of(after: str) -> tuple[str, int]:
    """Job and index in a `next` of tasks; ('', -1) for the first page."""
    job, space, index = after.rpartition(" ")
    if not after:
        return "", -1
    if not space or not index.isascii() or not index.isdigit() or len(index) > INDEX_DIGITS_MAX:
        raise ValueError("no page of tasks ends here")
    return job, int(index)


def _job_view(job: Job) -> JobView:
    record = job.record
    return JobView(
        job=job.id,
        kind=job.spec.kind,
        state=job.state,
        role=job.spec.template.role,
        priority=job.spec.priority,
        instances=job.spec.instances,
        version=record.version,
        template_version=record.template_version,
        tasks=job.state_counts(),
        update=job.rollout if job.rolling else "",
        halted=job.rolling and job.halted,
        created_at=record.created_at,
        changed_at=record.changed_at,
        ended_at=record.ended_at,
        labels=dict(job.spec.labels),
    )


def _attempt_view(instance: Instance, attempt: Attempt) -> TaskView:
    return TaskView(
        id=attempt.task_id,
        job=instance.job,
        instance=instance.index,
        attempt=attempt.number,
        state=attempt.state,
        agent_id=attempt.agent_id,
        hostname=attempt.hostname,
        since=attempt.since,
        version=attempt.version,
        ports=attempt.ports,
        agent_url=attempt.agent_url,
        healthy=attempt.healthy,
        reason=attempt.reason,
        message=attempt.message,
        end=attempt.end.reason if attempt.end is not None else "",
        failures=instance.failures,
        launched_at=attempt.launched_at,
        started_at=attempt.started_at,
    )


def _unknown_view(task: UnknownTask) -> UnknownTaskView:
    return UnknownTaskView(task.task_id, task.agent_id, task.state, task.since)
