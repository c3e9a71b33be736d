"""What is stored: one record a key, and the writes that a step asks for.

Any subset of a crash's last transactions may survive, so each record is understood alone.
Neighbours: `state.py` applies records, `store/` keeps them. How they look as bytes is the store's
business (`store/records.py`), with a schema number each.
"""

import enum

import msgspec

from scheduler.core.model.ids import AgentId, AgentKey, FrameworkId, InstanceKey, JobId, Uid
from scheduler.core.model.instance import Instance
from scheduler.core.model.job import JobSpec


class FrameworkRecord(msgspec.Struct, frozen=True):
    """Who we are to the master. `armed`: the real failover timeout was set after the first
    SUBSCRIBE (which goes out with 0, so that one that is cut off leaves nothing behind).

    `user` and `checkpoint` are as they were registered: the master takes no other ones for this id.
    None: an older version wrote this, and did not note them."""

    framework_id: FrameworkId
    armed: bool
    subscribed_at: float
    user: str | None = None
    checkpoint: bool | None = None


class Desired(enum.StrEnum):
    RUN = "run"
    STOP = "stop"
    DELETE = "delete"


class JobRecord(msgspec.Struct, frozen=True, gc=False):
    """A declared job. `version` counts every change, `template_version` is the version in which the
    template changed last. `uid` is minted at the first submit and lives as long as the record.
    Instances that finished with a template older than `run_version` run again. `ended_at` is set
    when nothing is left to run. Times are wall seconds."""

    spec: JobSpec
    uid: Uid
    version: int
    template_version: int
    desired: Desired
    created_at: float
    changed_at: float
    run_version: int = 1
    ended_at: float | None = None


class AgentRecord(msgspec.Struct, frozen=True, gc=False):
    """An agent that failed tasks by its own fault. While `avoided`, nothing is placed on it, until
    `until` (wall); `times` counts how often that was so in a row, and `fault` is the last one."""

    agent_id: AgentId
    hostname: str
    avoided: bool
    since: float
    until: float
    times: int
    fault: str = ""

    @property
    def key(self) -> AgentKey:
        return AgentKey(self.agent_id)


Record = FrameworkRecord | JobRecord | Instance | AgentRecord


class FrameworkKey(msgspec.Struct, frozen=True, gc=False):
    """The key of the one framework record."""


FRAMEWORK = FrameworkKey()
RecordKey = FrameworkKey | JobId | InstanceKey | AgentKey


class Put(msgspec.Struct, frozen=True, gc=False):
    record: Record


class Remove(msgspec.Struct, frozen=True, gc=False):
    """A `str` key is a job's; the others say whose they are by their type."""

    key: RecordKey


Write = Put | Remove


def key_of(record: Record) -> RecordKey:
    match record:
        case Instance():  # first, as nearly all records are
            return record.key
        case JobRecord():
            return record.spec.job
        case FrameworkRecord():
            return FRAMEWORK
        case AgentRecord():
            return record.key
