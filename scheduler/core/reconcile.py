"""Reconciliation: asking the master what became of each task.

Mesos gives no end mark to an implicit answer and none at all for tasks in transition. So after the
implicit request we ask explicitly for every live attempt, and last for a task that cannot exist on
an agent that cannot exist: answers come in order, so its TASK_UNKNOWN means that the rest has been
answered as far as it will be now. What stays unanswered is asked again with a growing pause.
"""

from collections import deque
from collections.abc import Iterable

from scheduler.core.builder import StepBuilder
from scheduler.core.effects import Reconcile
from scheduler.core.model.ids import AgentId, TaskId, parse_task_id
from scheduler.core.policy import ReconcilePolicy

MARKER_AGENT = AgentId("offerd-marker")
SWEEP_MARKER = TaskId("marker.swept")
"""Asked for the sake of the call alone: no pass ends with it."""
Question = tuple[TaskId, AgentId]


class Reconciliation:
    """`unconfirmed` holds the attempts that the present master has not spoken of yet: nothing that
    cannot be taken back is done to them."""

    def __init__(self, policy: ReconcilePolicy, term: int) -> None:
        self._policy = policy
        self._term = term
        self._number = 0
        self._marker: TaskId | None = None
        self._unsent: deque[tuple[Question, ...]] = deque()
        self.unanswered: dict[TaskId, AgentId] = {}
        self.unconfirmed: set[TaskId] = set()
        self.passed = False
        self.tries = 0
        self.again_at: float | None = None
        """The one deadline that counts; those of earlier streams are void."""

    @property
    def going_on(self) -> bool:
        return self._marker is not None

    def forget(self) -> None:
        """The stream is gone; answers of it will not come."""
        self._marker = None
        self._unsent.clear()
        self.unanswered.clear()
        self.passed = False
        self.tries = 0

    def confirmed(self, task: TaskId) -> bool:
        return task not in self.unconfirmed

    def begin(self, tasks: Iterable[Question], *, implicit: bool) -> None:
        """Ask for these; with `implicit`, also for all that the master knows and we may not."""
        self._number += 1
        self._marker = TaskId(f"marker.{self._term}.{self._number}")
        questions = list(tasks)
        self.unanswered.update(questions)
        self._unsent.clear()
        if implicit:
            self._unsent.append(())
        size = self._policy.batch
        for start in range(0, len(questions), size):
            self._unsent.append(tuple(questions[start : start + size]))
        self._unsent.append(((self._marker, MARKER_AGENT),))

    def emit(self, step: StepBuilder) -> bool:
        """Ask the next few batches; True when some are left for the next step."""
        for _ in range(min(self._policy.batches_a_step, len(self._unsent))):
            step.call(Reconcile(step.call_id(), self._unsent.popleft()))
        return bool(self._unsent)

    def answered(self, task: TaskId) -> bool:
        """Any status of a task answers for it. True when the task was unconfirmed until now."""
        self.unanswered.pop(task, None)
        if task in self.unconfirmed:
            self.unconfirmed.remove(task)
            return True
        return False

    def ends_with(self, task: TaskId) -> bool:
        """True when this is the marker of the pass that is going on."""
        if self._marker is None or task != self._marker:
            return False
        self._marker = None
        self.passed = True
        return True

    def retry_s(self) -> float:
        """The pause before what is unanswered is asked again."""
        self.tries += 1
        pause_s = self._policy.retry_s_initial * 2.0 ** min(self.tries - 1, 30)
        return min(pause_s, self._policy.retry_s_max)


def is_marker(task: TaskId) -> bool:
    """A job may be called `marker`; the ids of its tasks have a part more."""
    return task.startswith("marker.") and parse_task_id(task) is None
