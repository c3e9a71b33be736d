"""What we hold of the cluster, for how long, and how what is given back is refused.

The rules are Mesos' (framework development guide): never hoard; decline what does not fit at once,
and for long. An offer is kept for three reasons only: for a moment, so that those of one allocation
are seen together; while a placement that takes several steps goes on; while the store takes no
writes. None is kept for longer than `hold_s_max`. `wishes.py` says what the master is told.
"""

from collections import defaultdict, deque
from collections.abc import Iterable

from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import Decline
from scheduler.core.model.ids import OfferId, Role
from scheduler.core.model.offer import Offer
from scheduler.core.model.resources import SCALAR_NAMES, values_of
from scheduler.core.placement.rows import Rows
from scheduler.core.wishes import REFUSE_S_MIN, Wishes

ADDED_UP_MAX = 500
"""Jobs whose needs are added up to tell whether what is held is enough for all."""


class Offers:
    """`_came` says when each offer came (monotonic), the oldest first; those that have gone are
    dropped when they come to the front. `_usable` has the roles that hold any, and from when on
    they may be used: None is not decided yet. `_weighed` are those of which it is known whether
    they hold enough for all."""

    def __init__(self, desk: Desk, wishes: Wishes) -> None:
        self._desk = desk
        self._wishes = wishes
        self.rows = Rows()
        self._came: deque[tuple[float, OfferId]] = deque()
        self._usable: dict[Role, float | None] = {}
        self._weighed: set[Role] = set()
        self._hold_ends: float | None = None

    def forget(self) -> None:
        """The stream is another one, or none: its offers ended without a RESCIND."""
        self.rows.clear()
        self._came.clear()
        self._usable.clear()
        self._weighed.clear()

    def add(self, offers: Iterable[Offer]) -> None:
        mono = self._desk.now.mono
        for offer in offers:
            self.rows.add(offer)
            self._came.append((mono, offer.offer_id))
            self._weighed.discard(offer.role)
            if offer.role not in self._usable:
                self._usable[offer.role] = None
                self._wishes.offered(offer.role)

    def may_use(self, role: Role) -> bool:
        """With much to be tried, what comes within a moment is looked at together: packed better,
        and the long queue gone through once. With little, the first that fits is used now; and so
        is what is enough for all, since no other offer would start a task more."""
        if role not in self._usable:
            return False
        usable_at = self._usable[role]
        if usable_at is None:
            usable_at = self._usable[role] = self._usable_from(role)
        mono = self._desk.now.mono
        if usable_at > mono and role not in self._weighed:
            self._weighed.add(role)
            if self._enough_for_all(role):
                usable_at = self._usable[role] = mono
        return usable_at <= mono

    def _usable_from(self, role: Role) -> float:
        desk, policy = self._desk, self._desk.policy.offers
        if not policy.gather_s or not desk.queue.has_many_awake(role, policy.gather_when_waiting):
            return desk.now.mono
        at = desk.now.mono + policy.gather_s
        desk.deadlines.add(at, Due.OFFERS)
        return at

    def _enough_for_all(self, role: Role) -> bool:
        """By amounts alone. Very many jobs are not added up: they are looked at together."""
        groups = self._desk.queue.few_awake(role, ADDED_UP_MAX)
        if groups is None:
            return False
        asked = [0] * len(SCALAR_NAMES)
        for group in groups:
            each = values_of(self._desk.state.jobs[group.job].spec.template.amounts)
            count = len(group.active)
            asked = [sum_ + count * amount for sum_, amount in zip(asked, each, strict=True)]
        self.rows.sync()
        held = self.rows.in_role(role)
        free = [self.rows.free(name)[held].sum() for name in SCALAR_NAMES]
        return all(have >= need for have, need in zip(free, asked, strict=True))

    # --- after each step -------------------------------------------------------------------------

    def settle(self, *, keep: bool) -> None:
        """Decline what was not used, but what is kept (`keep`: for the next step) and has not been
        for too long."""
        if not self._desk.connected:
            return
        self._decline_unused(keep)
        self._decline_held_too_long()

    def refuse_s(self, role: Role) -> float:
        """How long to refuse what we do not use now, chosen by the situation."""
        desk, policy = self._desk, self._desk.policy.offers
        if desk.queue.has_active(role):
            refuse_s = desk.jittered(policy.refuse_s_no_fit, policy.refuse_jitter)
        elif (due := desk.queue.next_due(role)) is not None:
            refuse_s = min(max(due - desk.now.mono, REFUSE_S_MIN), policy.refuse_s_no_fit)
        else:
            refuse_s = policy.refuse_s_nothing_waits
        self._wishes.refused(role, refuse_s)
        return refuse_s

    def give_back(self, row: int, refuse_s: float) -> tuple[Offer, ...]:
        """Take the row out, to be accepted or declined; what is left of it is refused."""
        left = self.rows.left(row)
        self._wishes.returned.note(self.rows[row], left, self._desk.now.wall, refuse_s)
        return self.rows.pop(row)

    def _decline_unused(self, keep: bool) -> None:
        """What may be used by now was used, or is of no use. A role in which nothing waits keeps
        nothing, whatever the others wait for, unless its work is still being planned."""
        active, planning = self._desk.queue.has_active, self._wishes.will_want
        unused = [
            role
            for role in self._usable
            if self.may_use(role) and not (keep and active(role)) and not planning(role)
        ]
        for role in unused:
            del self._usable[role]
            rows = self.rows.by_role(role)
            if rows:
                self._decline(rows, self.refuse_s(role))

    def _decline_held_too_long(self) -> None:
        """Others are asked first now; what is still of use to us then comes back."""
        desk, policy = self._desk, self._desk.policy.offers
        expired: defaultdict[Role, dict[int, None]] = defaultdict(dict)
        while self._came:
            came, offer_id = self._came[0]
            row = self.rows.row_of(offer_id)
            if row is not None:
                if came + policy.hold_s_max > desk.now.mono:
                    self._wake_at(came + policy.hold_s_max)
                    break
                expired[self.rows[row].role][row] = None
            self._came.popleft()
        for role, rows in expired.items():
            self._wishes.refused(role, policy.refuse_s_held)
            self._decline(rows, policy.refuse_s_held)

    def _decline(self, rows: Iterable[int], refuse_s: float) -> None:
        step = self._desk.step
        offers = [offer for row in rows for offer in self.give_back(row, refuse_s)]
        offer_ids = tuple([offer.offer_id for offer in offers])
        step.call(Decline(step.call_id(), offer_ids, refuse_s))

    def _wake_at(self, at: float) -> None:
        if self._hold_ends is None or self._hold_ends <= self._desk.now.mono:
            self._hold_ends = at
            self._desk.deadlines.add(at, Due.OFFERS)
