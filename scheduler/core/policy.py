"""The numbers that the engine decides by. Defaults are those of `config/offerd.yaml`; durations are
seconds. The reasons for the Mesos-side numbers are in docs/operations.md."""

import msgspec

from scheduler.core.model.ids import Role


class OfferPolicy(msgspec.Struct, frozen=True):
    """How long we keep an offer and refuse what we cannot use (Mesos' own default of 5 s makes the
    same useless offers circulate), how seldom we REVIVE (it drops all our filters in the master and
    starts an allocation over all agents), and how seldom we send UPDATE_FRAMEWORK."""

    gather_s: float = 0.2
    gather_when_waiting: int = 200
    """With fewer instances waiting in the role an offer is used at once."""
    hold_s_max: float = 5.0
    refuse_s_nothing_waits: float = 3600.0
    refuse_s_no_fit: float = 120.0
    refuse_jitter: float = 0.2
    refuse_s_held: float = 5.0
    """What was held for too long may well be of use, but others come first."""
    refuse_s_rest: float = 1.0
    """What a task left over of an offer that more of those that wait may fit into."""
    revive_interval_s: float = 5.0
    revive_burst: int = 2
    """A REVIVE out of the blue need not wait; a second, right after it, neither. Then one an
    interval."""
    revive_gather_s: float = 0.1
    """Work seldom comes alone: what else is submitted within this time shares the REVIVE."""
    revive_repeat_s: float = 5.0
    """A REVIVE that brought no offer at all is said once more after this time."""
    suppress_after_backoff_s: float = 60.0
    """Work that is due later than this does not keep a role's offers coming."""
    update_interval_s: float = 1.0
    narrow_after_s: float = 30.0
    """Hiding more offers is never urgent: refusals hold them back meanwhile."""
    constraint_groups_max: int = 100
    """A role whose jobs would need more alternatives has no offer constraints."""


class ReconcilePolicy(msgspec.Struct, frozen=True):
    interval_s: float = 900.0
    retry_s_initial: float = 10.0
    retry_s_max: float = 300.0
    batch: int = 1000
    calls_under_way: int = 2
    """Of so many tasks each. More of them would only make others wait longer."""


class EndedPolicy(msgspec.Struct, frozen=True):
    """How long, and how many, ended batches are kept."""

    keep_s: float = 86_400.0
    keep_max: int = 1000


class AvoidPolicy(msgspec.Struct, frozen=True):
    """When an agent is avoided: after so many failures of its own making within the window, for a
    time that doubles with each turn. One bad job must not empty the cluster, so at most this share
    of the agents known is avoided at once."""

    failures: int = 3
    window_s: float = 600.0
    avoid_s_initial: float = 300.0
    avoid_s_max: float = 3600.0
    forget_s: float = 21_600.0
    """After this long in use without such failures an agent's past is forgotten."""
    share_max: float = 0.2


class Policy(msgspec.Struct, frozen=True):
    roles: tuple[Role, ...]
    failover_timeout_s: float = 604_800.0
    offers: OfferPolicy = OfferPolicy()
    reconcile: ReconcilePolicy = ReconcilePolicy()
    ended: EndedPolicy = EndedPolicy()
    avoid: AvoidPolicy = AvoidPolicy()
    launch_timeout_s: float = 300.0
    launch_grace_s: float = 30.0
    """After the launch timeout we ask once more, and wait this long for the answer."""
    kill_retry_s_initial: float = 10.0
    kill_retry_s_max: float = 30.0
    stable_run_s: float = 60.0
    """A run this long ends a row of failures."""
    unknown_kill_after_s: float | None = None
    unknown_tasks_max: int = 10_000
    jobs_max: int = 20_000
    queue_sweep_s: float = 300.0
    """What fitted nothing is tried again after this time at the latest, whatever came."""


class Budget(msgspec.Struct, frozen=True):
    """The work one call of the engine may do: `rows` instances planned or placed, and `launches`
    (fewer while many are not yet durable)."""

    rows: int = 2000
    launches: int = 2000
