"""Asking the master: order of the questions, the marker, and what counts as answered."""

import itertools
from collections import deque

from scheduler.core.builder import StepBuilder
from scheduler.core.effects import Reconcile
from scheduler.core.events import CallId
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.policy import ReconcilePolicy
from scheduler.core.reconcile import MARKER_AGENT, Reconciliation, is_marker

POLICY = ReconcilePolicy(batch=2, calls_under_way=2)
TASKS = [(TaskId(f"web.{i}.1.u"), AgentId("S")) for i in range(5)]


class Asker:
    """Emits into steps, and tells the ends of the calls."""

    def __init__(self, reconciliation: Reconciliation) -> None:
        self.reconciliation = reconciliation
        self._calls = itertools.count(1)
        self._under_way: deque[CallId] = deque()

    def emitted(self) -> list[list[str]]:
        """The tasks that each call asks for which leaves now."""
        builder = StepBuilder(lambda: CallId(next(self._calls)))
        self.reconciliation.emit(builder)
        calls = builder.finish(None, False).calls
        self._under_way += [call.call_id for call in calls]
        return [[task for task, _ in call.tasks] for call in calls if isinstance(call, Reconcile)]

    def end_one(self) -> None:
        self.reconciliation.on_call_ended(self._under_way.popleft())


def test_each_task_is_asked_for_then_everything_then_the_marker_with_little_under_way() -> None:
    asker = Asker(Reconciliation(POLICY, term=3))
    asker.reconciliation.begin(TASKS, implicit=True)
    assert asker.emitted() == [["web.0.1.u", "web.1.1.u"], ["web.2.1.u", "web.3.1.u"]]
    assert asker.emitted() == []
    asker.end_one()
    assert asker.emitted() == [["web.4.1.u"]]
    asker.end_one()
    assert asker.emitted() == [[]]
    assert asker.reconciliation.asking
    asker.end_one()
    assert asker.emitted() == [["marker.3.1"]]
    assert not asker.reconciliation.asking
    asker.end_one()
    assert asker.emitted() == []


def test_none_is_confirmed_on_a_new_stream_before_it_is_spoken_of_asked_for_or_not() -> None:
    asker = Asker(Reconciliation(POLICY, term=1))
    reconciliation = asker.reconciliation
    reconciliation.begin_anew(TASKS)
    early, asked, silent, late = (TASKS[i][0] for i in (4, 0, 1, 3))
    assert not any(reconciliation.confirmed(task) for task, _ in TASKS)
    assert reconciliation.answered(early)
    asker.emitted()
    assert reconciliation.answered(asked)
    assert not reconciliation.answered(asked)
    assert reconciliation.confirmed(early)
    assert not reconciliation.confirmed(late)
    while reconciliation.asking:
        asker.end_one()
        asker.emitted()
    confirmed = {task for task, _ in TASKS if reconciliation.confirmed(task)}
    assert confirmed == {early, asked}
    assert reconciliation.answered(silent)
    assert reconciliation.confirmed(silent)
    assert not reconciliation.all_confirmed


def test_what_is_launched_on_the_stream_is_confirmed_also_once_it_is_asked_for() -> None:
    asker = Asker(Reconciliation(POLICY, term=1))
    reconciliation = asker.reconciliation
    reconciliation.begin_anew(TASKS)
    reconciliation.launched(TASKS[0][0])
    asker.emitted()
    assert reconciliation.confirmed(TASKS[0][0])
    assert not reconciliation.answered(TASKS[0][0])
    asker.end_one()
    asker.end_one()
    asker.emitted()
    assert reconciliation.confirmed(TASKS[0][0])
    assert not reconciliation.confirmed(TASKS[1][0])


def test_what_ended_before_its_turn_came_is_not_asked_for() -> None:
    live = dict(TASKS)
    asker = Asker(Reconciliation(POLICY, term=1))
    asker.reconciliation.begin(
        ((task, agent) for task, agent in TASKS if task in live), implicit=False
    )
    asker.emitted()
    del live[TASKS[4][0]]
    asker.end_one()
    assert asker.emitted() == [["marker.1.1"]]


def test_the_marker_of_the_present_pass_ends_it_and_no_other_does() -> None:
    reconciliation = Reconciliation(POLICY, term=3)
    reconciliation.begin([], implicit=True)
    reconciliation.begin([], implicit=False)
    assert not reconciliation.ends_with(TaskId("marker.3.1"))
    assert reconciliation.going_on
    assert reconciliation.ends_with(TaskId("marker.3.2"))
    assert (reconciliation.going_on, reconciliation.passed) == (False, True)
    assert not reconciliation.ends_with(TaskId("marker.3.2"))


def test_any_status_answers_for_its_task_and_confirms_it_once() -> None:
    reconciliation = Reconciliation(POLICY, term=1)
    task = TASKS[0][0]
    reconciliation.begin_anew(TASKS[:2])
    Asker(reconciliation).emitted()
    assert not reconciliation.confirmed(task)
    assert reconciliation.answered(task)
    assert not reconciliation.answered(task)
    assert reconciliation.confirmed(task)
    assert list(reconciliation.unanswered) == [TASKS[1][0]]


def test_a_new_stream_owes_no_answers_of_the_old_one() -> None:
    reconciliation = Reconciliation(POLICY, term=1)
    asker = Asker(reconciliation)
    reconciliation.begin(TASKS, implicit=True)
    asker.emitted()
    reconciliation.forget()
    assert reconciliation.unanswered == {}
    assert not reconciliation.going_on
    assert asker.emitted() == []
    reconciliation.begin(TASKS[:1], implicit=False)
    assert len(asker.emitted()) == 2, "calls of the old stream count as under way"


def test_pauses_grow_to_their_limit() -> None:
    reconciliation = Reconciliation(ReconcilePolicy(), term=1)
    assert [reconciliation.retry_s() for _ in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    for _ in range(2000):
        reconciliation.retry_s()
    assert reconciliation.retry_s() == 300


def test_the_marker_cannot_be_a_task_of_ours() -> None:
    assert is_marker(TaskId("marker.1.1"))
    assert not is_marker(TaskId("marker.0.1.u"))
    assert not is_marker(TaskId("marker.web.0.1.u"))
    assert MARKER_AGENT == "offerd-marker"
