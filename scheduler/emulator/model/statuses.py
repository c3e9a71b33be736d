"""The statuses and events that a master makes itself (SOURCE_MASTER, no uuid).

Values in, messages out; which one is due is decided in the rooms of the master.
"""

from scheduler.emulator.model.records import Framework, Task
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState, TaskStatus
from scheduler.mesos.proto.scheduler_pb2 import Event

# "Non-PA get TASK_LOST in place of DROPPED, UNREACHABLE, GONE, GONE_BY_OPERATOR, UNKNOWN."
_PARTITION_AWARE_ONLY = frozenset(
    {
        mesos.TASK_DROPPED,
        mesos.TASK_UNREACHABLE,
        mesos.TASK_GONE,
        mesos.TASK_GONE_BY_OPERATOR,
        mesos.TASK_UNKNOWN,
    }
)


def for_framework(framework: Framework, state: TaskState) -> TaskState:
    """The state as this framework may see it."""
    if state in _PARTITION_AWARE_ONLY and not framework.partition_aware:
        return mesos.TASK_LOST
    return state


def by_master(
    framework: Framework,
    task_id: str,
    agent_id: str | None,
    state: TaskState,
    reason: TaskStatus.Reason,
    wall_s: float,
    message: str = "",
) -> TaskStatus:
    status = TaskStatus(
        state=for_framework(framework, state),
        source=TaskStatus.SOURCE_MASTER,
        reason=reason,
        timestamp=wall_s,
    )
    status.task_id.value = task_id
    if message:
        status.message = message
    if agent_id:
        status.agent_id.value = agent_id
    return status


def of_known_task(
    framework: Framework, task: Task, reason: TaskStatus.Reason, wall_s: float
) -> TaskStatus:
    """The latest state forwarded; "health, check, container_status kept", nothing else."""
    status = by_master(framework, task.task_id, task.agent_id, task.visible_state(), reason, wall_s)
    last = task.forwarded
    if last is not None:
        if last.HasField("healthy"):
            status.healthy = last.healthy
        if last.HasField("check_status"):
            status.check_status.CopyFrom(last.check_status)
        if last.HasField("container_status"):
            status.container_status.CopyFrom(last.container_status)
    return status


def update(status: TaskStatus) -> Event:
    event = Event(type=Event.UPDATE)
    event.update.status.CopyFrom(status)
    return event


def rescind(offer_id: str) -> Event:
    event = Event(type=Event.RESCIND)
    event.rescind.offer_id.value = offer_id
    return event


def failure(agent_id: str) -> Event:
    event = Event(type=Event.FAILURE)
    event.failure.agent_id.value = agent_id
    return event


def error(message: str) -> Event:
    event = Event(type=Event.ERROR)
    event.error.message = message
    return event
