"""From queue and offers to launches: the only place where attempts are made.

Order: by role, then group by group as the queue and the owners' fair shares say. An attempt is
stored in the step that accepts its offers, so it is durable before the ACCEPT leaves. What a row
has left over is given back with that ACCEPT; rows that were not used are the offer policy's.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
import numpy as np

from scheduler.core.asking import present_group
from scheduler.core.attempts import Attempts
from scheduler.core.deadlines import Due
from scheduler.core.desk import ROUNDING_S, Desk
from scheduler.core.effects import Accept, Launch, NoticeKind
from scheduler.core.events import CallEnded, CallId, CallOutcome
from scheduler.core.fair_share import Turns
from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import InstanceKey, OfferId, Role, TaskId, task_id
from scheduler.core.model.instance import Attempt, AttemptState, Instance
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts
from scheduler.core.offers import Offers
from scheduler.core.placement.carve import Carved
from scheduler.core.placement.constraints import AGENT, HOSTNAME, value_of
from scheduler.core.placement.matcher import assign, place
from scheduler.core.placement.needs import least_of
from scheduler.core.policy import Budget
from scheduler.core.queue import Waiting

GROUP_COST_ROWS = 20
SEARCHED_ROWS_A_ROW = 1000
"""What trying one group costs of the budget, even if nothing fits: this much, and one more for so
many rows held. Making an attempt costs 1."""

DECISION_INSTANCES_MAX = 128
ONE_BY_ONE_MAX = 24
"""Instances of one group that are placed at once, and those for which rows have to be chosen one
after another, so that a decision takes no more than 2 ms with 10,000 agents. The rest follows in
the same step, when it is the group's turn again and the budget lasts."""

UNTRIED_MAX = 500
"""Groups looked at to tell whether any of them may still use what is left of a row."""


