"""Everything that can happen to the engine. Plain values; adapters make them, nothing else.

Three families: what the master says, how our own effects ended, and what users ask for.
"""

import enum
from typing import Final, NamedTuple, NewType

import msgspec

from scheduler.core.model.ids import (
    AgentId,
    FrameworkId,
    JobId,
    MasterId,
    OfferId,
    Role,
    TaskId,
    Uid,
)
from scheduler.core.model.job import JobSpec
from scheduler.core.model.offer import AgentSeen, Offer


class Now(NamedTuple):
    """`wall` is stored and shown; `mono` is what deadlines in memory are kept in. Seconds."""

    wall: float
    mono: float


# --- what the master says ------------------------------------------------------------------------


class Subscribed(msgspec.Struct, frozen=True):
    """A new stream stands. Every offer and unanswered call of the old one is void. `user` and
    `checkpoint` are what the SUBSCRIBE said: a new framework was registered with them."""

    framework_id: FrameworkId
    master_id: MasterId
    master_url: str
    master_version: str
    user: str | None = None
    checkpoint: bool | None = None


class Disconnected(msgspec.Struct, frozen=True):
    """Stream and call connection are gone, together. `reason` is for people."""

    reason: str


class ConnectFailed(msgspec.Struct, frozen=True):
    """No stream came about, and it is tried again. `reason` is for people."""

    reason: str


class OffersMade(msgspec.Struct, frozen=True):
    offers: tuple[Offer, ...]


class OfferRescinded(msgspec.Struct, frozen=True):
    offer_id: OfferId


class TaskState(enum.StrEnum):
    """Mesos' own names (mesos.v1.TaskState)."""

    STAGING = "TASK_STAGING"
    STARTING = "TASK_STARTING"
    RUNNING = "TASK_RUNNING"
    KILLING = "TASK_KILLING"
    FINISHED = "TASK_FINISHED"
    FAILED = "TASK_FAILED"
    KILLED = "TASK_KILLED"
    ERROR = "TASK_ERROR"
    LOST = "TASK_LOST"
    DROPPED = "TASK_DROPPED"
    UNREACHABLE = "TASK_UNREACHABLE"
    GONE = "TASK_GONE"
    GONE_BY_OPERATOR = "TASK_GONE_BY_OPERATOR"
    UNKNOWN = "TASK_UNKNOWN"


class StatusUpdated(msgspec.Struct, frozen=True, gc=False):
    """A status of one task. `uuid` empty: made by the master, and not to be acknowledged.

    `agent_id` may be empty (TASK_UNKNOWN). `reason` is Mesos' enum name without `REASON_`, lower
    case (`agent_removed`), or empty; `source` likewise (`master`, `agent`, `executor`). `message`
    is cut to 4 kB by the codec. A state from the future never becomes this event.
    """

    task_id: TaskId
    state: TaskState
    agent_id: AgentId
    timestamp: float
    uuid: bytes = b""
    source: str = ""
    reason: str = ""
    message: str = ""
    healthy: bool | None = None


class AgentFailed(msgspec.Struct, frozen=True):
    """FAILURE of a whole agent: a hint only, its tasks get statuses of their own."""

    agent_id: AgentId


class AgentsListed(msgspec.Struct, frozen=True):
    """What the operator API says of all agents; None with a reason where it may not be asked."""

    agents: tuple[AgentSeen, ...] | None
    refused: str = ""


class FrameworkSeen(msgspec.Struct, frozen=True, gc=False):
    framework_id: FrameworkId
    name: str
    roles: tuple[Role, ...]
    active: bool


class FrameworksListed(msgspec.Struct, frozen=True):
    """What the operator API says of frameworks; None with a reason where it may not be asked."""

    frameworks: tuple[FrameworkSeen, ...] | None
    refused: str = ""


# --- how our own effects ended -------------------------------------------------------------------

CallId = NewType("CallId", int)

UNTOLD: Final = CallId(-1)
"""Of calls whose end is told to nobody (`effects.Acknowledge`)."""


class CallOutcome(enum.StrEnum):
    SENT = "sent"
    """202: received, no more than that."""
    REFUSED = "refused"
    """Answered with an error: nothing of it will happen."""
    NOT_SENT = "not_sent"
    """No byte of it left: nothing of it will happen."""
    UNKNOWN = "unknown"
    """It left, at least in part, and no answer came."""


class CallEnded(msgspec.Struct, frozen=True, gc=False):
    call_id: CallId
    outcome: CallOutcome
    detail: str = ""


class StoreRefusing(msgspec.Struct, frozen=True):
    """The store answers, but takes no writes: keep leading, start and end nothing."""

    reason: str


class StoreRecovered(msgspec.Struct, frozen=True):
    pass


# --- what users ask for --------------------------------------------------------------------------

Ticket = NewType("Ticket", int)
"""Names one request, so that its answer finds its way back."""


class ApplyJob(msgspec.Struct, frozen=True):
    """Declare a job. `uid` is freshly minted and used only if the job is new."""

    ticket: Ticket
    spec: JobSpec
    uid: Uid


class ScaleJob(msgspec.Struct, frozen=True):
    ticket: Ticket
    job: JobId
    instances: int


class StopJob(msgspec.Struct, frozen=True):
    """End all tasks and keep the job; applying it again starts it again."""

    ticket: Ticket
    job: JobId


class DeleteJob(msgspec.Struct, frozen=True):
    """End all tasks, then forget the job."""

    ticket: Ticket
    job: JobId


class KillTask(msgspec.Struct, frozen=True):
    """End one task. `grace_s` None: the job's own. A service's instance is started anew."""

    ticket: Ticket
    task_id: TaskId
    grace_s: float | None = None


class ForgiveAgent(msgspec.Struct, frozen=True):
    """Place on an agent again that is avoided for its failures, and forget them."""

    ticket: Ticket
    agent_id: AgentId


class ForgetFramework(msgspec.Struct, frozen=True):
    """The master removed our framework id for good, and it was decided to go on with a new one.
    Every live attempt ends as gone."""

    ticket: Ticket
    reason: str


Command = ApplyJob | ScaleJob | StopJob | DeleteJob | KillTask | ForgiveAgent | ForgetFramework

Event = (
    Subscribed
    | Disconnected
    | ConnectFailed
    | OffersMade
    | OfferRescinded
    | StatusUpdated
    | AgentFailed
    | AgentsListed
    | FrameworksListed
    | CallEnded
    | StoreRefusing
    | StoreRecovered
    | Command
)
