"""Durable before visible, in order, on the right stream."""

from scheduler.core.effects import (
    Acknowledge,
    Answer,
    Call,
    Kill,
    Notice,
    NoticeKind,
    Step,
    Verdict,
)
from scheduler.core.events import CallEnded, CallId, CallOutcome, Event, Ticket
from scheduler.core.model.ids import AgentId, FrameworkId, TaskId
from scheduler.core.records import FrameworkRecord, Put
from scheduler.runtime.outbox import Outbox
from tests.runtime.fakes import HeldStore

WRITE = (Put(FrameworkRecord(FrameworkId("F"), True, 0.0)),)


def a_kill(number: int) -> Kill:
    return Kill(CallId(number), TaskId(f"t.{number}"), AgentId("S"), 1.0)


class Scene:
    def __init__(self) -> None:
        self.store = HeldStore()
        self.stream: int | None = 1
        self.left: list[object] = []
        self.emitted: list[Event] = []
        self.releases = 0
        self.outbox = Outbox(
            self.store,
            may_leave=lambda: True,
            stream_now=lambda: self.stream,
            send=self._send,
            answer=self.left.append,
            notice=self.left.append,
            emit=self.emitted.append,
            released=self._released,
        )

    def _send(self, calls: tuple[Call, ...] | list[Call] | object) -> None:
        assert isinstance(calls, tuple)
        self.left += calls

    def _released(self) -> None:
        self.releases += 1


def test_nothing_of_a_step_leaves_before_its_writes_are_durable() -> None:
    scene = Scene()
    answer = Answer(Ticket(1), Verdict.DONE)
    notice = Notice(NoticeKind.JOB_CREATED)
    scene.outbox.add(
        Step(writes=WRITE, calls=(a_kill(1),), answers=(answer,), notices=(notice,)), 1
    )
    assert scene.left == []
    scene.store.let_through()
    assert scene.left == [a_kill(1), answer, notice]


def test_a_step_without_writes_waits_for_those_before_it() -> None:
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE, calls=(a_kill(1),)), 1)
    scene.outbox.add(Step(calls=(a_kill(2),)), 1)
    assert scene.left == []
    scene.store.let_through()
    assert scene.left == [a_kill(1), a_kill(2)]
    assert len(scene.outbox) == 0


def test_a_step_without_writes_leaves_at_once_when_nothing_is_before_it() -> None:
    scene = Scene()
    scene.outbox.add(Step(calls=(a_kill(1),)), 1)
    assert scene.left == [a_kill(1)]
    assert scene.store.submitted == []


def test_an_answer_that_promises_nothing_waits_for_no_write() -> None:
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE), 1)
    refused = Answer(Ticket(1), Verdict.UNAVAILABLE, "the store takes no writes: full")
    done = Answer(Ticket(2), Verdict.DONE)
    scene.outbox.add(Step(answers=(done, refused)), 1)
    assert scene.left == [refused]
    scene.store.let_through()
    assert scene.left == [refused, done]


def test_calls_decided_on_a_stream_that_is_gone_end_as_not_sent() -> None:
    for stream_later in (None, 2):
        scene = Scene()
        answer = Answer(Ticket(1), Verdict.DONE)
        scene.outbox.add(Step(writes=WRITE, calls=(a_kill(1),), answers=(answer,)), 1)
        scene.stream = stream_later
        scene.store.let_through()
        assert scene.left == [answer]
        [ended] = scene.emitted
        assert isinstance(ended, CallEnded)
        assert (ended.call_id, ended.outcome) == (1, CallOutcome.NOT_SENT)


def test_an_acknowledgement_whose_stream_is_gone_is_told_to_nobody() -> None:
    scene = Scene()
    acknowledge = Acknowledge(AgentId("M-S0"), TaskId("t"), b"u")
    scene.stream = None
    scene.outbox.add(Step(calls=(acknowledge,)), 1)
    assert (scene.left, scene.emitted) == ([], [])


def test_what_is_not_durable_is_counted() -> None:
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE * 3), 1)
    scene.outbox.add(Step(writes=WRITE * 2), 1)
    assert scene.outbox.writes_held == 5
    scene.store.let_through()
    assert scene.outbox.writes_held == 2
    scene.store.let_through()
    assert (scene.outbox.writes_held, scene.releases) == (0, 2)
