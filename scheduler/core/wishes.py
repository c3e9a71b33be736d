"""What we let the master know that we want: one wanted-state, and the calls that keep it up.

`Wanted` renders SUBSCRIBE and UPDATE_FRAMEWORK, which replace it whole; SUPPRESS and REVIVE are its
small steps. Each costs the master something, so each has its pace: a role in which nothing waits is
suppressed at once; REVIVE (it drops our filters and allocates every agent) is gathered and rare;
an update goes out soon where offers that we need are hidden, and late where it only hides more.

It knows the queue and no offer; `offers.py` holds those, and tells here how long it refuses some.
"""

from collections.abc import Iterable

import msgspec

from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import NoticeKind, Revive, Suppress, UpdateFramework, Wanted
from scheduler.core.events import CallEnded, CallId, CallOutcome
from scheduler.core.model.ids import Role
from scheduler.core.model.job import Template
from scheduler.core.model.needs import ANY, MASTERS_MINIMUMS, Needs, at_most, summed_by_name
from scheduler.core.placement.needs import needs_of
from scheduler.core.returned import Returned
from scheduler.core.tokens import Tokens

REFUSE_S_MIN = 1.0
"""Mesos filters for at least one allocation interval, a second by default."""


class Told(msgspec.Struct, frozen=True):
    """What the master knows of a role, for people who wonder where its offers are.

    `hidden_until` (monotonic) is how long filters of ours may hide an offer, `revive_at` when the
    next REVIVE for it may leave."""

    suppressed: bool
    needs: Needs
    hidden_until: float | None
    revive_at: float | None


