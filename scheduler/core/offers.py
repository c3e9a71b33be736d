"""What we hold of the cluster, and what we let the master know that we want.

The rules are Mesos' (framework development guide): never hoard, decline what does not fit at once
and for long, suppress a role in which nothing waits, revive seldom. `wanted` renders the whole wish
for SUBSCRIBE and UPDATE_FRAMEWORK, which replace it whole; SUPPRESS and REVIVE are its small steps.
"""

from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import Decline, Revive, Suppress, UpdateFramework, Wanted
from scheduler.core.events import CallId
from scheduler.core.model.ids import Role
from scheduler.core.model.offer import Offer
from scheduler.core.placement.rows import Rows
from scheduler.core.returned import Returned

REFUSE_S_MIN = 1.0
"""Mesos filters for at least one allocation interval, a second by default."""


class Offers:
    """`suppressed` is what the master was last told. `_hidden_until` says, for each role, how long
    filters of ours may hide an offer (monotonic)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.rows = Rows()
        self.returned = Returned()
        self.suppressed: frozenset[Role] = frozenset(desk.policy.roles)
        self._told: Wanted | None = None
        self._hidden_until: dict[Role, float] = {}
        self._revive: set[Role] = set()
        self._revive_at: float | None = None
        self._revives_left = float(desk.policy.offers.revive_burst)
        self._revives_counted_at = 0.0
        self._arming: CallId | None = None

    # --- the connection --------------------------------------------------------------------------

    def wanted(self) -> Wanted:
        """For SUBSCRIBE. The very first goes out with no failover timeout and all suppressed, so
        that one which is cut off leaves nothing behind in the master. With an id there may be
        tasks, whether or not we know that the real timeout was set: it is said again."""
        desk = self._desk
        framework = desk.state.framework
        roles = desk.policy.roles
        if framework is None:
            suppressed = frozenset(roles)
        else:
            suppressed = frozenset(role for role in roles if not self._wants(role))
        self._told = self._render(suppressed, armed=framework is not None)
        return self._told

    @property
    def takes_gpus(self) -> bool:
        """The master was told to offer us agents with gpus too."""
        return self._told is not None and self._told.gpus

    @property
    def armed(self) -> bool:
        """The SUBSCRIBE of this stream said the real failover timeout."""
        told = self._told
        return told is not None and told.failover_timeout_s == self._desk.policy.failover_timeout_s

    def connected(self) -> None:
        """A new stream: all offers of the old one are void, and its filters may have survived (a
        fast failover keeps them), so waiting work revives."""
        self.rows.clear()
        self._hidden_until.clear()
        self._revive_at = None
        told = self._told.suppressed if self._told is not None else self._desk.policy.roles
        self.suppressed = frozenset(told)
        self._revive = {role for role in self._desk.policy.roles if self._wants(role)}
        self._arming = None

    def disconnected(self) -> None:
        """Offers end without a RESCIND."""
        self.rows.clear()

    def arm(self) -> None:
        """Set the real failover timeout, now that the framework id is in the store."""
        step = self._desk.step
        self._arming = step.call_id()
        self._told = self._render(self.suppressed, armed=True)
        step.call(UpdateFramework(self._arming, self._told))

    def armed_by(self, call: CallId) -> bool:
        return call == self._arming

    def _render(self, suppressed: frozenset[Role], armed: bool) -> Wanted:
        policy = self._desk.policy
        jobs = self._desk.state.jobs.values()
        return Wanted(
            roles=policy.roles,
            suppressed=tuple(role for role in policy.roles if role in suppressed),
            failover_timeout_s=policy.failover_timeout_s if armed else 0.0,
            gpus=any(job.runs and job.spec.template.amounts.gpus for job in jobs),
        )

    # --- after each step -------------------------------------------------------------------------

    def settle(self, *, keep: bool) -> None:
        """Decline what was not used (unless it is kept for the next step) and tell the master what
        changed in our wishes."""
        desk = self._desk
        if not desk.connected:
            return
        if not keep and len(self.rows):
            self._decline_all()
        self._update_gpus()
        idle: list[Role] = []
        for role in desk.policy.roles:
            if not self._wants(role):
                if role not in self.suppressed:
                    idle.append(role)
                self._revive.discard(role)
            elif role in self.suppressed or (
                role in desk.queue.woken
                and self._hidden_until.get(role, 0.0) > desk.now.mono + REFUSE_S_MIN
            ):
                self._revive.add(role)
        desk.queue.woken.clear()
        if idle:
            self.suppressed |= frozenset(idle)
            desk.step.call(Suppress(desk.step.call_id(), tuple(idle)))
        self._revive_when_due()

    def _wants(self, role: Role) -> bool:
        """Something of the role waits, or will soon. A role that is suppressed sleeps on until its
        work is really due."""
        queue, now = self._desk.queue, self._desk.now
        if queue.has_active(role):
            return True
        due = queue.next_due(role)
        if due is None or role in self.suppressed:
            return False
        return due - now.mono <= self._desk.policy.offers.suppress_after_backoff_s

    def refuse_s(self, role: Role) -> float:
        """How long to refuse what we do not use now, chosen by the situation."""
        desk, policy = self._desk, self._desk.policy.offers
        if desk.queue.has_active(role):
            refuse_s = desk.jittered(policy.refuse_s_no_fit, policy.refuse_jitter)
        elif (due := desk.queue.next_due(role)) is not None:
            refuse_s = min(max(due - desk.now.mono, REFUSE_S_MIN), policy.refuse_s_no_fit)
        else:
            refuse_s = policy.refuse_s_nothing_waits
        until = desk.now.mono + refuse_s
        self._hidden_until[role] = max(until, self._hidden_until.get(role, 0.0))
        return refuse_s

    def _decline_all(self) -> None:
        step = self._desk.step
        for role in self._desk.policy.roles:
            rows = self.rows.by_role(role)
            if not rows:
                continue
            refuse_s = self.refuse_s(role)
            offers = [offer for row in rows for offer in self.give_back(row, refuse_s)]
            offer_ids = tuple([offer.offer_id for offer in offers])
            step.call(Decline(step.call_id(), offer_ids, refuse_s))

    def give_back(self, row: int, refuse_s: float) -> tuple[Offer, ...]:
        """Take the row out, to be accepted or declined; what is left of it is refused."""
        left = self.rows.left(row)
        self.returned.note(self.rows[row], left, self._desk.now.wall, refuse_s)
        return self.rows.pop(row)

    def _revive_when_due(self) -> None:
        """REVIVE drops every filter and starts an allocation over all agents: gather what comes
        together, and let tokens that grow back slowly pay for each."""
        if not self._revive:
            self._revive_at = None
            return
        desk = self._desk
        if self._revive_at is None:
            self._revive_at = desk.now.mono + self._revive_pause_s()
            desk.deadlines.add(self._revive_at, Due.REVIVE)
        if desk.now.mono < self._revive_at:
            return
        roles = tuple(role for role in desk.policy.roles if role in self._revive)
        self._revive.clear()
        self._revive_at = None
        self._revives_left -= 1.0
        self.suppressed -= frozenset(roles)
        for role in roles:
            self._hidden_until.pop(role, None)
            self.returned.unhidden(role, desk.now.wall)
        desk.step.call(Revive(desk.step.call_id(), roles))

    def _revive_pause_s(self) -> float:
        policy, mono = self._desk.policy.offers, self._desk.now.mono
        if policy.revive_interval_s <= 0.0:
            return policy.revive_gather_s
        grown = (mono - self._revives_counted_at) / policy.revive_interval_s
        self._revives_left = min(self._revives_left + grown, float(policy.revive_burst))
        self._revives_counted_at = mono
        missing_s = (1.0 - self._revives_left) * policy.revive_interval_s
        return max(policy.revive_gather_s, missing_s)

    def _update_gpus(self) -> None:
        """GPU_RESOURCES is asked for only while a job wants gpus: with it, scarce agents are
        offered to us for everything."""
        framework = self._desk.state.framework
        if framework is None or not framework.armed or self._told is None:
            return
        wanted = self._render(self.suppressed, armed=True)
        if wanted.gpus != self._told.gpus:
            self._told = wanted
            step = self._desk.step
            step.call(UpdateFramework(step.call_id(), wanted))
