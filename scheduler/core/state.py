"""The durable state in memory. `apply` is the one way in, for loading, for following the store, and
for the engine's own writes, so what runs is what is stored.
"""

from typing import NamedTuple

from scheduler.core.jobs.job import Job
from scheduler.core.jobs.neighbours import Neighbours
from scheduler.core.model.ids import (
    AgentId,
    AgentKey,
    InstanceKey,
    JobId,
    TaskId,
    parse_task_id,
)
from scheduler.core.model.instance import Attempt, Instance
from scheduler.core.records import (
    AgentRecord,
    FrameworkKey,
    FrameworkRecord,
    JobRecord,
    Record,
    RecordKey,
)


class Found(NamedTuple):
    job: Job
    instance: Instance
    attempt: Attempt


class State:
    """Records may arrive in any order: instances whose job is not here yet, or is another one of
    the same name, wait in `orphans`. `avoided` are the agents on which nothing is placed."""

    def __init__(self) -> None:
        self.framework: FrameworkRecord | None = None
        self.jobs: dict[JobId, Job] = {}
        self.orphans: dict[InstanceKey, Instance] = {}
        self.neighbours = Neighbours()
        self.agents: dict[AgentId, AgentRecord] = {}
        self.avoided: frozenset[AgentId] = frozenset()

    def apply(self, record: Record) -> None:
        match record:
            case Instance():  # first, as nearly all records are
                job = self.jobs.get(record.job)
                if job is not None and _is_of(record, job):
                    job.set_instance(record)
                else:
                    self.orphans[record.key] = record
            case JobRecord():
                self._apply_job(record)
            case FrameworkRecord():
                self.framework = record
            case AgentRecord():
                self.agents[record.agent_id] = record
                self._find_avoided()

    def remove(self, key: RecordKey) -> None:
        match key:
            case FrameworkKey():
                self.framework = None
            case InstanceKey():
                self.orphans.pop(key, None)
                job = self.jobs.get(key.job)
                if job is not None:
                    job.drop_instance(key.instance)
            case AgentKey():
                self.agents.pop(key.agent, None)
                self._find_avoided()
            case str():
                self.jobs.pop(key, None)
                self.neighbours.remove(key)

    def _find_avoided(self) -> None:
        self.avoided = frozenset(one.agent_id for one in self.agents.values() if one.avoided)

    def find(self, task: TaskId) -> Found | None:
        """The attempt with this id, live or among the ended ones kept."""
        parts = parse_task_id(task)
        job = self.jobs.get(parts.job) if parts is not None else None
        if parts is None or job is None or job.record.uid != parts.uid:
            return None
        instance = job.instances.get(parts.instance)
        if instance is None:
            return None
        for attempts in (instance.live, instance.ended):
            for attempt in attempts:
                if attempt.task_id == task:
                    return Found(job, instance, attempt)
        return None

    def take_orphans(self) -> list[InstanceKey]:
        """The records of instances whose job is gone, or is another one of the same name: a
        deletion that a crash cut short leaves them. They are the caller's to remove."""
        orphans = list(self.orphans)
        self.orphans.clear()
        return orphans

    def _apply_job(self, record: JobRecord) -> None:
        job = self.jobs.get(record.spec.job)
        if job is None or job.spec is not record.spec:
            self.neighbours.put(record.spec)
        if job is not None and job.record.uid == record.uid:
            job.set_record(record)
            return
        if job is not None:
            self.orphans |= {instance.key: instance for instance in job.instances.values()}
        job = Job(record)
        self.jobs[job.id] = job
        for key in [key for key in self.orphans if key.job == job.id]:
            if _is_of(self.orphans[key], job):
                job.set_instance(self.orphans.pop(key))


def _is_of(instance: Instance, job: Job) -> bool:
    attempts = instance.live or instance.ended
    return not attempts or attempts[0].task_id.endswith(job.ending)
