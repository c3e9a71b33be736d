"""Watches tasks from their launch to their first word, since a launch message can be lost between
master and agent without anybody being told.

It asks the master about those that say nothing; what the master's silence means is decided by
`attempts`.
"""

from collections import deque

import msgspec

from scheduler.core.deadlines import Due
from scheduler.core.desk import ROUNDING_S, Desk
from scheduler.core.effects import Reconcile
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.model.instance import AttemptState
from scheduler.core.state import Found

OVERDUE_A_STEP_MAX = 1000


class Launched(msgspec.Struct, frozen=True, gc=False):
    """`asked`: we asked the master about it once already."""

    due: float
    task_id: TaskId
    asked: bool


class LaunchWatch:
    """One deadline for all, that of the first in either row. Both are in the order of `due`, since
    what comes later is due later: `_launched` waits for the first word, `_asked` for the master's
    answer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._launched: deque[Launched] = deque()
        self._asked: deque[Launched] = deque()
        self._deadline_set = False

    def add(self, task: TaskId) -> None:
        desk = self._desk
        due = desk.now.mono + desk.policy.launch_timeout_s
        self._launched.append(Launched(due, task, False))
        self._set_deadline()

    def overdue(self) -> list[TaskId]:
        """Tasks that are to end, as they said nothing after the master was asked, either. Asks
        about those that are late for the first time. Of very many some come in the next step."""
        desk = self._desk
        silent: list[TaskId] = []
        late: list[tuple[TaskId, AgentId]] = []
        self._deadline_set = False
        for row in (self._asked, self._launched):
            for _ in range(min(OVERDUE_A_STEP_MAX, len(row))):
                if row[0].due > desk.now.mono:
                    break
                entry = row.popleft()
                found = self._launching(entry.task_id)
                if found is None:
                    continue
                if not entry.asked or not desk.connected:
                    late.append((entry.task_id, found.attempt.agent_id))
                elif found.attempt.end is None:
                    silent.append(entry.task_id)
        self._ask_about(late)
        self._set_deadline()
        return silent

    def forget_started(self) -> None:
        """Drop those at the front that have been heard of, so that the rows stay as short as what
        is really in flight."""
        for row in (self._asked, self._launched):
            for _ in range(min(64, len(row))):
                if self._launching(row[0].task_id) is not None:
                    break
                row.popleft()

    def _launching(self, task: TaskId) -> Found | None:
        found = self._desk.state.find(task)
        return found if found and found.attempt.state is AttemptState.LAUNCHING else None

    def _ask_about(self, tasks: list[tuple[TaskId, AgentId]]) -> None:
        desk = self._desk
        due = desk.now.mono + desk.policy.launch_grace_s
        self._asked += [Launched(due, task, desk.connected) for task, _ in tasks]
        if desk.connected and tasks:
            desk.step.call(Reconcile(desk.step.call_id(), tuple(tasks)))

    def _set_deadline(self) -> None:
        if not self._deadline_set and (self._launched or self._asked):
            self._deadline_set = True
            due = min([row[0].due for row in (self._asked, self._launched) if row])
            in_a_later_step = self._desk.now.mono + ROUNDING_S
            self._desk.deadlines.add(max(due, in_a_later_step), Due.LAUNCH_OVERDUE)
