"""What users see of the queue and of the reasons why work waits: shapes, as in `views.py`.

`queue_views.py` and `explain.py` make them. Times are wall seconds.
"""

import msgspec


class BackOffView(msgspec.Struct, frozen=True):
    """Instances that wait for the end of a back-off, the first until `until`, and how the last
    attempt of that one ended."""

    instances: int
    until: float
    failures: int
    state: str
    reason: str
    message: str


class ReasonView(msgspec.Struct, frozen=True):
    """Why instances are not placed (`placement.reasons.Reason`). `agents` are those it rules out,
    each counted once, `alone` those that nothing else rules out; None: it is about no agent.

    `short` is what the best of them lacks (cpus, gpus and ports by number, mem and disk in MiB) of
    what is `offered`, `free` or there in `total` (`of`). `until`: when it may pass by itself."""

    reason: str
    text: str
    agents: int | None = None
    alone: int = 0
    short: float | None = None
    of: str = ""
    constraint: str = ""
    port: int | None = None
    until: float | None = None


class HelpView(msgspec.Struct, frozen=True):
    """A change of the job, of what `reason` names, after which it fits on `agents`."""

    reason: str
    text: str
    agents: int
    by: float | None = None
    constraint: str = ""
    port: int | None = None


class ToldView(msgspec.Struct, frozen=True):
    """Other reasons than before, since `at`; none: all that had waited was placed."""

    at: float
    reasons: tuple[str, ...]
    text: str


class OnAgentView(msgspec.Struct, frozen=True):
    """All that keeps the job off one agent; nothing: it would be placed there."""

    id: str
    hostname: str
    reasons: tuple[ReasonView, ...]


class ExplanationView(msgspec.Struct, frozen=True):
    """Why instances of a job wait: `reasons`, and as sentences in `text`. `waiting` may be placed
    now, the longest since `since`; `back_off` are others. `tries`: how often they were matched with
    offers. `agents` were looked at (None: there was no point in it); what the master lists of them
    is so old, or `agents_hidden` says why it lists none. `history`: the latest first.
    `on_agent`: of the one agent that was asked about."""

    job: str
    state: str
    role: str
    owner: str
    priority: int
    instances: int
    waiting: int
    since: float | None
    back_off: BackOffView | None
    tries: int
    agents: int | None
    agents_seen_s_ago: float | None
    agents_hidden: str
    reasons: tuple[ReasonView, ...]
    helps: tuple[HelpView, ...]
    history: tuple[ToldView, ...]
    text: str
    on_agent: OnAgentView | None = None


class WaitingView(msgspec.Struct, frozen=True):
    """A job in the queue. `state`: awake (to be tried on the next offers), parked (until something
    could help it), backoff. `share` is its owner's dominant share of the cluster."""

    job: str
    role: str
    owner: str
    share: float
    priority: int
    state: str
    waiting: int
    backing_off: int
    since: float | None
    next_at: float | None
    tries: int
    text: str


class VerdictView(msgspec.Struct, frozen=True):
    """What one agent is to a planned job: it `takes` so many instances, or `reason` (as in
    ReasonView; empty: it would do) says why none. `on_offer`: we hold an offer of it."""

    id: str
    hostname: str
    takes: int
    on_offer: bool
    reason: str
    text: str


class PlannedView(msgspec.Struct, frozen=True):
    """What declaring a job would do. `result`: new, changed, unchanged, refused (`detail` says
    why). Of what is to `add` and to `replace`, `placed` have room and `missing` have not, for the
    `reasons`; `ahead` jobs of its role wait with the same or a higher priority."""

    job: str
    result: str
    detail: str
    version: int | None
    instances: int
    text: str
    keep: int = 0
    add: int = 0
    replace: int = 0
    stop: int = 0
    placed: int = 0
    missing: int = 0
    ahead: int = 0
    reasons: tuple[ReasonView, ...] = ()
    agents: tuple[VerdictView, ...] = ()


class PlanView(msgspec.Struct, frozen=True):
    """`agents` are known, from a list of the master's so old, or `agents_hidden` says why it lists
    none. `connected`: there is a master now."""

    connected: bool
    agents: int
    agents_seen_s_ago: float | None
    agents_hidden: str
    jobs: tuple[PlannedView, ...]
