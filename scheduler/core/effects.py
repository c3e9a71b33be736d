"""Everything the engine can want done. A `Step` is one decision: what to store, then what to say.

Order is the meaning: calls, answers and notices of a step leave only when every write of this and
all earlier steps is durable, and in step order. Only an ACKNOWLEDGE overtakes: it waits for no
launch of an earlier step (docs/adr/0006).
"""

import enum
from typing import ClassVar

import msgspec

from scheduler.core.events import UNTOLD, CallId, Ticket
from scheduler.core.model.ids import AgentId, JobId, OfferId, Role, TaskId, Uid
from scheduler.core.model.job import Template
from scheduler.core.model.needs import ANY, Needs
from scheduler.core.model.resources import CarvedResource
from scheduler.core.records import Write

# --- calls to the master -------------------------------------------------------------------------


class Launch(msgspec.Struct, frozen=True, gc=False):
    """One task to start: what is its own. The rest is the template's, rendered once a version.

    `resources` are exact pieces of the offered entries; `ports` the host ports in the order of
    `template.ports`.
    """

    task_id: TaskId
    job: JobId
    index: int
    agent_id: AgentId
    uid: Uid
    version: int
    template: Template
    labels: tuple[tuple[str, str], ...]
    resources: tuple[CarvedResource, ...]
    ports: tuple[int, ...]


class Accept(msgspec.Struct, frozen=True, gc=False):
    """All offers are of one agent and role. What is left over is refused for `refuse_s`."""

    call_id: CallId
    offer_ids: tuple[OfferId, ...]
    launches: tuple[Launch, ...]
    refuse_s: float


class Decline(msgspec.Struct, frozen=True, gc=False):
    call_id: CallId
    offer_ids: tuple[OfferId, ...]
    refuse_s: float


class Acknowledge(msgspec.Struct, frozen=True, gc=False):
    """How it ended is told to nobody, and there is one for each status: where it did not arrive,
    the agent sends that status again."""

    call_id: ClassVar[CallId] = UNTOLD

    agent_id: AgentId
    task_id: TaskId
    uuid: bytes


class Kill(msgspec.Struct, frozen=True, gc=False):
    call_id: CallId
    task_id: TaskId
    agent_id: AgentId
    grace_s: float


class Reconcile(msgspec.Struct, frozen=True, gc=False):
    """Explicit for the tasks named, with the agent each; implicit when there are none."""

    call_id: CallId
    tasks: tuple[tuple[TaskId, AgentId], ...]


class Suppress(msgspec.Struct, frozen=True, gc=False):
    call_id: CallId
    roles: tuple[Role, ...]


class Revive(msgspec.Struct, frozen=True, gc=False):
    call_id: CallId
    roles: tuple[Role, ...]


class UpdateFramework(msgspec.Struct, frozen=True, gc=False):
    """Set everything that the master knows of us to what is wanted now."""

    call_id: CallId
    wanted: "Wanted"


Call = Accept | Decline | Acknowledge | Kill | Reconcile | Suppress | Revive | UpdateFramework


class Wanted(msgspec.Struct, frozen=True):
    """What the master should know of us. SUBSCRIBE and UPDATE_FRAMEWORK replace these sets whole,
    so both are rendered from this one value. `failover_timeout_s` is the settings' once the id is
    stored, and 0 before. `gpus`: some job asks for gpus, so agents with gpus are wanted too;
    `revocable`: some job takes revocable cpus, so they are to be part of offers.
    `needs` are those of roles in which something waits."""

    roles: tuple[Role, ...]
    suppressed: tuple[Role, ...]
    failover_timeout_s: float
    gpus: bool = False
    revocable: bool = False
    needs: tuple[tuple[Role, Needs], ...] = ()

    def needs_of(self, role: Role) -> Needs:
        return next((needs for name, needs in self.needs if name == role), ANY)


# --- answers to users ----------------------------------------------------------------------------


class Verdict(enum.StrEnum):
    """How a request ended; the API turns it into a status code."""

    DONE = "done"
    UNCHANGED = "unchanged"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"


class Answer(msgspec.Struct, frozen=True):
    """`detail` is a sentence for people; `version` the job's, where a job was meant."""

    ticket: Ticket
    verdict: Verdict
    detail: str = ""
    version: int | None = None


# --- notices -------------------------------------------------------------------------------------


class NoticeKind(enum.StrEnum):
    JOB_CREATED = "job.created"
    JOB_CHANGED = "job.changed"
    JOB_STOPPED = "job.stopped"
    JOB_DELETING = "job.deleting"
    JOB_DELETED = "job.deleted"
    JOB_ENDED = "job.ended"
    JOB_FORGOTTEN = "job.forgotten"
    TASK_CHANGED = "task.changed"
    TASK_UNKNOWN_SEEN = "task.unknown_seen"
    CONNECTED = "master.connected"
    DISCONNECTED = "master.disconnected"
    RECONCILED = "reconcile.ended"
    CALL_FAILED = "call.failed"
    AGENTS_HIDDEN = "agents.hidden"
    AGENT_AVOIDED = "agent.avoided"
    AGENT_IN_USE_AGAIN = "agent.in_use_again"
    NEEDS_REFUSED = "offers.needs_refused"


class Notice(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, for logs and watchers. `text` is for people."""

    kind: NoticeKind
    job: str = ""
    task_id: str = ""
    state: str = ""
    text: str = ""


class Step(msgspec.Struct, frozen=True, gc=False):
    """One decision. `wake_at` is when (monotonic) to call again at the latest; `more` means: call
    again at once, the budget ran out."""

    writes: tuple[Write, ...] = ()
    calls: tuple[Call, ...] = ()
    answers: tuple[Answer, ...] = ()
    notices: tuple[Notice, ...] = ()
    wake_at: float | None = None
    more: bool = False
