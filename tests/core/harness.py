"""An engine under a virtual clock, driven by values. After every step the invariants are checked,
and that nothing becomes visible that was not written before."""

from collections.abc import Iterable
from typing import TypeVar

from scheduler.core import invariants
from scheduler.core.effects import (
    Accept,
    Answer,
    Call,
    Kill,
    Launch,
    Reconcile,
    Step,
    UpdateFramework,
)
from scheduler.core.engine import Engine
from scheduler.core.events import (
    ApplyJob,
    CallEnded,
    CallOutcome,
    DeleteJob,
    Disconnected,
    Event,
    KillTask,
    Now,
    OffersMade,
    ScaleJob,
    StopJob,
    Subscribed,
    TaskState,
    Ticket,
)
from scheduler.core.model.ids import FrameworkId, InstanceKey, JobId, MasterId, TaskId, Uid
from scheduler.core.model.instance import Attempt, Instance
from scheduler.core.model.job import JobSpec
from scheduler.core.model.offer import Offer
from scheduler.core.policy import Budget, Policy
from scheduler.core.reconcile import MARKER_AGENT
from scheduler.core.records import Put, Record, RecordKey, Remove, key_of
from tests.builders import ROLE, a_status, an_agent, an_offer

CallT = TypeVar("CallT", bound=Call)
START_WALL = 1_000_000.0


