"""What a backup's records become when they are restored.

A restore starts nothing and ends nothing by itself. Since the backup was taken tasks may have been
launched that it knows nothing of, so every job gets a new uid (no task id is ever used twice), and
no task of before is taken for one of ours: under the same framework id they show up as unknown
tasks, which are kept. Jobs are restored stopped, since started at once they would run beside them.

Values only; `cli/backup` reads and writes them.
"""

from collections.abc import Iterable, Iterator

import msgspec

from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import JobId, Uid
from scheduler.core.model.instance import Instance
from scheduler.core.records import AgentRecord, Desired, FrameworkRecord, JobRecord, Record


class Restored(msgspec.Struct, frozen=True):
    """`tasks_before` lived when the backup was taken; `deleting` jobs were about to go and are not
    among `jobs`."""

    records: tuple[Record, ...]
    jobs: int
    deleting: int
    tasks_before: int


def restored(
    records: Iterable[Record], uids: Iterator[Uid], *, run: bool, new_framework: bool, wall: float
) -> Restored:
    """`run`: jobs go on as they were wanted; else they are stopped, but for batches that have
    ended. `new_framework`: the framework's id is left out, so that the master gives a new one."""
    kept: list[Record] = []
    jobs: dict[JobId, JobRecord] = {}
    instances: list[Instance] = []
    for record in records:
        match record:
            case Instance():
                instances.append(record)
            case JobRecord():
                jobs[record.spec.job] = record
            case FrameworkRecord():
                kept += [] if new_framework else [record]
            case AgentRecord():
                kept.append(record)
    tables = {
        name: Job(msgspec.structs.replace(record, uid=next(uids)))
        for name, record in jobs.items()
        if record.desired is not Desired.DELETE
    }
    for instance in instances:
        if instance.job in tables and instance.outcome is not None:
            tables[instance.job].set_instance(_without_tasks(instance))
    for job in tables.values():
        kept.append(job.record if run or job.ended else _stopped(job.record, wall))
        kept += job.instances.values()
    return Restored(
        records=tuple(kept),
        jobs=len(tables),
        deleting=len(jobs) - len(tables),
        tasks_before=sum(len(instance.live) for instance in instances),
    )


def _without_tasks(instance: Instance) -> Instance:
    """What has ended for good is not run again; all else about it is its tasks' story."""
    return msgspec.structs.replace(instance, live=(), ended=(), failures=0, not_before=None)


def _stopped(record: JobRecord, wall: float) -> JobRecord:
    if record.desired is Desired.STOP:
        return record
    return msgspec.structs.replace(record, desired=Desired.STOP, changed_at=wall, ended_at=None)
