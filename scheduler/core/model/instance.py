"""Instances and their attempts, with the states an attempt can be in.

An attempt is one Mesos task that tries to be an instance. Its record is stored before its ACCEPT
leaves, so `launching` means: it may or may not exist yet. Silence proves nothing: an attempt counts
as live until a state says otherwise.
"""

import enum

import msgspec

from scheduler.core.model.ids import AgentId, InstanceKey, JobId, TaskId


class AttemptState(enum.StrEnum):
    """States as users see them; `queued` belongs to an instance without a live attempt."""

    QUEUED = "queued"
    LAUNCHING = "launching"
    STARTING = "starting"
    RUNNING = "running"
    KILLING = "killing"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    ERROR = "error"
    DROPPED = "dropped"
    LOST = "lost"
    GONE = "gone"


TERMINAL = frozenset(
    {
        AttemptState.FINISHED,
        AttemptState.FAILED,
        AttemptState.KILLED,
        AttemptState.ERROR,
        AttemptState.DROPPED,
        AttemptState.LOST,
        AttemptState.GONE,
    }
)
AWAY = frozenset({AttemptState.UNREACHABLE, AttemptState.UNKNOWN})
"""States in which the task may still run but cannot be reached, so no KILL is sent."""


class EndReason(enum.StrEnum):
    """Why we want an attempt to end."""

    USER_KILL = "user_kill"
    JOB_STOPPED = "job_stopped"
    JOB_DELETED = "job_deleted"
    SCALED_DOWN = "scaled_down"
    REPLACED = "replaced"
    SUPERSEDED = "superseded"
    LAUNCH_TIMEOUT = "launch_timeout"
    FINISHED_ELSEWHERE = "finished_elsewhere"


class WantedEnd(msgspec.Struct, frozen=True, gc=False):
    """Stored before the KILL leaves. `at` is wall time, `grace_s` what the task gets to stop."""

    reason: EndReason
    grace_s: float
    at: float


class Attempt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One task. Times are wall seconds; `version` is the template version it was made from.

    `away_since` is when the master first said that it cannot reach the task, or does not know it.
    `reason` and `message` are those of the last status (message cut to 4 kB by the codec).
    `attributes` are the agent's at launch, those that the job's placement counts by.
    """

    task_id: TaskId
    number: int
    version: int
    state: AttemptState
    agent_id: AgentId
    hostname: str
    since: float
    launched_at: float
    agent_url: str = ""
    ports: tuple[int, ...] = ()
    started_at: float | None = None
    healthy: bool | None = None
    reason: str = ""
    message: str = ""
    away_since: float | None = None
    end: WantedEnd | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def live(self) -> bool:
        return self.state not in TERMINAL

    def value_of(self, attribute: str) -> str | None:
        """What the agent had at launch; None: it had none, or nothing was counted by it then."""
        match attribute:
            case "hostname":
                return self.hostname
            case "@agent":
                return self.agent_id
            case _:
                return dict(self.attributes).get(attribute)


class Outcome(enum.StrEnum):
    """How an instance ended for good."""

    FINISHED = "finished"
    FAILED = "failed"
    ERROR = "error"


class Instance(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The whole durable truth about one instance: understood without any other record.

    `attempts` counts all that were ever made, so the next number is never a used one.
    `failures` in a row decide the back-off; `not_before` is the wall time of its end.
    `outcome` set means: no further attempt, unless the template changes or the job is run again
    (`outcome_version` is the template version that it was reached with).
    """

    job: JobId
    index: int
    attempts: int = 0
    live: tuple[Attempt, ...] = ()
    ended: tuple[Attempt, ...] = ()
    failures: int = 0
    not_before: float | None = None
    outcome: Outcome | None = None
    outcome_version: int = 0

    @property
    def key(self) -> InstanceKey:
        return InstanceKey(self.job, self.index)


ENDED_KEPT_MAX = 3
"""Ended attempts kept in an instance's record, newest first."""
