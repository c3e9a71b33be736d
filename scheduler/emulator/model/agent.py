"""One emulated agent: which tasks it has, and the updates of each until they are acknowledged.

Per task "the agent sends update n+1 only after update n is acknowledged", retries the first
unacknowledged one after 10 s, doubling to 10 min, and at once after it has registered again. What
happens to the task itself is the `TaskRunner`'s. The master is reached through `Uplink`, which
loses what is said while the link is broken.
"""

import random
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from scheduler.emulator.model.bundle import Bundle
from scheduler.emulator.model.judge import Judge
from scheduler.emulator.model.records import TERMINAL, Capability
from scheduler.emulator.model.timeline import Timeline, Timer
from scheduler.emulator.runner import RunnerStatus, TaskLaunch, TaskRunner
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import (
    AgentInfo,
    Attribute,
    ContainerStatus,
    FrameworkInfo,
    TaskInfo,
    TaskState,
    TaskStatus,
)

UPDATE_RETRY_S_MAX = 600.0
EXECUTOR_SHUTDOWN_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """What an agent says of itself when it registers."""

    hostname: str
    ip: str
    port: int
    total: Bundle
    attributes: tuple[Attribute, ...] = ()


@dataclass(slots=True)
class AgentTask:
    """`latest` is the newest state, `sent` the last status that was forwarded to the master."""

    launch: TaskLaunch
    role: str
    bundle: Bundle
    latest: TaskState
    container: ContainerStatus
    sent: TaskStatus | None = None
    updates: deque[TaskStatus] = field(default_factory=deque)
    retry: Timer | None = None
    retry_s: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        return self.launch.framework_id, self.launch.task.task_id.value


class Uplink(Protocol):
    """What an agent says to the leading master."""

    def status_update(
        self, agent: "Agent", framework_id: str, status: TaskStatus, latest: TaskState
    ) -> None: ...