class Wishes:
    """`_told` is what the master was last told, `_updating` the UPDATE_FRAMEWORK that is under way
    with what was told before it. `_look_soon` and `_look_late` are when to look whether another is
    due: because what is told may hide what we need, and because it may hide more of what is of no
    use to a role. For that something has to have waited in the role all the time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.suppressed: frozenset[Role] = frozenset(desk.policy.roles)
        self.needs_refused = ""
        self._told: Wanted | None = None
        self._updating: tuple[CallId, Wanted] | None = None
        self._updated_at = -desk.policy.offers.update_interval_s
        self._look_soon: float | None = None
        self._look_late: dict[Role, float] = {}
        self._looked_at: dict[Role, int] = {}
        self._accepted: tuple[tuple[Role, Needs], ...] = ()
        self._subscribing_with_needs = False
        self._arming: CallId | None = None
        self._hidden_until: dict[Role, float] = {}
        self._revive: set[Role] = set()
        self._revive_at: float | None = None
        self._repeat_at: dict[Role, float] = {}
        self._repeating: set[Role] = set()
        self.returned = Returned()
        offers = desk.policy.offers
        self._revives = Tokens(offers.revive_burst, offers.revive_interval_s)

    # --- the connection --------------------------------------------------------------------------

    def subscribing(self) -> Wanted:
        """For SUBSCRIBE. The very first goes out with no failover timeout and all suppressed, so
        that one which is cut off leaves nothing behind in the master. With an id there may be
        tasks, whether or not we know that the real timeout was set: it is said again.

        A SUBSCRIBE whose needs a master refuses is no subscription, so it has only such as were
        taken in an UPDATE_FRAMEWORK, and none after a try with them that came to nothing."""
        desk = self._desk
        framework = desk.state.framework
        roles = desk.policy.roles
        if framework is None:
            suppressed = frozenset(roles)
        else:
            suppressed = frozenset(role for role in roles if not self.wants(role))
        told = self._render(suppressed, armed=framework is not None)
        if told.needs != self._accepted or self._subscribing_with_needs:
            told = msgspec.structs.replace(told, needs=())
        self._subscribing_with_needs = bool(told.needs)
        self._told = told
        return told

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
        """A new stream: the filters of the old one may have survived (a fast failover keeps them),
        so waiting work revives. What another master refused, this one may take."""
        told = self._told.suppressed if self._told is not None else self._desk.policy.roles
        self.suppressed = frozenset(told)
        self.needs_refused = ""
        self._subscribing_with_needs = False
        self._updating = self._arming = None
        self._look_soon = None
        self._look_late.clear()
        self._looked_at.clear()
        self._hidden_until.clear()
        self._repeat_at.clear()
        self._repeating.clear()
        self._revive = {role for role in self._desk.policy.roles if self.wants(role)}
        self._revive_at = None

    def arm(self) -> None:
        """Set the real failover timeout, now that the framework id is in the store. Nothing goes
        with it that a master might refuse."""
        wanted = self._render(self.suppressed, armed=True)
        self._arming = self._update(msgspec.structs.replace(wanted, needs=()))

    def armed_by(self, call: CallId) -> bool:
        return call == self._arming

    def on_call_ended(self, ended: CallEnded) -> None:
        if self._updating is None or ended.call_id != self._updating[0]:
            return
        before, self._updating = self._updating[1], None
        refused = self._told
        if refused is None:
            return
        if ended.outcome is CallOutcome.SENT:
            self._accepted = refused.needs
        elif ended.outcome is CallOutcome.REFUSED:
            self._told = before
            if refused.needs:
                self.needs_refused = ended.detail
                self._desk.step.notice(NoticeKind.NEEDS_REFUSED, text=ended.detail)
                self._look_again()

    # --- what others ask and tell ----------------------------------------------------------------

    def wants(self, role: Role) -> bool:
        """Something of the role waits, or will soon. A role that is suppressed sleeps on until its
        work is really due."""
        desk = self._desk
        if desk.queue.has_active(role) or self.will_want(role):
            return True
        due = desk.queue.next_due(role)
        if due is None or role in self.suppressed:
            return False
        return due - desk.now.mono <= desk.policy.offers.suppress_after_backoff_s

    def will_want(self, role: Role) -> bool:
        """Jobs of the role lack tasks, and the steps in which their instances are planned are still
        to come: after a takeover of many instances those are several."""
        desk = self._desk
        jobs = (desk.state.jobs.get(job_id) for job_id in desk.unplanned)
        return any(job.lacks_tasks for job in jobs if job and job.spec.template.role == role)

    def refused(self, role: Role, refuse_s: float) -> None:
        """Offers of the role were refused for so long."""
        until = self._desk.now.mono + refuse_s
        self._hidden_until[role] = max(until, self._hidden_until.get(role, 0.0))

    def offered(self, role: Role) -> None:
        """An offer of the role came: the last REVIVE was heard."""
        self._repeat_at.pop(role, None)
        self._repeating.discard(role)

    def told(self, role: Role) -> Told:
        needs = self._told.needs_of(role) if self._told is not None else ANY
        revive_at = self._revive_at if role in self._revive else None
        return Told(role in self.suppressed, needs, self._hidden_until.get(role), revive_at)

    # --- after each step -------------------------------------------------------------------------

    def settle(self) -> None:
        """Tell the master what changed in our wishes, of what is due. An update comes before the
        REVIVE that needs it: the master takes calls in their order."""
        self._note_woken()
        self._suppress_idle()
        self._update_when_due()
        self._repeat_revives()
        self._revive_when_due()

    def _note_woken(self) -> None:
        """Work that became active may need offers that are hidden: by a suppressed role, by our
        filters, or by needs that are narrower than its own."""
        desk = self._desk
        now = desk.now.mono
        for job_id, role in desk.queue.woken.items():
            if self._hidden_until.get(role, 0.0) > now + REFUSE_S_MIN:
                self._revive.add(role)
            job = desk.state.jobs.get(job_id)
            if job is not None and self._look_soon is None:
                self._look_at(job.spec.template)
        desk.queue.woken.clear()
        for role in desk.policy.roles:
            if role in self.suppressed and self.wants(role):
                self._revive.add(role)

    def _look_at(self, template: Template) -> None:
        told = self._told
        if told is None:
            return
        needs, asked = told.needs_of(template.role), template.amounts
        summed = summed_by_name(asked)
        if (asked.gpus and not told.gpus) or (asked.revocable_cpus and not told.revocable):
            self._look_again()
        elif needs == ANY and any(at_most(one, summed) for one in MASTERS_MINIMUMS):
            pass  # nearly always, and cheap to see
        elif not needs.covers(needs_of([template], self._groups_max)):
            self._look_again()

    def _suppress_idle(self) -> None:
        roles = self._desk.policy.roles
        resting = [role for role in roles if not self.wants(role)]
        self._revive.difference_update(resting)
        for role in resting:
            self._look_late.pop(role, None)
            self._looked_at.pop(role, None)
        idle = tuple(role for role in resting if role not in self.suppressed)
        if idle:
            self.suppressed |= frozenset(idle)
            step = self._desk.step
            step.call(Suppress(step.call_id(), idle))

    # --- UPDATE_FRAMEWORK ------------------------------------------------------------------------

    @property
    def _groups_max(self) -> int:
        return self._desk.policy.offers.constraint_groups_max

    def _render(self, suppressed: frozenset[Role], armed: bool) -> Wanted:
        policy = self._desk.policy
        jobs = self._desk.state.jobs.values()
        asked = [job.spec.template.amounts for job in jobs if job.runs]
        return Wanted(
            roles=policy.roles,
            suppressed=tuple(role for role in policy.roles if role in suppressed),
            failover_timeout_s=policy.failover_timeout_s if armed else 0.0,
            gpus=any(amounts.gpus for amounts in asked),
            revocable=any(amounts.revocable_cpus for amounts in asked),
            needs=tuple(self._present_needs()),
        )

    def _present_needs(self) -> Iterable[tuple[Role, Needs]]:
        """Of the roles in which something waits, also for the end of its back-off."""
        desk = self._desk
        if self.needs_refused:
            return
        for role in desk.policy.roles:
            if self.wants(role):
                waiting = desk.queue.waiting(role)
                templates = (desk.state.jobs[group.job].spec.template for group in waiting)
                needs = needs_of(templates, self._groups_max)
                if needs != ANY:
                    yield role, needs

    def _look_again(self) -> None:
        """Look soon, but not before the next update may go out."""
        if self._look_soon is None:
            offers, mono = self._desk.policy.offers, self._desk.now.mono
            soon = mono + offers.revive_gather_s
            self._look_soon = max(soon, self._updated_at + offers.update_interval_s)
            self._desk.deadlines.add(self._look_soon, Due.OFFERS)

    def _look_late_if_changed(self) -> None:
        desk = self._desk
        for role in desk.policy.roles:
            revision = desk.queue.revision(role)
            if revision != self._looked_at.get(role) and self.wants(role):
                self._looked_at[role] = revision
                if role not in self._look_late:
                    self._look_late[role] = desk.now.mono + desk.policy.offers.narrow_after_s
                    desk.deadlines.add(self._look_late[role], Due.OFFERS)

    def _update_when_due(self) -> None:
        told = self._told
        if told is None or not self._may_update:
            return
        self._look_late_if_changed()
        mono = self._desk.now.mono
        free_at = self._updated_at + self._desk.policy.offers.update_interval_s
        soon = self._look_soon is not None and self._look_soon <= mono
        late = [role for role, at in self._look_late.items() if at <= mono]
        if not soon and not late:
            return
        if mono < free_at:
            self._look_soon = free_at
            self._desk.deadlines.add(free_at, Due.OFFERS)
            return
        self._look_soon = None
        for role in late:
            del self._look_late[role]
        wanted = self._render(self.suppressed, armed=True)
        if (wanted.gpus, wanted.revocable, wanted.needs) != (
            told.gpus,
            told.revocable,
            told.needs,
        ):
            self._update(wanted)

    @property
    def _may_update(self) -> bool:
        """Before, the master could take us for armed while the store does not know it."""
        framework = self._desk.state.framework
        return framework is not None and framework.armed

    def _update(self, wanted: Wanted) -> CallId:
        step = self._desk.step
        call_id = step.call_id()
        step.call(UpdateFramework(call_id, wanted))
        self._updating = (call_id, self._told or wanted)
        self._told = wanted
        self._updated_at = self._desk.now.mono
        return call_id

    # --- REVIVE ----------------------------------------------------------------------------------

    def _repeat_revives(self) -> None:
        """A REVIVE may be lost, or meet an allocation that is under way: once more, when nothing
        came of it."""
        due = [role for role, at in self._repeat_at.items() if at <= self._desk.now.mono]
        for role in due:
            del self._repeat_at[role]
            if self.wants(role):
                self._revive.add(role)
                self._repeating.add(role)

    def _revive_when_due(self) -> None:
        """REVIVE drops every filter and starts an allocation over all agents: gather what comes
        together, and let tokens that grow back slowly pay for each."""
        if not self._revive:
            self._revive_at = None
            return
        desk = self._desk
        offers, mono = desk.policy.offers, desk.now.mono
        if self._revive_at is None:
            self._revive_at = mono + max(offers.revive_gather_s, self._revives.missing_s(mono))
            desk.deadlines.add(self._revive_at, Due.OFFERS)
        if mono < self._revive_at or (self._look_soon is not None and self._may_update):
            return
        roles = tuple(role for role in desk.policy.roles if role in self._revive)
        self._revive.clear()
        self._revive_at = None
        self._revives.take(mono)
        desk.step.call(Revive(desk.step.call_id(), roles))
        self.suppressed -= frozenset(roles)
        for role in roles:
            self._hidden_until.pop(role, None)
            self.returned.unhidden(role, desk.now.wall)
            if role in self._repeating:
                self._repeating.discard(role)
            else:
                self._repeat_at[role] = mono + offers.revive_repeat_s
                desk.deadlines.add(self._repeat_at[role], Due.OFFERS)
