"""One daemon in virtual time: the engine, a store that is slow, and a stream that breaks.

It passes values between engine and model as the runtime does, with the runtime's own outbox and
updates in steps that place nothing; can be killed at any moment with any part of the open
transactions stored; and judges from outside what must never happen.
"""

from collections.abc import Sequence
from random import Random
from typing import cast

from scheduler.core import invariants
from scheduler.core.effects import Accept, Acknowledge, Answer, Call, Kill, Step
from scheduler.core.engine import Engine
from scheduler.core.events import (
    UNTOLD,
    CallEnded,
    CallOutcome,
    Disconnected,
    Event,
    ForgetFramework,
    Now,
    StatusUpdated,
    Subscribed,
    TaskState,
    Ticket,
)
from scheduler.core.model.ids import InstanceKey, TaskId, parse_task_id
from scheduler.core.model.instance import TERMINAL, Attempt, Instance, Outcome
from scheduler.core.model.job import Template
from scheduler.core.policy import Budget, Policy
from scheduler.core.records import Put, Record, RecordKey, Remove, key_of
from scheduler.runtime.outbox import Outbox
from scheduler.runtime.protocols import Store
from tests.simulation.mesos_model import ENDED, MesosModel
from tests.simulation.slow_store import SlowStore

NOTHING_PLACED = Budget(rows=0, launches=0)
START_WALL = 1_000_000.0
AWAY_STATES = frozenset({TaskState.UNREACHABLE, TaskState.UNKNOWN})
GIVEN_UP_STATES = frozenset({TaskState.LOST, TaskState.GONE, TaskState.GONE_BY_OPERATOR})


class Heard:
    """What the master told this daemon of each task: the judge's own notes. `away_all_along` were
    away before and after each of the statuses that one step was given."""

    def __init__(self) -> None:
        self.in_this_stream: set[TaskId] = set()
        self.away_since: dict[TaskId, float] = {}
        self.away_all_along: set[TaskId] = set()
        self.unknown: set[TaskId] = set()
        self.given_up: set[TaskId] = set()

    def status(self, status: StatusUpdated, now: float) -> None:
        task = status.task_id
        self.in_this_stream.add(task)
        if status.state in AWAY_STATES:
            self.away_since.setdefault(task, now)
            if status.state is TaskState.UNKNOWN:
                self.unknown.add(task)
        elif status.state in GIVEN_UP_STATES:
            self.given_up.add(task)
        else:
            self.away_since.pop(task, None)
            self.away_all_along.discard(task)
            self.unknown.discard(task)
            self.given_up.discard(task)


