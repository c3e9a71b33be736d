"""Watches tasks from their launch to their first word, since a launch message can be lost between
master and agent without anybody being told.

It asks the master about those that say nothing; what the master's silence means is decided by
`attempts`.
"""

from collections import deque

import msgspec

from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import Reconcile
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.model.instance import AttemptState
from scheduler.core.state import Found


class Launched(msgspec.Struct, frozen=True, gc=False):
    """`asked`: we asked the master about it once already."""

    due: float
    task_id: TaskId
    asked: bool


class LaunchWatch:
    """One deadline for all, that of the first in the row."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._row: deque[Launched] = deque()
        self._deadline_set = False

    def add(self, task: TaskId) -> None:
        desk = self._desk
        self._row.append(Launched(desk.now.mono + desk.policy.launch_timeout_s, task, False))
        self._set_deadline()

    def overdue(self) -> list[TaskId]:
        """Tasks that are to end, as they said nothing after the master was asked, either. Asks
        about those that are late for the first time."""
        desk = self._desk
        silent: list[TaskId] = []
        self._deadline_set = False
        while self._row and self._row[0].due <= desk.now.mono:
            entry = self._row.popleft()
            found = self._launching(entry.task_id)
            if found is None:
                continue
            if not entry.asked or not desk.connected:
                self._ask_about(entry.task_id, found.attempt.agent_id)
            elif found.attempt.end is None:
                silent.append(entry.task_id)
        self._set_deadline()
        return silent

    def forget_started(self) -> None:
        """Drop those at the front that have been heard of, so that the row stays as short as what
        is really in flight."""
        for _ in range(min(64, len(self._row))):
            if self._launching(self._row[0].task_id) is not None:
                return
            self._row.popleft()

    def _launching(self, task: TaskId) -> Found | None:
        found = self._desk.state.find(task)
        return found if found and found.attempt.state is AttemptState.LAUNCHING else None

    def _ask_about(self, task: TaskId, agent: AgentId) -> None:
        desk = self._desk
        again = Launched(desk.now.mono + desk.policy.launch_grace_s, task, desk.connected)
        position = len(self._row)
        while position and self._row[position - 1].due > again.due:
            position -= 1
        self._row.insert(position, again)
        if desk.connected:
            desk.step.call(Reconcile(desk.step.call_id(), ((task, agent),)))

    def _set_deadline(self) -> None:
        if self._row and not self._deadline_set:
            self._deadline_set = True
            self._desk.deadlines.add(self._row[0].due, Due.LAUNCH_OVERDUE)
