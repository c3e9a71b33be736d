"""Reconciliation: asking the master what became of each task.

Every live attempt is asked about explicitly, in pieces of which only a few are under way at once:
who asks for everything at once has the master answer everything at once, and an offer, an update or
an ACCEPT then waits behind all of it. After them comes the implicit request, for what the master
knows and we may not. Mesos gives no end mark to its answer and none at all for tasks in transition,
so last we ask for a task that cannot exist on an agent that cannot exist: answers come in order, so
its TASK_UNKNOWN means that the rest has been answered as far as it will be now. What stays
unanswered is asked again with a growing pause.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from scheduler.core.builder import StepBuilder
from scheduler.core.effects import Reconcile
from scheduler.core.events import CallId
from scheduler.core.model.ids import AgentId, TaskId, parse_task_id
from scheduler.core.policy import ReconcilePolicy

MARKER_AGENT = AgentId("offerd-marker")
SWEEP_MARKER = TaskId("marker.swept")
"""Asked for the sake of the call alone: no pass ends with it."""
Question = tuple[TaskId, AgentId]


class Reconciliation:
    """Tells which attempts the present master has spoken of (`confirmed`): nothing that cannot be
    taken back is done to the others. While a new stream's tasks are still being asked about, which
    takes many steps, `_spoken_of` holds those; from then on `_silent` holds the rest."""

    def __init__(self, policy: ReconcilePolicy, term: int) -> None:
        self._policy = policy
        self._term = term
        self._number = 0
        self._marker: TaskId | None = None
        self._questions: Iterator[Question] = iter(())
        self._last: deque[tuple[Question, ...]] = deque()
        self._under_way: set[CallId] = set()
        self._spoken_of: set[TaskId] | None = None
        self._silent: set[TaskId] = set()
        self.unanswered: dict[TaskId, AgentId] = {}
        self.passed = False
        self.tries = 0
        self.again_at: float | None = None
        """The one deadline that counts; those of earlier streams are void."""

    # --- what others ask and tell ----------------------------------------------------------------

    @property
    def going_on(self) -> bool:
        return self._marker is not None

    @property
    def asking(self) -> bool:
        """Questions of the present pass are still to be asked."""
        return bool(self._last)

    def confirmed(self, task: TaskId) -> bool:
        if self._spoken_of is not None:
            return task in self._spoken_of
        return task not in self._silent

    @property
    def all_confirmed(self) -> bool:
        return self._spoken_of is None and not self._silent

    def launched(self, task: TaskId) -> None:
        """A task of the present stream: the master need not speak of it first."""
        if self._spoken_of is not None:
            self._spoken_of.add(task)

    def answered(self, task: TaskId) -> bool:
        """Any status of a task answers for it. True when the task was unconfirmed until now."""
        self.unanswered.pop(task, None)
        if self.confirmed(task):
            return False
        self._silent.discard(task)
        self.launched(task)
        return True

    # --- a pass ----------------------------------------------------------------------------------

    def forget(self) -> None:
        """The stream is gone; answers of it will not come."""
        self._marker = None
        self._questions = iter(())
        self._last.clear()
        self._under_way.clear()
        self.unanswered.clear()
        self.passed = False
        self.tries = 0

    def begin_anew(self, tasks: Iterable[Question]) -> None:
        """The stream is new, its master has spoken of none of these. They may be a live view: what
        is among them when its turn comes is asked about."""
        self._spoken_of = set()
        self._silent.clear()
        self.begin(tasks, implicit=True)

    def begin(self, tasks: Iterable[Question], *, implicit: bool) -> None:
        """Ask for these; with `implicit`, also for all that the master knows and we may not."""
        self._number += 1
        self._marker = TaskId(f"marker.{self._term}.{self._number}")
        self._questions = iter(tasks)
        self._last = deque([()] if implicit else [])
        self._last.append(((self._marker, MARKER_AGENT),))

    def emit(self, step: StepBuilder) -> None:
        """Ask on, as long as not too much is under way."""
        while self._last and len(self._under_way) < self._policy.calls_under_way:
            call_id = step.call_id()
            self._under_way.add(call_id)
            step.call(Reconcile(call_id, self._next_piece()))

    def on_call_ended(self, call: CallId) -> None:
        self._under_way.discard(call)

    def _next_piece(self) -> tuple[Question, ...]:
        piece = tuple(islice(self._questions, self._policy.batch))
        if not piece:
            self._spoken_of = None
            return self._last.popleft()
        self.unanswered.update(piece)
        if self._spoken_of is not None:
            self._silent.update([task for task, _ in piece if task not in self._spoken_of])
        return piece

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
