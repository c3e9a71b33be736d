"""Durable before visible, in order, on the right stream; acknowledgements wait for no launch."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Answer,
    Call,
    Kill,
    Launch,
    Notice,
    NoticeKind,
    Step,
    Verdict,
)
from scheduler.core.events import CallEnded, CallId, CallOutcome, Event, Ticket
from scheduler.core.model.ids import AgentId, FrameworkId, JobId, OfferId, TaskId, Uid
from scheduler.core.records import FrameworkRecord, Put
from scheduler.errors import TermEnded
from scheduler.runtime.outbox import Outbox
from tests.builders import a_template
from tests.runtime.fakes import HeldStore

WRITE = (Put(FrameworkRecord(FrameworkId("F"), True, 0.0)),)
TEMPLATE = a_template()


def a_kill(number: int) -> Kill:
    return Kill(CallId(number), TaskId(f"t.{number}"), AgentId("S"), 1.0)


def an_acknowledge(number: int) -> Acknowledge:
    return Acknowledge(AgentId("S"), TaskId(f"t.{number}"), b"u" * 16)


def an_accept(number: int, launches: int = 1) -> Accept:
    launch = Launch(
        TaskId("t"), JobId("t"), 0, AgentId("S"), Uid("u"), 1, TEMPLATE, (), (), ()
    )  # fmt: skip
    return Accept(CallId(number), (OfferId("o"),), (launch,) * launches, 1.0)


class Scene:
    def __init__(self) -> None:
        self.store = HeldStore()
        self.stream: int | None = 1
        self.left: list[object] = []
        self.emitted: list[Event] = []
        self.releases = 0
        self.leads = True
        self.outbox = Outbox(
            self.store,
            may_leave=lambda: self.leads,
            stream_now=lambda: self.stream,
            send=self._send,
            answer=self.left.append,
            notice=self.left.append,
            emit=self.emitted.append,
            released=self._released,
        )

    def _send(self, calls: Sequence[Call]) -> None:
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


# --- acknowledgements ----------------------------------------------------------------------------


def test_an_acknowledge_waits_for_its_own_status_and_for_no_launch_before_it() -> None:
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE * 2, calls=(an_accept(1, 2),)), 1)
    scene.outbox.add(Step(writes=WRITE, calls=(an_acknowledge(2), a_kill(3))), 1)
    assert scene.store.launches == list(WRITE * 2)
    assert scene.left == []
    assert scene.outbox.acknowledgements_held == 1
    scene.store.let_through(after=1)
    assert scene.left == [an_acknowledge(2)]
    assert (scene.outbox.acknowledgements_held, scene.releases) == (0, 1)
    assert (len(scene.outbox), scene.outbox.launches_held) == (2, 2)
    scene.store.let_through()
    assert scene.left == [an_acknowledge(2), an_accept(1, 2), a_kill(3)]
    assert (len(scene.outbox), scene.outbox.launches_held, scene.outbox.writes_held) == (0, 0, 0)


def test_a_copy_of_an_update_is_not_acknowledged_before_the_first_one_is_stored() -> None:
    """It changes nothing, so its own step writes nothing."""
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE, calls=(an_acknowledge(1),)), 1)
    scene.outbox.add(Step(calls=(an_acknowledge(2),)), 1)
    assert scene.left == []
    scene.store.let_through()
    assert scene.left == [an_acknowledge(1), an_acknowledge(2)]


def test_an_acknowledge_waits_for_a_status_that_shares_its_step_with_launches() -> None:
    """Of such a write nobody can tell that only an ACCEPT waits for it."""
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE, calls=(an_acknowledge(1), an_accept(2))), 1)
    scene.outbox.add(Step(writes=WRITE * 2, calls=(an_accept(3),)), 1)
    scene.outbox.add(Step(calls=(an_acknowledge(4),)), 1)
    assert scene.store.launches == []
    assert scene.left == []
    scene.store.let_through(after=1)
    assert scene.left == []
    scene.store.let_through()
    assert scene.left == [
        an_acknowledge(1), an_acknowledge(4), an_accept(2), an_accept(3),
    ]  # fmt: skip


def test_an_acknowledge_that_overtakes_asks_for_the_office_too() -> None:
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE, calls=(an_accept(1),)), 1)
    scene.outbox.add(Step(calls=(a_kill(2),)), 1)
    scene.leads = False
    with pytest.raises(TermEnded):
        scene.outbox.add(Step(calls=(an_acknowledge(3),)), 1)
    assert scene.left == []


def test_an_acknowledge_that_overtakes_does_not_leave_when_its_stream_is_gone() -> None:
    scene = Scene()
    scene.outbox.add(Step(writes=WRITE, calls=(an_accept(1),)), 1)
    scene.outbox.add(Step(writes=WRITE, calls=(an_acknowledge(2),)), 1)
    scene.stream = 2
    scene.store.let_through(after=1)
    assert scene.left == []
    assert (scene.emitted, scene.outbox.acknowledgements_held) == ([], 0)


@dataclass(frozen=True)
class Kind:
    """What a step holds; `launches` writes are those of its ACCEPT."""

    acknowledges: bool
    launches: int
    others: int
    kills: bool

    def step(self, number: int) -> Step:
        calls: list[Call] = []
        if self.launches:
            calls.append(an_accept(number, self.launches))
        if self.acknowledges:
            calls.append(an_acknowledge(number))
        if self.kills:
            calls.append(a_kill(number))
        return Step(writes=WRITE * (self.launches + self.others), calls=tuple(calls))


KINDS = st.builds(Kind, st.booleans(), st.integers(0, 2), st.integers(0, 1), st.booleans())


@given(kinds=st.lists(KINDS, max_size=12), data=st.data())
def test_in_whatever_order_writes_become_durable_each_call_waits_for_what_it_must(
    kinds: list[Kind], data: st.DataObject
) -> None:
    scene = Scene()
    waiting: list[int] = []  # steps whose writes are not durable, as the store holds them
    added = 0
    while added < len(kinds) or waiting:
        if added < len(kinds) and (not waiting or data.draw(st.booleans())):
            kind = kinds[added]
            scene.outbox.add(kind.step(added), 1)
            if kind.launches + kind.others:
                waiting.append(added)
            added += 1
        else:
            place = data.draw(st.integers(0, len(waiting) - 1))
            del waiting[place]
            scene.store.let_through(after=place)
        _check(scene.left, kinds[:added], waiting)
    assert len(scene.outbox) == 0
    assert (scene.outbox.writes_held, scene.outbox.launches_held) == (0, 0)
    assert scene.outbox.acknowledgements_held == 0


def _check(left: Sequence[object], kinds: Sequence[Kind], waiting: Sequence[int]) -> None:
    """Of what may leave all has left, and nothing else, in the order of steps."""
    oldest = min(waiting, default=len(kinds))
    first = [n for n in waiting if kinds[n].acknowledges or kinds[n].others]
    oldest_first = min(first, default=len(kinds))
    acknowledged = [call for call in left if isinstance(call, Acknowledge)]
    others = [call.call_id for call in left if isinstance(call, Accept | Kill)]
    assert acknowledged == [
        an_acknowledge(number)
        for number, kind in enumerate(kinds[:oldest_first])
        if kind.acknowledges
    ]
    assert others == [
        number
        for number, kind in enumerate(kinds[:oldest])
        for _ in range((kind.launches > 0) + kind.kills)
    ]
