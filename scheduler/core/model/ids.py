"""Identifiers, and the one rule by which task ids are made.

A task id is never used twice (Mesos refuses ids of live, unreachable and unacknowledged tasks):
`<job, "/" as ".">.<instance>.<attempt>.<uid>`. The uid belongs to the job's record, so a job that
was deleted and applied again, or restored from a backup, makes other ids.
"""

from typing import NamedTuple, NewType

import msgspec

AgentId = NewType("AgentId", str)
FrameworkId = NewType("FrameworkId", str)
JobId = NewType("JobId", str)
MasterId = NewType("MasterId", str)
OfferId = NewType("OfferId", str)
Role = NewType("Role", str)
TaskId = NewType("TaskId", str)
Uid = NewType("Uid", str)


class InstanceKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """One of a job's N: the thing that an attempt tries to be. One is made for each change of a
    task, so it is a struct: a NamedTuple takes several times as long to make."""

    job: JobId
    instance: int


class AgentKey(NamedTuple):
    """What we remember of an agent."""

    agent: AgentId


class TaskIdParts(msgspec.Struct, frozen=True, gc=False):
    job: JobId
    instance: int
    attempt: int
    uid: Uid


def dotted(job: JobId) -> str:
    """The job's name as it stands in task ids and store keys: `team/web` becomes `team.web`."""
    return job.replace("/", ".")


def task_id(job: JobId, index: int, attempt: int, uid: Uid) -> TaskId:
    return TaskId(f"{dotted(job)}.{index}.{attempt}.{uid}")


def parse_task_id(text: TaskId) -> TaskIdParts | None:
    """The parts of an id of ours; None for an id that we cannot have made."""
    pieces = text.rsplit(".", 3)
    if len(pieces) != 4 or not text.isascii():
        return None
    name, index, attempt, uid = pieces
    if not (name and uid and index.isdigit() and attempt.isdigit()):
        return None
    return TaskIdParts(JobId(name.replace(".", "/")), int(index), int(attempt), Uid(uid))