class Agent:
    """Driven by the master (launch, kill, acknowledge, …), by its runner (`on_status`) and by
    the world around both (link lost, registered)."""

    def __init__(
        self,
        description: AgentDescription,
        timeline: Timeline,
        randomness: random.Random,
        judge: Judge,
        uplink: Uplink,
        update_retry_s: float = 10.0,
    ) -> None:
        self.description = description
        self.agent_id = ""
        self.online = False
        self.runner: TaskRunner | None = None
        self.tasks: dict[tuple[str, str], AgentTask] = {}
        self._timeline = timeline
        self._random = randomness
        self._judge = judge
        self._uplink = uplink
        self._update_retry_s = update_retry_s

    def info(self) -> AgentInfo:
        info = AgentInfo(hostname=self.description.hostname, port=self.description.port)
        info.attributes.extend(self.description.attributes)
        if self.agent_id:
            info.id.value = self.agent_id
        return info

    # -- what the master asks

    def launch(
        self, framework: FrameworkInfo, task: TaskInfo, role: str, amounts: Bundle, user: str
    ) -> None:
        key = framework.id.value, task.task_id.value
        if key in self.tasks or self.runner is None:
            return
        container = ContainerStatus()
        container_uuid = uuid.UUID(bytes=self._random.randbytes(16), version=4)
        container.container_id.value = str(container_uuid)
        address = container.network_infos.add().ip_addresses.add()
        address.ip_address = self.description.ip
        launch = self._launch_of(framework, task, user, container.container_id.value)
        staging = mesos.TASK_STAGING
        self.tasks[key] = AgentTask(launch, role, amounts, staging, container)
        self._judge.launched(key[0], self.agent_id, key[1])
        self.runner.launch(launch)

    def kill(self, framework_id: str, task_id: str, grace_s: float | None) -> None:
        if (framework_id, task_id) in self.tasks and self.runner is not None:
            self.runner.kill(framework_id, task_id, grace_s)

    def acknowledge(self, framework_id: str, task_id: str, update_uuid: bytes) -> None:
        """ "It only accepts the uuid of the head of that task's queue"; others are passed over."""
        task = self.tasks.get((framework_id, task_id))
        if task is None or not task.updates or task.updates[0].uuid != update_uuid:
            return
        head = task.updates.popleft()
        self._stop_retry(task)
        if head.state in TERMINAL:
            self._judge.acknowledged(task_id)
            del self.tasks[task.key]
        elif task.updates:
            self._forward(task)

    def drop_unknown(
        self, framework: FrameworkInfo, task: TaskInfo, state: TaskState, amounts: Bundle
    ) -> None:
        """The master holds a task of which this agent never heard: its launch was lost."""
        key = framework.id.value, task.task_id.value
        if key in self.tasks:
            return
        launch = self._launch_of(framework, task, "", "")
        lost = AgentTask(launch, "", amounts, state, ContainerStatus())
        self.tasks[key] = lost
        status = self._status(lost, state, TaskStatus.SOURCE_AGENT)
        status.ClearField("container_status")
        status.reason = TaskStatus.REASON_RECONCILIATION
        self._queue(lost, status)

    def shutdown_framework(self, framework_id: str) -> None:
        """Ends the tasks of a removed framework; nobody hears of it."""
        for key in [key for key in self.tasks if key[0] == framework_id]:
            self._forget(key, EXECUTOR_SHUTDOWN_GRACE_S)

    def shutdown(self) -> None:
        """The agent may not come back: everything on it ends."""
        self.online = False
        for key in list(self.tasks):
            self._forget(key, 0.0)

    def resend(self, framework_id: str | None = None) -> None:
        """Forwards what is unacknowledged at once: after a registration of this agent, or a
        subscription of that framework."""
        for task in self.tasks.values():
            if task.updates and framework_id in (None, task.launch.framework_id):
                self._stop_retry(task)
                self._forward(task)

    # -- what happens to it

    def went_offline(self, *, process_died: bool) -> None:
        self.online = False
        for task in list(self.tasks.values()):
            self._stop_retry(task)
            if process_died and not task.launch.framework.checkpoint:
                self._forget(task.key, 0.0)

    def preempt(self) -> None:
        """Ends what runs on revocable resources, as Mesos' QoS controller does to have them back:
        "preempted (QoS): GONE, not partition aware: LOST"."""
        for task in list(self.tasks.values()):
            if task.latest in TERMINAL or not task.bundle.revocable:
                continue
            aware = Capability.PARTITION_AWARE in _capabilities(task)
            state = mesos.TASK_GONE if aware else mesos.TASK_LOST
            self._judge.changed(task.key[1], state, terminal=True)
            status = self._status(task, state, TaskStatus.SOURCE_AGENT)
            status.reason = TaskStatus.REASON_CONTAINER_PREEMPTED
            status.message = "Preempted to have revocable resources back"
            self._queue(task, status)
            if self.runner is not None:
                self.runner.kill(*task.key, 0.0)

    def on_status(self, said: RunnerStatus) -> None:
        """A runner's word on a task becomes an update with a uuid, in order."""
        task = self.tasks.get((said.framework_id, said.task_id))
        if task is None or task.latest in TERMINAL:
            return
        terminal = said.state in TERMINAL
        self._judge.changed(said.task_id, said.state, terminal=terminal)
        killing = said.state == mesos.TASK_KILLING
        if killing and Capability.TASK_KILLING_STATE not in _capabilities(task):
            return
        status = self._status(task, said.state, said.source)
        if said.message:
            status.message = said.message
        if said.reason is not None:
            status.reason = said.reason
        if said.healthy is not None:
            status.healthy = said.healthy
        if said.check_status is not None:
            status.check_status.CopyFrom(said.check_status)
        if said.executor_pid is not None:
            task.container.executor_pid = said.executor_pid
            status.container_status.executor_pid = said.executor_pid
        task.latest = said.state
        self._queue(task, status)

    # -- the update queue

    def _queue(self, task: AgentTask, status: TaskStatus) -> None:
        task.latest = status.state
        task.updates.append(status)
        if len(task.updates) == 1:
            self._forward(task)

    def _forward(self, task: AgentTask) -> None:
        if not self.online:
            return
        task.sent = task.updates[0]
        task.retry_s = min(task.retry_s * 2 or self._update_retry_s, UPDATE_RETRY_S_MAX)
        task.retry = self._timeline.after(task.retry_s, lambda: self._forward(task))
        self._uplink.status_update(self, task.launch.framework_id, task.sent, task.latest)

    def _launch_of(
        self, framework: FrameworkInfo, task: TaskInfo, user: str, container_id: str
    ) -> TaskLaunch:
        return TaskLaunch(
            task=task,
            framework=framework,
            agent_id=self.agent_id,
            hostname=self.description.hostname,
            endpoint=f"{self.description.ip}:{self.description.port}",
            framework_id=framework.id.value,
            executor_id=task.executor.executor_id.value or task.task_id.value,
            container_id=container_id,
            user=user,
        )

    def _stop_retry(self, task: AgentTask) -> None:
        task.retry_s = 0.0
        if task.retry is not None:
            task.retry.cancel()
            task.retry = None

    def _forget(self, key: tuple[str, str], grace_s: float) -> None:
        task = self.tasks.pop(key)
        self._stop_retry(task)
        task.updates.clear()
        if self.runner is not None:
            self.runner.kill(*key, grace_s)

    def _status(self, task: AgentTask, state: TaskState, source: TaskStatus.Source) -> TaskStatus:
        status = TaskStatus(
            state=state,
            source=source,
            timestamp=self._timeline.wall(),
            uuid=self._random.randbytes(16),
            container_status=task.container,
        )
        status.task_id.value = task.launch.task.task_id.value
        status.agent_id.value = self.agent_id
        status.executor_id.value = task.launch.executor_id
        return status


def frameworks_of(tasks: Iterable[AgentTask]) -> dict[str, FrameworkInfo]:
    return {task.launch.framework_id: task.launch.framework for task in tasks}


def _capabilities(task: AgentTask) -> list[Capability.Type]:
    return [one.type for one in task.launch.framework.capabilities]
