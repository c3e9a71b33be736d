"""A `Front` over plain dictionaries: it carries commands out at once, as a calm cluster would.

Tests of the API and of the command line stand on it; what the real engine does is not its matter.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from scheduler.core.asking import group_of
from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import (
    ApplyJob,
    Command,
    DeleteJob,
    ForgetFramework,
    ForgiveAgent,
    KillTask,
    ScaleJob,
    StopJob,
    Ticket,
)
from scheduler.core.explain import Question
from scheduler.core.inventory import Agent
from scheduler.core.known import Known
from scheduler.core.model.ids import JobId, TaskId, Uid, task_id
from scheduler.core.model.instance import TERMINAL, AttemptState
from scheduler.core.model.job import JobSpec
from scheduler.core.model.offer import AgentSeen
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.outlook import Access
from scheduler.core.plan import Planned, PlanQuestion
from scheduler.core.state import State
from scheduler.core.views import (
    AgentView,
    JobView,
    Page,
    StatusView,
    TaskView,
    UnknownTaskView,
    Views,
)
from scheduler.core.waiting_views import WaitingView
from scheduler.runtime.protocols import LeaderInfo
from tests.builders import an_agent

FRAMEWORK_ID = "f0e1d2c3-0000"
T = TypeVar("T")


class FakeJob(msgspec.Struct):
    spec: JobSpec
    uid: Uid
    version: int = 1
    state: str = "running"
    update: str = ""
    halted: bool = False


class FakeFront:
    """`answer`, when set, is what every command gets instead of being carried out."""

    def __init__(self) -> None:
        self.instance = "offerd-1"
        self.leading = True
        self.leader: LeaderInfo | None = LeaderInfo(self.instance, "http://offerd-1:8080", 1)
        self.age_s: float | None = 0.0
        self.jobs_by_id: dict[JobId, FakeJob] = {}
        self.tasks_by_id: dict[TaskId, TaskView] = {}
        self.agent_list: list[AgentView] = []
        self.waiting: list[WaitingView] = []
        self.questions: dict[JobId, Question] = {}
        self.unknown: list[UnknownTaskView] = []
        self.status_changes: dict[str, object] = {}
        """Fields of the status that are to be others than in a calm cluster."""
        self.commands: list[Command] = []
        self.answer: Answer | None = None
        self.first_state = AttemptState.RUNNING
        self.agent_url = ""
        self._tickets = itertools.count(1)
        self._uids = itertools.count(1)

    @property
    def views(self) -> Views:
        assert self.age_s is not None, "views were read of a front that has none"
        return FakeViews(self)

    def mint_uid(self) -> Uid:
        return Uid(f"u{next(self._uids)}")

    async def ask(self, make: Callable[[Ticket], Command]) -> Answer:
        command = make(Ticket(next(self._tickets)))
        self.commands.append(command)
        if self.answer is not None:
            return self.answer
        match command:
            case ApplyJob():
                return self._apply(command)
            case ScaleJob():
                return self._scale(command)
            case StopJob(ticket, job) | DeleteJob(ticket, job):
                return self._end(ticket, job, forget=isinstance(command, DeleteJob))
            case KillTask():
                return self._kill(command)
            case ForgiveAgent():
                return Answer(command.ticket, Verdict.NOT_FOUND, "there is no such agent")
            case ForgetFramework():
                raise AssertionError("no user can ask for this")

    def follow(self, leader: LeaderInfo | None, age_s: float | None = 0.25) -> None:
        """Stand by; `age_s` None: before anything has been heard."""
        self.leading, self.leader, self.age_s = False, leader, age_s

    def put_task(self, task: TaskView) -> None:
        self.tasks_by_id[TaskId(task.id)] = task

    def set_state(self, task: str, state: AttemptState, message: str = "") -> None:
        old = self.tasks_by_id[TaskId(task)]
        self.put_task(msgspec.structs.replace(old, state=state.value, message=message))

    def _apply(self, command: ApplyJob) -> Answer:
        spec, ticket = command.spec, command.ticket
        job = self.jobs_by_id.get(spec.job)
        if job is not None and job.state == "deleting":
            return Answer(ticket, Verdict.CONFLICT, "the job is being deleted")
        if job is None:
            job = self.jobs_by_id[spec.job] = FakeJob(spec, command.uid)
        elif job.spec == spec and job.state == "running":
            return Answer(ticket, Verdict.UNCHANGED, version=job.version)
        else:
            job.spec, job.version, job.state = spec, job.version + 1, "running"
        self._fill(job)
        return Answer(ticket, Verdict.DONE, version=job.version)

    def _scale(self, command: ScaleJob) -> Answer:
        job = self.jobs_by_id.get(command.job)
        if job is None:
            return _no_job(command.ticket, command.job)
        if job.spec.instances == command.instances:
            return Answer(command.ticket, Verdict.UNCHANGED, version=job.version)
        job.spec = msgspec.structs.replace(job.spec, instances=command.instances)
        job.version += 1
        self._fill(job)
        return Answer(command.ticket, Verdict.DONE, version=job.version)

    def _end(self, ticket: Ticket, name: JobId, *, forget: bool) -> Answer:
        job = self.jobs_by_id.get(name)
        if job is None:
            return _no_job(ticket, name)
        for task in self.tasks_of(name):
            self.set_state(task.id, AttemptState.KILLED)
        if forget:
            del self.jobs_by_id[name]
        elif job.state == "stopped":
            return Answer(ticket, Verdict.UNCHANGED, version=job.version)
        else:
            job.state = "stopped"
        return Answer(ticket, Verdict.DONE, version=job.version)

    def _kill(self, command: KillTask) -> Answer:
        if any(task.id == command.task_id for task in self.unknown):
            return Answer(command.ticket, Verdict.DONE, "a task that is in no record of ours")
        task = self.tasks_by_id.get(command.task_id)
        if task is None:
            detail = f"there is no task {command.task_id}"
            return Answer(command.ticket, Verdict.NOT_FOUND, detail)
        if task.state in TERMINAL:
            return Answer(command.ticket, Verdict.UNCHANGED, "it has ended already")
        self.set_state(task.id, AttemptState.KILLING)
        return Answer(command.ticket, Verdict.DONE)

    def tasks_of(self, job: JobId) -> list[TaskView]:
        return [task for task in self.tasks_by_id.values() if task.job == job]

    def _fill(self, job: FakeJob) -> None:
        live = {task.instance for task in self.tasks_of(job.spec.job) if task.state not in TERMINAL}
        for index in range(job.spec.instances):
            if index not in live:
                self.put_task(self._new_task(job, index))

    def _new_task(self, job: FakeJob, index: int) -> TaskView:
        return TaskView(
            id=task_id(job.spec.job, index, 1, job.uid),
            job=job.spec.job,
            instance=index,
            attempt=1,
            state=self.first_state.value,
            agent_id="agent-1",
            hostname="node1",
            since=1_700_000_000.0,
            version=job.version,
            ports=(31000 + index,),
            agent_url=self.agent_url,
        )


class FakeViews:
    """Reads of a `FakeFront`."""

    def __init__(self, front: FakeFront) -> None:
        self._front = front

    def jobs(self, after: str, limit: int) -> Page[JobView]:
        views = [self._job_view(job) for job in self._front.jobs_by_id.values()]
        return _page(sorted(views, key=lambda view: view.job), lambda v: v.job, after, limit)

    def job(self, job: JobId) -> JobView | None:
        found = self._front.jobs_by_id.get(job)
        return None if found is None else self._job_view(found)

    def spec(self, job: JobId) -> JobSpec | None:
        found = self._front.jobs_by_id.get(job)
        return None if found is None else found.spec

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
        found = [
            task
            for _, task in sorted(self._front.tasks_by_id.items())
            if (job is None or task.job == job)
            and (instance is None or task.instance == instance)
            and (not states or task.state in states)
            and (ended or task.state not in TERMINAL)
        ]
        return _page(found, lambda task: task.id, after, limit)

    def task(self, task: TaskId) -> TaskView | None:
        return self._front.tasks_by_id.get(task)

    def unknown_tasks(self) -> list[UnknownTaskView]:
        return self._front.unknown

    def queue(self, after: str, limit: int) -> Page[WaitingView]:
        return _page(self._front.waiting, lambda view: view.job, after, limit)

    def question(self, job: JobId) -> Question | None:
        return self._front.questions.get(job)

    def plan_question(self, specs: Sequence[JobSpec]) -> PlanQuestion:
        """Two agents with four cpus each, as the master lists them."""
        total = Amounts(4000, 4_096_000, 10_000_000, 0)
        agents = tuple(
            Agent(info, AgentSeen(info, True, total, Amounts(), Amounts()))
            for info in (an_agent("a1"), an_agent("a2"))
        )
        known = Known(agents, {}, {}, Access(1_700_000_060.0, listed_at=1_700_000_050.0))
        found = [(spec, self._front.jobs_by_id.get(spec.job)) for spec in specs]
        return PlanQuestion(
            connected=True,
            jobs=tuple(
                Planned(spec, add=spec.instances, group=group_of(State(), spec, {}, 0.0))
                if job is None
                else Planned(
                    spec,
                    job.spec,
                    job.version,
                    keep=spec.instances,
                    group=group_of(State(), spec, {}, 0.0),
                )
                for spec, job in found
            ),
            known={spec.template.role: known for spec in specs},
        )

    def agents(self, after: str, limit: int) -> Page[AgentView]:
        return _page(self._front.agent_list, lambda agent: agent.id, after, limit)

    def status(self) -> StatusView:
        calm = StatusView(
            framework_id=FRAMEWORK_ID,
            master="http://127.77.5.1:5050",
            connected=True,
            connected_since=1_700_000_000.0,
            reconciling=False,
            jobs=len(self._front.jobs_by_id),
            tasks=_counts(self._front.tasks_by_id.values()),
            waiting=0,
            suppressed=("prod",),
            roles=("prod",),
            unknown_tasks=len(self._front.unknown),
            store_refusing="",
            agents_hidden="",
        )
        return msgspec.structs.replace(calm, **self._front.status_changes)

    def _job_view(self, job: FakeJob) -> JobView:
        spec = job.spec
        live = [task for task in self._front.tasks_of(spec.job) if task.instance < spec.instances]
        ended = all(task.state == "finished" for task in live) and spec.kind == "batch"
        return JobView(
            job=spec.job,
            kind=spec.kind.value,
            state="ended" if ended and job.state == "running" else job.state,
            role=spec.template.role,
            priority=spec.priority,
            instances=spec.instances,
            version=job.version,
            template_version=job.version,
            tasks=_counts(live),
            update=job.update,
            halted=job.halted,
            created_at=1_700_000_000.0,
            changed_at=1_700_000_000.0,
            ended_at=None,
            labels=dict(spec.labels),
        )


def _no_job(ticket: Ticket, job: JobId) -> Answer:
    return Answer(ticket, Verdict.NOT_FOUND, f"there is no job {job}")


def _counts(tasks: Collection[TaskView]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task.state] = counts.get(task.state, 0) + 1
    return counts


# A cursor that begins with "!" stands for one that cannot be read.
def _page(items: Sequence[T], key: Callable[[T], str], after: str, limit: int) -> Page[T]:
    if after.startswith("!"):
        raise ValueError(after)
    rest = [item for item in items if not after or key(item) > after]
    piece = rest[:limit]
    return Page(piece, key(piece[-1]) if len(rest) > limit else None)
