"""Asking the master: order of the questions, the marker, and what counts as answered."""

from scheduler.core.builder import StepBuilder
from scheduler.core.effects import Reconcile
from scheduler.core.events import CallId
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.policy import ReconcilePolicy
from scheduler.core.reconcile import MARKER_AGENT, Reconciliation, is_marker

POLICY = ReconcilePolicy(batch=2, batches_a_step=2)
TASKS = [(TaskId(f"web.{i}.1.u"), AgentId("S")) for i in range(5)]


def emitted(reconciliation: Reconciliation) -> tuple[list[list[str]], bool]:
    builder = StepBuilder(lambda: CallId(1))
    more = reconciliation.emit(builder)
    calls = builder.finish(None, more).calls
    return [[task for task, _ in call.tasks] for call in calls if isinstance(call, Reconcile)], more


def test_implicit_first_then_batches_then_the_marker_paced_over_steps() -> None:
    reconciliation = Reconciliation(POLICY, term=3)
    reconciliation.begin(TASKS, implicit=True)
    assert emitted(reconciliation) == ([[], ["web.0.1.u", "web.1.1.u"]], True)
    assert emitted(reconciliation) == ([["web.2.1.u", "web.3.1.u"], ["web.4.1.u"]], True)
    assert emitted(reconciliation) == ([["marker.3.1"]], False)
    assert emitted(reconciliation) == ([], False)


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
    reconciliation.unconfirmed = {task}
    reconciliation.begin(TASKS[:2], implicit=False)
    assert not reconciliation.confirmed(task)
    assert reconciliation.answered(task)
    assert not reconciliation.answered(task)
    assert reconciliation.confirmed(task)
    assert list(reconciliation.unanswered) == [TASKS[1][0]]


def test_a_new_stream_owes_no_answers_of_the_old_one() -> None:
    reconciliation = Reconciliation(POLICY, term=1)
    reconciliation.begin(TASKS, implicit=True)
    reconciliation.forget()
    assert reconciliation.unanswered == {}
    assert not reconciliation.going_on
    assert emitted(reconciliation) == ([], False)


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