class Placing:
    """`_in_flight` holds the tasks of each ACCEPT until its call has ended. `_turns` go on over the
    steps that a long queue takes, each with the state of the queue that it is for."""

    def __init__(self, desk: Desk, attempts: Attempts, offers: Offers) -> None:
        self._desk = desk
        self._attempts = attempts
        self._offers = offers
        self._in_flight: dict[CallId, tuple[TaskId, ...]] = {}
        self._fresh: list[OfferId] = []
        self._sweep_set = False
        self._after_role: Role | None = None
        self._turns: dict[Role, tuple[int, Turns]] = {}

    def offered(self, offers: Iterable[Offer]) -> None:
        """Offers came: what did not fit before may fit now."""
        self._fresh += [offer.offer_id for offer in offers]

    def match(self, budget: Budget) -> bool:
        """Place what fits. True when the budget ran out first: the rest of the offers is kept."""
        desk = self._desk
        if not desk.connected or desk.store_refusing:
            return False
        self._wake_helped()
        if not len(self._offers.rows):
            return False
        left = min(budget.rows, budget.launches)
        if left <= 0 and self._may_place_more():
            return True
        group_cost = GROUP_COST_ROWS + self._offers.rows.size // SEARCHED_ROWS_A_ROW
        for role in self._roles_in_turn():
            if not self._offers.may_use(role):
                continue
            launches: dict[int, list[Launch]] = {}
            turns = self._turns_of(role)
            while left > 0 and (waiting := turns.next()) is not None:
                if desk.queue.is_awake(waiting):
                    most = min(left, turns.instances_max, DECISION_INSTANCES_MAX)
                    placed = self._place_group(waiting, most, launches)
                    left -= max(placed, group_cost)
                turns.over(again=desk.queue.is_awake(waiting))
            out_of_budget = left <= 0 and desk.queue.has_awake(role)
            self._accept(role, launches, more=out_of_budget)
            if out_of_budget:
                self._after_role = role
                return True
        self._set_sweep()
        return False

    def _may_place_more(self) -> bool:
        """Asked in a step that is to place nothing, and leaves whose turn it is as it was."""
        awake = self._desk.queue.has_awake
        return any(awake(role) for role in self._desk.policy.roles if self._offers.may_use(role))

    def _roles_in_turn(self) -> Iterator[Role]:
        """The role that used up the budget of the last step comes last in this one."""
        roles = self._desk.policy.roles
        start = roles.index(self._after_role) + 1 if self._after_role is not None else 0
        self._after_role = None
        return iter((*roles[start:], *roles[:start]))

    def _turns_of(self, role: Role) -> Turns:
        queue = self._desk.queue
        changes, turns = self._turns.get(role, (-1, None))
        if turns is None or changes != queue.changes(role):
            turns = Turns(queue.awake(role), self._desk.shares.of)
            self._turns[role] = queue.changes(role), turns
        return turns

    def _wake_helped(self) -> None:
        """Parked groups are tried again only if a row is new that may hold them."""
        rows = self._offers.rows
        if not self._fresh:
            return
        found = {rows.row_of(offer_id) for offer_id in self._fresh}
        self._fresh.clear()
        rows.sync()
        fresh = np.array(sorted(row for row in found if row is not None), np.int64)
        for role in self._desk.policy.roles:
            self._desk.queue.stir_helped(role, rows, fresh[rows.in_role(role)[fresh]])

    def sweep(self) -> None:
        """Try what has been parked for long again, in case something that helps it went by."""
        self._sweep_set = False
        self._desk.queue.sweep(self._desk.now.mono - self._desk.policy.queue_sweep_s)
        self._set_sweep()

    def _set_sweep(self) -> None:
        desk = self._desk
        since = desk.queue.parked_since()
        if since is not None and not self._sweep_set:
            self._sweep_set = True
            at = since + desk.policy.queue_sweep_s + ROUNDING_S
            desk.deadlines.add(at, Due.QUEUE_SWEEP)

    def _place_group(self, waiting: Waiting, limit: int, launches: dict[int, list[Launch]]) -> int:
        desk, rows = self._desk, self._offers.rows
        job = desk.state.jobs[waiting.job]
        seed = desk.random.getrandbits(32)
        group = present_group(desk.state, job, desk.now.wall, seed)
        indexes = list(islice(waiting.active, min(limit, len(waiting.active))))
        placed = place(rows, group, len(indexes), ONE_BY_ONE_MAX)
        waiting.shortfall = placed.shortfall
        waiting.tries += 1
        following = iter(indexes)
        made = 0
        cuts = assign(rows, group, placed.shares, seed)
        for (row, _), cut in zip(placed.shares, cuts, strict=True):
            agent = rows[row].agent
            for index, carved in zip(islice(following, len(cut)), cut, strict=True):
                launch = self._make_attempt(job, index, agent, carved)
                launches.setdefault(row, []).append(launch)
            made += len(cut)
        if placed.shortfall is not None:
            desk.history.fell_short(job.id, desk.now.wall, placed.shortfall)
        elif not waiting.active and not waiting.backoff:
            desk.history.placed(job.id, desk.now.wall)
        desk.shares.count(job)
        if made:
            for other in desk.state.neighbours.asking_for(job.id):
                desk.queue.call(other)
        if made + placed.later < len(indexes):
            if job.counted_by:
                group = present_group(desk.state, job, desk.now.wall)
            desk.queue.park(waiting, group, desk.now.mono)
        return made

    def _make_attempt(self, job: Job, index: int, agent: AgentInfo, carved: Carved) -> Launch:
        desk = self._desk
        instance = job.instances.get(index) or Instance(job.id, index)
        number = instance.attempts + 1
        attempt = self._attempt(job, index, number, agent, carved.ports)
        desk.store(
            Instance(
                job=job.id,
                index=index,
                attempts=number,
                live=(*instance.live, attempt),
                ended=instance.ended,
                failures=job.failures(instance),
            )
        )
        desk.queue.discard(InstanceKey(job.id, index))
        self._attempts.launches.add(attempt.task_id)
        desk.reconciliation.launched(attempt.task_id)
        desk.step.notice(
            NoticeKind.TASK_CHANGED, job=job.id, task_id=attempt.task_id, state=attempt.state
        )
        return _launch(job, index, attempt, carved)

    def _attempt(
        self, job: Job, index: int, number: int, agent: AgentInfo, ports: tuple[int, ...]
    ) -> Attempt:
        wall = self._desk.now.wall
        return Attempt(
            task_id=task_id(job.id, index, number, job.record.uid),
            number=number,
            version=job.record.template_version,
            state=AttemptState.LAUNCHING,
            agent_id=agent.agent_id,
            hostname=agent.hostname,
            since=wall,
            launched_at=wall,
            agent_url=agent.url,
            ports=ports,
            attributes=_counted_values(job, agent),
        )

    def _accept(self, role: Role, launches: dict[int, list[Launch]], *, more: bool) -> None:
        """What a row has left over was tried for everything that waits, but (`more`) for what the
        budget had no room for: where that may fit, the rest is refused for a moment only."""
        if not launches:
            return
        step = self._desk.step
        least = self._least_untried(role) if more else None
        refuse_s = self._offers.refuse_s(role)
        self._offers.rows.sync()
        for row, made in launches.items():
            useful = least is not None and self._has_room(row, least)
            rest_s = self._desk.policy.offers.refuse_s_rest if useful else refuse_s
            offers = self._offers.give_back(row, rest_s)
            call_id = step.call_id()
            self._in_flight[call_id] = tuple(launch.task_id for launch in made)
            step.call(Accept(call_id, tuple(o.offer_id for o in offers), tuple(made), rest_s))

    def _least_untried(self, role: Role) -> Amounts:
        """Nothing, where there are too many to look at."""
        untried = self._desk.queue.few_awake(role, UNTRIED_MAX)
        if untried is None:
            return Amounts()
        jobs = self._desk.state.jobs
        return least_of(jobs[group.job].spec.template.amounts for group in untried)

    def _has_room(self, row: int, least: Amounts) -> bool:
        rows, asked = self._offers.rows, msgspec.structs.asdict(least)
        return all(rows.free(name)[row] >= amount for name, amount in asked.items())

    def on_call_ended(self, ended: CallEnded) -> None:
        """Only what certainly did not reach the master is taken back; the rest is asked about."""
        tasks: Iterable[TaskId] = self._in_flight.pop(ended.call_id, ())
        if ended.outcome in (CallOutcome.REFUSED, CallOutcome.NOT_SENT):
            for task in tasks:
                self._attempts.never_sent(task, ended.detail)


def _counted_values(job: Job, agent: AgentInfo) -> tuple[tuple[str, str], ...]:
    """What the attempt's record must hold for its job to be counted by, whoever leads then."""
    if not job.counted_by:
        return ()
    values = [
        (attribute, value_of(agent, attribute))
        for attribute in job.counted_by
        if attribute not in (HOSTNAME, AGENT)
    ]
    return tuple([(attribute, value) for attribute, value in values if value is not None])


def _launch(job: Job, index: int, attempt: Attempt, carved: Carved) -> Launch:
    return Launch(
        task_id=attempt.task_id,
        job=job.id,
        index=index,
        agent_id=attempt.agent_id,
        uid=job.record.uid,
        version=attempt.version,
        template=job.spec.template,
        labels=job.spec.labels,
        resources=carved.resources,
        ports=carved.ports,
    )
