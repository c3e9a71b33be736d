"""An account of every task that ever ran, for tests that judge a scheduler from outside.

It outlives masters and forgets nothing, and nothing in the emulation depends on it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.mesos.proto.mesos_v1_pb2 import TaskState, TaskStatus


@dataclass(slots=True)
class TaskRecord:
    """`accepted` counts valid LAUNCHes, `launches` those that reached a runner, `ends` what the
    runner said; `delivered` and `acknowledged` count terminal updates with a uuid. `launched_s` and
    `ended_s` are the first launch and the first end, in seconds since the emulator's start."""

    framework_id: str
    agent_id: str
    accepted: int = 0
    launches: int = 0
    ends: list[str] = field(default_factory=list)
    state: str = "TASK_STAGING"
    delivered: int = 0
    acknowledged: int = 0
    launched_s: float | None = None
    ended_s: float | None = None


class Judge:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.tasks: dict[str, TaskRecord] = {}

    def accepted(self, framework_id: str, agent_id: str, task_id: str) -> None:
        self._record(framework_id, agent_id, task_id).accepted += 1

    def launched(self, framework_id: str, agent_id: str, task_id: str) -> None:
        record = self._record(framework_id, agent_id, task_id)
        record.launches += 1
        if record.launched_s is None:
            record.launched_s = self._now()

    def changed(self, task_id: str, state: TaskState, *, terminal: bool) -> None:
        """A runner said that the task is in this state now."""
        record = self.tasks.get(task_id)
        if record is not None:
            record.state = TaskState.Name(state)
            if terminal:
                record.ends.append(record.state)
                if record.ended_s is None:
                    record.ended_s = self._now()

    def delivered(self, status: TaskStatus) -> None:
        record = self.tasks.get(status.task_id.value)
        if record is not None:
            record.delivered += 1

    def acknowledged(self, task_id: str) -> None:
        record = self.tasks.get(task_id)
        if record is not None:
            record.acknowledged += 1

    def _record(self, framework_id: str, agent_id: str, task_id: str) -> TaskRecord:
        record = self.tasks.get(task_id)
        if record is None:
            record = self.tasks[task_id] = TaskRecord(framework_id, agent_id)
        return record