class Daemon:
    """`lagging`: the store is slow; now and then it stores something all the same."""

    def __init__(self, policy: Policy, world: MesosModel, seed: int) -> None:
        self.policy = policy
        self.world = world
        self.random = Random(seed)
        self.mono = 0.0
        self.stored: dict[RecordKey, Record] = {}
        self.answers: dict[Ticket, Answer] = {}
        self.lagging = False
        self.budget = Budget()
        self.heard = Heard()
        self.finished: dict[tuple[str, str, int], Template] = {}
        self.templates: dict[TaskId, Template] = {}
        self.launches = 0
        self.terms = 0
        self.stream = 0
        self.calls_ended: list[Event] = []
        self._start()

    def _start(self) -> None:
        self.terms += 1
        self.store = SlowStore(self.random, self._write)
        self.outbox = Outbox(
            cast(Store, self.store),
            may_leave=lambda: True,
            stream_now=lambda: self.stream if self.world.connected else None,
            send=self._send,
            answer=self._answer,
            notice=lambda _: None,
            emit=self.calls_ended.append,
            released=lambda: None,
        )
        self.engine = Engine(self.policy, term=self.terms, seed=self.terms)
        records = list(self.stored.values())
        self.random.shuffle(records)
        self.engine.load(records)
        self.heard.in_this_stream.clear()
        self._take(self.engine.start(self.now))
        self.handle()

    @property
    def now(self) -> Now:
        return Now(START_WALL + self.mono, self.mono)

    # --- the stream ------------------------------------------------------------------------------

    def connect(self) -> None:
        if not self.world.connected:
            self.world.subscribe(self.engine.wanted(), self.engine.framework_id)

    def disconnect(self) -> None:
        if self.world.connected:
            self.world.cut()
            self._hear_of_the_end()

    def fail_master_over(self) -> None:
        was = self.world.connected
        self.world.fail_over()
        if was:
            self._hear_of_the_end()

    def _hear_of_the_end(self) -> None:
        self.stream += 1
        self.heard.in_this_stream.clear()
        self.handle(Disconnected("cut"))
        self._forget_unarmed()

    def _forget_unarmed(self) -> None:
        """The master dropped a framework whose real timeout was never set; the runtime then goes on
        with a new id, once it has been told so."""
        if self.world.framework_id is None and self.engine.framework_id is not None:
            self.flush()
            self.handle(ForgetFramework(Ticket(0), "removed"))
            self.flush()

    def read(self, limit: int = 1_000_000) -> None:
        """Give the engine what the stream holds."""
        events, self.world.events = self.world.events[:limit], self.world.events[limit:]
        if events:
            self.handle(*events)

    # --- the engine ------------------------------------------------------------------------------

    def handle(self, *events: Event) -> None:
        self.heard.away_all_along = set(self.heard.away_since)
        for event in events:
            if isinstance(event, StatusUpdated):
                self.heard.status(event, self.mono)
            elif isinstance(event, Subscribed):
                self.heard.in_this_stream.clear()
        updates = any(isinstance(event, StatusUpdated) for event in events)
        budget = NOTHING_PLACED if updates else self.budget
        step = self._take(self.engine.handle(self.now, events, budget))
        rounds = 0
        while step.more:
            rounds += 1
            assert rounds < 5_000, "the engine never comes to rest"
            step = self._take(self.engine.handle(self.now, (), self.budget))

    def _take(self, step: Step) -> Step:
        invariants.check(self.engine)
        for call in step.calls:
            self._judge(call)
        self.outbox.add(step, self.stream)
        if not self.lagging:
            self.flush()
        elif self.random.random() < 0.2:
            self.flush(1)
        return step

    def flush(self, count: int = 1_000_000) -> None:
        """So much of what was submitted becomes durable, and what may leaves."""
        self.store.commit(count)

    def _answer(self, answer: Answer) -> None:
        self.answers[answer.ticket] = answer

    def _write(self, write: Put | Remove) -> None:
        match write:
            case Put(record):
                self.stored[key_of(record)] = record
                if isinstance(record, Instance):
                    self._note_finished(record)
            case Remove(key):
                self.stored.pop(key, None)

    def _send(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self._judge_stored(call)
            outcome = CallOutcome.SENT if self.world.call(call) else CallOutcome.REFUSED
            if call.call_id != UNTOLD:
                self.calls_ended.append(CallEnded(call.call_id, outcome))

    # --- time ------------------------------------------------------------------------------------

    def advance(self, seconds: float, quantum_s: float = 1.0) -> None:
        until = self.mono + seconds
        while self.mono < until:
            self.mono = min(until, self.mono + quantum_s)
            self.world.tick(self.mono)
            self.hear_calls()
            self.read()
            self.handle()
            self.hear_calls()

    def hear_calls(self) -> None:
        while self.calls_ended:
            events = list(self.calls_ended)
            self.calls_ended.clear()
            self.handle(*events)

    # --- death -----------------------------------------------------------------------------------

    def crash(self) -> None:
        """Some part of what was on its way is stored; nothing of it was said."""
        self.store.crash()
        self.calls_ended.clear()
        self.stream += 1
        self.world.cut()
        self._start()
        self._forget_unarmed()

    # --- judging ---------------------------------------------------------------------------------

    def _judge(self, call: Call) -> None:
        match call:
            case Accept(launches=launches):
                for launch in launches:
                    self.launches += 1
                    self.heard.in_this_stream.add(launch.task_id)
                    self.templates[launch.task_id] = launch.template
                    self._judge_launch(launch.task_id, launch.template)
            case Kill(task_id=task):
                assert task in self.heard.in_this_stream, f"{task}: killed before it was answered"
                assert task not in self.heard.away_all_along, f"{task}: killed while away"
            case _:
                pass

    def _judge_launch(self, task: TaskId, template: Template) -> None:
        """No second attempt beside one that may be reached, nor after the batch has finished."""
        parts = parse_task_id(task)
        assert parts is not None
        finished = self.finished.get((parts.job, parts.uid, parts.instance))
        assert finished is None or finished != template, f"{task}: it had finished before"
        spec = self.engine.state.jobs[parts.job].spec
        after_s = spec.unreachable.replace_after_s
        for other in self.world.live_tasks():
            if other == task or not _same_instance(other, task):
                continue
            if other in self.heard.given_up:
                continue
            since = self.heard.away_since.get(other)
            assert since is not None, f"{task} launched beside {other}, which is not away"
            assert after_s is not None, f"{task} launched beside {other}, which is to be waited for"
            assert self.mono >= since + after_s, f"{task} launched too early beside {other}"
            assert other in self.heard.in_this_stream or other in self.heard.unknown, (
                f"{task} launched beside {other}, of which this master has not spoken"
            )

    def _judge_stored(self, call: Call) -> None:
        """What becomes visible is durable."""
        match call:
            case Accept(launches=launches):
                for launch in launches:
                    assert self._stored(launch.task_id), f"{launch.task_id}: launched, not stored"
            case Kill(task_id=task):
                stored = self._stored(task)
                assert stored is None or stored.end is not None, f"{task}: no end is stored"
            case Acknowledge(task_id=task, uuid=uuid):
                state = self._state_of_update(task, uuid)
                stored = self._stored(task)
                if state in ENDED and stored is not None:
                    assert stored.state in TERMINAL, f"{task}: acknowledged, and stored as live"
            case _:
                pass

    def _state_of_update(self, task: TaskId, uuid: bytes) -> TaskState | None:
        for agent in self.world.agents.values():
            real = agent.tasks.get(task)
            for state, sent, _ in real.updates if real is not None else ():
                if sent == uuid:
                    return state
        return None

    def _stored(self, task: TaskId) -> Attempt | None:
        parts = parse_task_id(task)
        record = self.stored.get(InstanceKey(parts.job, parts.instance)) if parts else None
        if isinstance(record, Instance):
            for attempt in (*record.live, *record.ended):
                if attempt.task_id == task:
                    return attempt
        return None

    def _note_finished(self, record: Instance) -> None:
        if record.outcome is Outcome.FINISHED and record.ended:
            task = record.ended[0].task_id
            parts = parse_task_id(task)
            if parts is not None and task in self.templates:
                self.finished[parts.job, parts.uid, parts.instance] = self.templates[task]


def _same_instance(one: TaskId, other: TaskId) -> bool:
    a, b = parse_task_id(one), parse_task_id(other)
    return (
        a is not None
        and b is not None
        and (a.job, a.instance, a.uid)
        == (
            b.job,
            b.instance,
            b.uid,
        )
    )
