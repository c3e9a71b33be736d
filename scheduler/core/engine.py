"""The engine: events in, one Step out. It routes, and runs its phases in a fixed order.

    apply events → deadlines → plan changed jobs → replace → reconcile → match → offers → Step

Status updates are applied in the first phase, so they never wait behind placement; planning and
matching stop at the budget and go on in the next call (`Step.more`). Whoever calls `handle` gives
the time, performs the Step's effects in order, and hands their outcomes back as events.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from scheduler.core.agent_health import AgentHealth
from scheduler.core.attempts import Attempts
from scheduler.core.commands import Commands, Endings
from scheduler.core.deadlines import Due, Entry
from scheduler.core.desk import Desk
from scheduler.core.effects import NoticeKind, Step, Verdict, Wanted
from scheduler.core.events import (
    AgentFailed,
    AgentsListed,
    ApplyJob,
    CallEnded,
    CallOutcome,
    ConnectFailed,
    DeleteJob,
    Disconnected,
    Event,
    ForgetFramework,
    ForgiveAgent,
    FrameworksListed,
    KillTask,
    Now,
    OfferRescinded,
    OffersMade,
    ScaleJob,
    StatusUpdated,
    StopJob,
    StoreRecovered,
    StoreRefusing,
    Subscribed,
)
from scheduler.core.inventory import Inventory
from scheduler.core.model.ids import AgentId, FrameworkId, InstanceKey, JobId, TaskId
from scheduler.core.model.instance import AttemptState
from scheduler.core.neighbours import Neighbours
from scheduler.core.offers import Offers
from scheduler.core.placing import Placing
from scheduler.core.policy import Budget, Policy
from scheduler.core.queue import Queue
from scheduler.core.reconcile import Question, is_marker
from scheduler.core.records import FRAMEWORK, FrameworkRecord, Put, Record, Remove, Write
from scheduler.core.state import State
from scheduler.core.state_views import Connection, StateViews
from scheduler.core.transitions import declared
from scheduler.core.unknown import Unknown
from scheduler.core.wishes import Wishes

DEADLINES_A_STEP_MAX = 2000


class Engine:
    """One term's decisions. `load` or `follow` first, `start` once, then `handle` for ever.

    A standby's engine follows what another writes, gives views, and is never started; at a takeover
    its `state` goes into a new one.
    """

    def __init__(self, policy: Policy, *, term: int, seed: int, state: State | None = None) -> None:
        self._desk = Desk(policy, term, seed, state or State())
        self._inventory = Inventory()
        self._health = AgentHealth(self._desk, self._inventory)
        self._attempts = Attempts(self._desk, self._health)
        self._wishes = Wishes(self._desk)
        self._offers = Offers(self._desk, self._wishes)
        self._placing = Placing(self._desk, self._attempts, self._offers)
        self._unknown = Unknown(self._desk)
        self._commands = Commands(self._desk, self._attempts, self._unknown)
        self._endings = Endings(self._desk)
        self._neighbours = Neighbours()
        self.views = StateViews(
            self._desk,
            self._offers,
            self._wishes,
            self._unknown,
            self._inventory,
            self._neighbours,
        )

    # --- before the first event ------------------------------------------------------------------

    def load(self, records: Iterable[Record]) -> None:
        for record in records:
            self._desk.state.apply(record)

    def follow(self, writes: Iterable[Write], now: Now) -> None:
        """What another instance stored, in its order."""
        self._desk.now = now
        for write in writes:
            match write:
                case Put(record):
                    self._desk.state.apply(record)
                case Remove(key):
                    self._desk.state.remove(key)

    def start(self, now: Now) -> Step:
        """Take up what was loaded. Watches, unfinished replacements and what deleted jobs have left
        follow in later steps, instance by instance."""
        desk = self._desk
        desk.now = now
        desk.open_step()
        self._endings.resume()
        self._health.resume()
        # What waits is planned before all that only has to be looked at, which may take many steps.
        jobs = desk.state.jobs
        for job_id in sorted(jobs, key=lambda job_id: not jobs[job_id].lacks_tasks):
            desk.plan_all(job_id)
            desk.resuming.add(job_id)
        self._endings.sweep()
        self.views.connection = Connection(lost_at=now.wall)
        return desk.step.finish(now.mono, more=True)

    # --- what the runtime reads ------------------------------------------------------------------

    @property
    def framework(self) -> FrameworkRecord | None:
        """As whom we are registered."""
        return self._desk.state.framework

    @property
    def framework_id(self) -> FrameworkId | None:
        return self.framework.framework_id if self.framework is not None else None

    @property
    def armed(self) -> bool:
        """The master knows our real failover timeout, so losing the id would lose tasks."""
        framework = self._desk.state.framework
        return framework is not None and framework.armed

    def wanted(self) -> Wanted:
        """What SUBSCRIBE should say; what it says is remembered."""
        return self._wishes.subscribing()

    # --- one step --------------------------------------------------------------------------------

    def handle(self, now: Now, events: Sequence[Event], budget: Budget) -> Step:
        desk = self._desk
        desk.now = now
        step = desk.open_step()
        for event in events:
            self._apply(event)
        for entry in desk.deadlines.pop_due(now.mono, DEADLINES_A_STEP_MAX):
            self._wake(entry)
        more = self._plan(budget.rows)
        more |= self._endings.clear(budget.rows)
        for job_id in list(desk.rolling):
            self._attempts.roll(job_id)
        desk.rolling.clear()
        if desk.connected:
            desk.reconciliation.emit(step)
        self._count_shares()
        held = self._placing.match(budget)
        self._offers.settle(keep=held or bool(desk.store_refusing))
        if desk.connected:
            self._wishes.settle()
        self._attempts.launches.forget_started()
        for job_id in list(desk.touched):
            job = desk.state.jobs.get(job_id)
            if job is not None:
                self._endings.check(job)
        desk.touched.clear()
        self._endings.sweep()
        return step.finish(desk.deadlines.next_at, more or held)

    def _count_shares(self) -> None:
        desk = self._desk
        for job_id in desk.touched:
            job = desk.state.jobs.get(job_id)
            if job is not None:
                desk.shares.count(job)

    def _plan(self, rows: int) -> bool:
        """Plan instances of changed jobs; True when the budget ran out first."""
        desk = self._desk
        for job_id in list(desk.unplanned):
            job = desk.state.jobs.get(job_id)
            while job is not None and job.todo:
                if rows <= 0:
                    return True
                rows -= 1
                index = job.todo.popleft()
                if job_id in desk.resuming:
                    self._attempts.resume(job, index)
                self._attempts.plan(job, index)
            del desk.unplanned[job_id]
            desk.touched[job_id] = None
            if job_id in desk.resuming:
                desk.resuming.remove(job_id)
                if job is not None and job.rolling:
                    desk.rolling[job_id] = None
        return False

    # --- events ----------------------------------------------------------------------------------

    def _apply(self, event: Event) -> None:  # noqa: C901 - one short case an event
        match event:
            case StatusUpdated():
                self._on_status(event)
            case OffersMade():
                self._inventory.offered(event.offers)
                self._offers.add(event.offers)
                self._placing.offered(event.offers)
            case CallEnded():
                self._on_call_ended(event)
            case OfferRescinded():
                self._offers.rows.remove_offer(event.offer_id)
            case ApplyJob() | ScaleJob() | StopJob() | DeleteJob() | KillTask():
                self._commands.handle(event)
            case ForgiveAgent():
                self._health.forgive(event)
            case Subscribed():
                self._on_subscribed(event)
            case Disconnected():
                self._on_disconnected(event)
            case ConnectFailed():
                self._on_connect_failed(event)
            case ForgetFramework():
                self._forget_framework(event)
            case AgentsListed():
                self._inventory.listed(event, self._desk.now.wall)
                if event.agents is not None:
                    totals = (seen.total for seen in event.agents if seen.active)
                    self._desk.shares.set_capacity(totals)
                if event.refused:
                    self._desk.step.notice(NoticeKind.AGENTS_HIDDEN, text=event.refused)
            case FrameworksListed():
                self._neighbours.listed(event, self.framework_id, self._desk.policy.roles)
            case AgentFailed():
                # guide §5: FAILURE of an agent is lossy and agents return; statuses decide.
                self._inventory.failed(event.agent_id)
            case StoreRefusing():
                self._desk.store_refusing = event.reason
            case StoreRecovered():
                self._desk.store_refusing = ""

    def _on_status(self, status: StatusUpdated) -> None:
        desk = self._desk
        if is_marker(status.task_id):
            if desk.reconciliation.ends_with(status.task_id):
                self._on_reconciled()
            return
        found = desk.state.find(status.task_id)
        if found is None:
            self._unknown.seen(status)
            self._attempts.acknowledge(status)
            return
        self._attempts.on_status(status, found)

    def _on_subscribed(self, event: Subscribed) -> None:
        """Everything of the old stream is void. The record is written even if nothing changed: a
        write that goes through proves that our term stands, before the first call leaves."""
        desk = self._desk
        wall = desk.now.wall
        framework = desk.state.framework
        armed = framework is not None and (framework.armed or self._wishes.armed)
        registered = framework if framework is not None else event
        desk.store(
            FrameworkRecord(event.framework_id, armed, wall, registered.user, registered.checkpoint)
        )
        desk.connected = True
        self.views.connection = Connection(event.master_url, wall)
        self._offers.forget()
        self._wishes.connected()
        if not armed:
            self._wishes.arm()
        desk.reconciliation.forget()
        desk.reconciliation.begin_anew(self._live_attempts())
        self._attempts.stream_began()
        self._reconcile_after(desk.reconciliation.retry_s())
        desk.step.notice(NoticeKind.CONNECTED, text=event.master_url)

    def _live_attempts(self) -> Iterator[Question]:
        """As it is when the next is asked for; of jobs and instances that come meanwhile, none."""
        for job in list(self._desk.state.jobs.values()):
            for index in list(job.instances) if job.live else ():
                instance = job.instances.get(index)
                for attempt in instance.live if instance is not None else ():
                    yield attempt.task_id, attempt.agent_id

    def _on_disconnected(self, event: Disconnected) -> None:
        desk = self._desk
        if not desk.connected:
            return
        desk.connected = False
        self.views.connection = Connection(lost_at=desk.now.wall, trouble=event.reason)
        self._offers.forget()
        desk.reconciliation.forget()
        desk.step.notice(NoticeKind.DISCONNECTED, text=event.reason)

    def _on_connect_failed(self, event: ConnectFailed) -> None:
        """Since when there is no stream stays; why is what went wrong last."""
        views = self.views
        if not self._desk.connected:
            views.connection = msgspec.structs.replace(views.connection, trouble=event.reason)

    def _forget_framework(self, event: ForgetFramework) -> None:
        """The master removed our id for good, and with it every task: say so, and begin anew."""
        desk = self._desk
        desk.remove(FRAMEWORK)
        for job in list(desk.state.jobs.values()):
            for instance in list(job.instances.values()):
                for attempt in instance.live:
                    found = desk.state.find(attempt.task_id)
                    if found is not None:
                        gone = declared(
                            found.attempt,
                            AttemptState.GONE,
                            "framework_removed",
                            event.reason,
                            desk.now.wall,
                        )
                        self._attempts.change(found, gone)
        desk.step.answer(event.ticket, Verdict.DONE)

    def _on_call_ended(self, event: CallEnded) -> None:
        desk = self._desk
        self._placing.on_call_ended(event)
        self._endings.on_call_ended(event.call_id)
        desk.reconciliation.on_call_ended(event.call_id)
        self._wishes.on_call_ended(event)
        framework = desk.state.framework
        if event.outcome is CallOutcome.SENT:
            if self._wishes.armed_by(event.call_id) and framework is not None:
                desk.store(msgspec.structs.replace(framework, armed=True))
        elif event.outcome is CallOutcome.REFUSED:
            desk.step.notice(NoticeKind.CALL_FAILED, text=event.detail)

    def _on_reconciled(self) -> None:
        unanswered = len(self._desk.reconciliation.unanswered)
        self._desk.step.notice(
            NoticeKind.RECONCILED, text=f"{unanswered} tasks without an answer" * (unanswered > 0)
        )

    # --- deadlines -------------------------------------------------------------------------------

    def _wake(self, entry: Entry) -> None:  # noqa: C901 - one short case a deadline
        desk = self._desk
        match entry.due, entry.key:
            case Due.BACKOFF_ENDS, InstanceKey() as key:
                desk.queue.wake(key, desk.now.mono)
            case Due.KILL_AGAIN, str(task):
                self._attempts.kill_again(TaskId(task), entry.at)
            case Due.AWAY_TOO_LONG, str(task):
                self._attempts.away_too_long(TaskId(task))
            case Due.LAUNCH_OVERDUE, _:
                self._attempts.check_launches()
            case Due.ROLLOUT_SETTLES, str(job):
                desk.rolling[JobId(job)] = None
            case Due.RECONCILE, _:
                if entry.at == desk.reconciliation.again_at:
                    self._reconcile_again()
            case Due.OFFERS, _:
                pass  # the offer policy, which every step ends with, looks for itself
            case Due.QUEUE_SWEEP, _:
                self._placing.sweep()
            case Due.FORGET_JOB, str(job):
                self._endings.forget(JobId(job))
            case Due.AGENT_DUE, str(agent):
                self._health.due(AgentId(agent))
            case Due.KILL_UNKNOWN, str(task):
                self._unknown.kill_due(TaskId(task))
            case _:
                raise AssertionError(f"a deadline of an unknown form: {entry}")

    def _reconcile_again(self) -> None:
        """Ask again what stayed unanswered; when nothing did, ask for everything after the usual
        interval. Only one pass at a time, and none while there is no stream."""
        desk, reconciliation = self._desk, self._desk.reconciliation
        policy = desk.policy.reconcile
        if not desk.connected:
            return
        if reconciliation.asking:
            pause_s = reconciliation.retry_s()  # the master takes its time
        elif reconciliation.unanswered:
            reconciliation.begin(list(reconciliation.unanswered.items()), implicit=False)
            pause_s = reconciliation.retry_s()
        elif reconciliation.tries:
            reconciliation.tries = 0
            pause_s = desk.jittered(policy.interval_s, 0.1)
        else:
            reconciliation.begin(self._live_attempts(), implicit=True)
            pause_s = reconciliation.retry_s()
        self._reconcile_after(pause_s)

    def _reconcile_after(self, pause_s: float) -> None:
        desk = self._desk
        desk.reconciliation.again_at = desk.now.mono + pause_s
        desk.deadlines.add(desk.reconciliation.again_at, Due.RECONCILE)

    # --- for invariants and tests ----------------------------------------------------------------

    @property
    def state(self) -> State:
        """To be read only, but for who hands it over to the next engine."""
        return self._desk.state

    @property
    def queue(self) -> Queue:
        """To be read only."""
        return self._desk.queue

    def waits(self, key: InstanceKey) -> bool:
        """The instance waits for an offer or for its back-off to end."""
        group = self._desk.queue.group(key.job)
        return group is not None and (key.instance in group.active or key.instance in group.backoff)