class Harness:
    """`stored` is what a store would hold; `calls` are all that left, in order."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        records: Iterable[Record] = (),
        term: int = 1,
        mono: float = 100.0,
        wall_offset: float = START_WALL,
    ) -> None:
        self.policy = policy or Policy(roles=(ROLE,))
        self.mono = mono
        self.wall_offset = wall_offset
        self.engine = Engine(self.policy, term=term, seed=7)
        self.stored: dict[RecordKey, Record] = {key_of(record): record for record in records}
        self.calls: list[Call] = []
        self.answers: dict[Ticket, Answer] = {}
        self.notices: list[str] = []
        self.steps = 0
        self.budget = Budget()
        self.update_outcome = CallOutcome.SENT
        self._tickets = 0
        self._offers = 0
        self._wake_at: float | None = None
        self.engine.load(self.stored.values())
        self._take(self.engine.start(self.now))
        self.settle()

    # --- driving ---------------------------------------------------------------------------------

    @property
    def now(self) -> Now:
        return Now(self.wall_offset + self.mono, self.mono)

    def handle(self, *events: Event) -> list[Call]:
        """Give events and run until the engine has nothing more to do now; the calls made."""
        before = len(self.calls)
        step = self._step(events)
        rounds = 0
        while step.more:
            rounds += 1
            assert rounds < 10_000, "the engine never comes to rest"
            step = self._step(())
        ended = before
        while ended < len(self.calls):  # the end of one may bring others
            call = self.calls[ended]
            ended += 1
            if isinstance(call, Reconcile):
                self._step([CallEnded(call.call_id, CallOutcome.SENT)])
            elif isinstance(call, UpdateFramework):
                self._step([CallEnded(call.call_id, self.update_outcome, "400: no")])
        return self.calls[before:]

    def settle(self) -> list[Call]:
        return self.handle()

    def pass_time(self, seconds: float) -> list[Call]:
        """Let time go by, waking the engine whenever it asked for it."""
        before = len(self.calls)
        until = self.mono + seconds
        while self._wake_at is not None and self._wake_at <= until:
            self.mono = max(self.mono, self._wake_at)
            self.handle()
        self.mono = until
        self.handle()
        return self.calls[before:]

    def _step(self, events: Iterable[Event]) -> Step:
        return self._take(self.engine.handle(self.now, list(events), self.budget))

    def _take(self, step: Step) -> Step:
        self.steps += 1
        for write in step.writes:
            match write:
                case Put(record):
                    self.stored[key_of(record)] = record
                case Remove(key):
                    self.stored.pop(key, None)
        for call in step.calls:
            self._check_visible(call)
            self.calls.append(call)
        for answer in step.answers:
            self.answers[answer.ticket] = answer
        self.notices += [notice.kind for notice in step.notices]
        self._wake_at = step.wake_at
        invariants.check(self.engine)
        return step

    def _check_visible(self, call: Call) -> None:
        match call:
            case Accept():
                for launch in call.launches:
                    assert self.stored_attempt(launch.task_id) is not None, "launched, not stored"
            case Kill():
                attempt = self.stored_attempt(call.task_id)
                assert attempt is None or attempt.end is not None, "killed, but no end is stored"
            case _:
                pass

    def stored_attempt(self, task: TaskId) -> Attempt | None:
        for record in self.stored.values():
            if isinstance(record, Instance):
                for attempt in record.live:
                    if attempt.task_id == task:
                        return attempt
        return None

    # --- what the master and users do ------------------------------------------------------------

    def subscribe(self, framework_id: str = "F-1") -> list[Call]:
        self.engine.wanted()
        calls = self.handle(
            Subscribed(FrameworkId(framework_id), MasterId("M-1"), "http://m1:5050", "1.11.0")
        )
        for call in calls:
            self.handle(CallEnded(call.call_id, CallOutcome.SENT))
        return calls

    def answer_marker(self) -> list[Call]:
        """The master answers the marker of the reconciliation that goes on."""
        marker = [
            task
            for call in self.calls_of(Reconcile)
            for task, agent in call.tasks
            if agent == MARKER_AGENT
        ][-1]
        return self.status(marker, TaskState.UNKNOWN, agent=MARKER_AGENT)

    def disconnect(self) -> list[Call]:
        return self.handle(Disconnected("the network"))

    def apply(self, spec: JobSpec, uid: str = "u1") -> Answer:
        self._tickets += 1
        ticket = Ticket(self._tickets)
        self.handle(ApplyJob(ticket, spec, Uid(uid)))
        return self.answers[ticket]

    def ticket(self) -> Ticket:
        self._tickets += 1
        return Ticket(self._tickets)

    def offer(self, *offers: Offer) -> list[Call]:
        if not offers:
            self._offers += 1
            offers = (an_offer(f"offer-{self._offers}"),)
        return self.handle(OffersMade(offers))

    def status(
        self,
        task: TaskId,
        state: TaskState,
        *,
        agent: str = "S-a1",
        uuid: bytes = b"",
        reason: str = "",
        healthy: bool | None = None,
    ) -> list[Call]:
        return self.handle(
            a_status(task, state, agent=agent, uuid=uuid, reason=reason, healthy=healthy)
        )

    def run(self, *tasks: TaskId, agent: str = "S-a1") -> None:
        for task in tasks:
            self.status(task, TaskState.STARTING, agent=agent, uuid=b"s" * 16)
            self.status(task, TaskState.RUNNING, agent=agent, uuid=b"r" * 16)

    def restart(self, term: int = 2) -> "Harness":
        """Another daemon's engine over what is stored now, at the same time of day; its monotonic
        clock is another machine's."""
        return Harness(
            self.policy,
            records=list(self.stored.values()),
            term=term,
            mono=7.0,
            wall_offset=self.now.wall - 7.0,
        )

    def place(self, *, agent: str = "a1") -> list[TaskId]:
        """Let what waits be revived and offered one agent; what was launched on it."""
        self.pass_time(1.0)
        self._offers += 1
        return self.launched(self.offer(an_offer(f"offer-{self._offers}", an_agent(agent))))

    def kill(self, task: TaskId, grace_s: float | None = None) -> Answer:
        ticket = self.ticket()
        self.handle(KillTask(ticket, task, grace_s))
        return self.answers[ticket]

    def scale(self, job: str, instances: int) -> Answer:
        ticket = self.ticket()
        self.handle(ScaleJob(ticket, JobId(job), instances))
        return self.answers[ticket]

    def stop(self, job: str) -> Answer:
        ticket = self.ticket()
        self.handle(StopJob(ticket, JobId(job)))
        return self.answers[ticket]

    def delete(self, job: str) -> Answer:
        ticket = self.ticket()
        self.handle(DeleteJob(ticket, JobId(job)))
        return self.answers[ticket]

    # --- looking ---------------------------------------------------------------------------------

    def kills(self, calls: Iterable[Call] | None = None) -> list[TaskId]:
        return [call.task_id for call in self.calls_of(Kill, calls)]

    def instance(self, job: str, index: int = 0) -> Instance:
        record = self.stored[InstanceKey(JobId(job), index)]
        assert isinstance(record, Instance)
        return record

    def state_of(self, task: TaskId) -> str:
        view = self.engine.views.task(task)
        return view.state if view is not None else ""

    def calls_of(self, kind: type[CallT], calls: Iterable[Call] | None = None) -> list[CallT]:
        return [call for call in (self.calls if calls is None else calls) if isinstance(call, kind)]

    def launches(self, calls: Iterable[Call] | None = None) -> list[Launch]:
        return [launch for call in self.calls_of(Accept, calls) for launch in call.launches]

    def launched(self, calls: Iterable[Call] | None = None) -> list[TaskId]:
        return [launch.task_id for launch in self.launches(calls)]


def connected(policy: Policy | None = None) -> Harness:
    """An engine whose first reconciliation has passed."""
    harness = Harness(policy)
    harness.subscribe()
    harness.answer_marker()
    return harness


def running(spec: JobSpec, policy: Policy | None = None) -> tuple[Harness, list[TaskId]]:
    """A connected engine with this job's instances running on agent a1."""
    harness = connected(policy)
    harness.apply(spec)
    tasks = harness.place()
    harness.run(*tasks)
    return harness, tasks
