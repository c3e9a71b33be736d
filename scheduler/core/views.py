"""What users see of the engine: values made from the live tables, on request.

Shapes are here; `offerd`'s REST answers are these structs as JSON. Times are wall seconds.
`state_views.py` makes them; nothing here changes a table.
"""

from collections.abc import Collection, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from scheduler.core.explain import Question
from scheduler.core.model.ids import JobId, TaskId
from scheduler.core.model.job import JobSpec
from scheduler.core.model.resources import Amounts
from scheduler.core.plan import PlanQuestion
from scheduler.core.waiting_views import WaitingView


class JobView(msgspec.Struct, frozen=True):
    """`state`: one of running, stopping, stopped, deleting, ended. `tasks` counts instances by the
    state of their live attempt; those without one as `queued`, `finished`, `failed`, `error`.

    `update` is '' or how far the replacing of tasks is (`1 of 3 instances run an older version`)
    and what the next one waits for; `halted`: it will not go on unless a failed task runs after
    all, or the job is changed. Only the leader knows these two; elsewhere they are '' and False.
    """

    job: str
    kind: str
    state: str
    role: str
    priority: int
    instances: int
    version: int
    template_version: int
    tasks: dict[str, int]
    update: str
    created_at: float
    changed_at: float
    ended_at: float | None
    labels: dict[str, str]
    halted: bool = False


class TaskView(msgspec.Struct, frozen=True):
    """One attempt, or an instance that waits for one (then `id` is empty and state `queued`).

    `waits_for` says why it waits; `next_at` when its back-off ends."""

    id: str
    job: str
    instance: int
    attempt: int
    state: str
    agent_id: str
    hostname: str
    since: float
    version: int
    ports: tuple[int, ...] = ()
    agent_url: str = ""
    healthy: bool | None = None
    reason: str = ""
    message: str = ""
    end: str = ""
    failures: int = 0
    next_at: float | None = None
    waits_for: str = ""
    launched_at: float | None = None
    started_at: float | None = None


class AgentView(msgspec.Struct, frozen=True):
    """`seen_s_ago` is the age of what the operator API said; None: only known from offers.
    `avoided_for` is the last failure that an agent is avoided for; `leaves_at` when maintenance
    begins that is planned. Times are wall."""

    id: str
    hostname: str
    url: str
    active: bool | None
    attributes: dict[str, str]
    tasks: int
    total: Amounts | None
    used: Amounts | None
    seen_s_ago: float | None
    region: str = ""
    zone: str = ""
    avoided_until: float | None = None
    avoided_for: str = ""
    leaves_at: float | None = None


class UnknownTaskView(msgspec.Struct, frozen=True):
    """A task that runs under our framework id but is in no record of ours: kept, and shown."""

    id: str
    agent_id: str
    state: str
    since: float


class RoleOffersView(msgspec.Struct, frozen=True):
    """What the master was last told of a role's offers: that it wants none, on which agents they
    are of use (one of the `constraints` has to hold; none: on all) and how much has to be free
    there (one of the `minimums`; none: as much as the master itself asks for).

    `refused_for_s`: refusals of ours may hide an offer for so long yet."""

    role: str
    suppressed: bool
    constraints: tuple[str, ...]
    minimums: tuple[Amounts, ...]
    refused_for_s: float | None


class OtherFrameworkView(msgspec.Struct, frozen=True):
    """Another framework that gets offers in `roles` of ours."""

    id: str
    name: str
    roles: tuple[str, ...]


class StatusView(msgspec.Struct, frozen=True):
    """What the engine can say of itself; the runtime adds instance, leader and store.

    `needs_refused`: why the master does not take what `offers` would tell it. `not_connected`: why,
    since `disconnected_since`. `other_frameworks` in our roles: None where they are not known, for
    `frameworks_hidden`."""

    framework_id: str
    master: str
    connected: bool
    connected_since: float | None
    reconciling: bool
    jobs: int
    tasks: dict[str, int]
    waiting: int
    suppressed: tuple[str, ...]
    roles: tuple[str, ...]
    unknown_tasks: int
    store_refusing: str
    agents_hidden: str
    offers: tuple[RoleOffersView, ...] = ()
    needs_refused: str = ""
    disconnected_since: float | None = None
    not_connected: str = ""
    other_frameworks: tuple[OtherFrameworkView, ...] | None = None
    frameworks_hidden: str = ""


T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A piece of a list; `next` goes into the next request, None at the end."""

    items: list[T]
    next: str | None


class Views(Protocol):
    """All reads that users can ask for. Lists are sorted by id and paged: `after` is the `next` of
    the page before ('' for the first), `limit` at least 1."""

    def jobs(self, after: str, limit: int) -> Page[JobView]: ...

    def job(self, job: JobId) -> JobView | None: ...

    def spec(self, job: JobId) -> JobSpec | None: ...

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
        """Live attempts and waiting instances; with `ended` also the ended attempts kept. With
        `job` and `instance` only those of this one instance.

        Raises ValueError for an `after` that is no `next` of a page."""
        ...

    def task(self, task: TaskId) -> TaskView | None: ...

    def unknown_tasks(self) -> list[UnknownTaskView]: ...

    def queue(self, after: str, limit: int) -> Page[WaitingView]:
        """What waits, by role, priority and arrival. Raises ValueError as `tasks` does."""
        ...

    def question(self, job: JobId) -> Question | None:
        """Why a job waits: to be answered by `explain`, beside the engine."""
        ...

    def plan_question(self, specs: Sequence[JobSpec]) -> PlanQuestion:
        """What declaring these jobs would do: to be answered by `plan`, beside the engine."""
        ...

    def agents(self, after: str, limit: int) -> Page[AgentView]: ...

    def status(self) -> StatusView: ...
