"""Tasks that run under our framework id but are in no record of ours: kept, and shown.

They may be orphans of a lost write, or everything that runs, if the store was restored from a
backup; so nothing is killed unless the operator's policy says so, and then only after a whole
reconciliation has passed.
"""

import msgspec

from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import Kill, NoticeKind
from scheduler.core.events import StatusUpdated
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.model.instance import TERMINAL, AttemptState
from scheduler.core.transitions import state_of

KILL_RETRY_S = 30.0


class UnknownTask(msgspec.Struct, frozen=True, gc=False):
    task_id: TaskId
    agent_id: AgentId
    state: AttemptState
    since: float


class Unknown:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.tasks: dict[TaskId, UnknownTask] = {}

    def seen(self, status: StatusUpdated) -> None:
        """Beyond the limit the newest are not kept; reconciliation will name them again."""
        desk = self._desk
        state = state_of(status.state)
        known = self.tasks.get(status.task_id)
        if state in TERMINAL or state is AttemptState.UNKNOWN:
            self.tasks.pop(status.task_id, None)
            return
        if known is None and len(self.tasks) >= desk.policy.unknown_tasks_max:
            return
        since = known.since if known is not None else desk.now.wall
        task = UnknownTask(status.task_id, status.agent_id, state, since)
        self.tasks[status.task_id] = task
        if known is None:
            desk.step.notice(NoticeKind.TASK_UNKNOWN_SEEN, task_id=status.task_id, state=state)
            if desk.policy.unknown_kill_after_s is not None:
                at = desk.now.mono + desk.policy.unknown_kill_after_s
                desk.deadlines.add(at, Due.KILL_UNKNOWN, status.task_id)

    def kill_due(self, task: TaskId) -> None:
        """Again and again until its terminal status; not before a reconciliation has passed."""
        desk = self._desk
        if task in self.tasks:
            if desk.connected and desk.reconciliation.passed:
                self.kill(task, grace_s=0.0)
            desk.deadlines.add(desk.now.mono + KILL_RETRY_S, Due.KILL_UNKNOWN, task)

    def kill(self, task: TaskId, grace_s: float) -> None:
        step = self._desk.step
        step.call(Kill(step.call_id(), task, self.tasks[task].agent_id, grace_s))
