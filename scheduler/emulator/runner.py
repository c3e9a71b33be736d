"""What an emulated agent asks of whatever runs its tasks.

The agent owns everything that Mesos says about updates: identity, order, acknowledgement, retry,
re-registration. A runner owns what happens to the task itself: start, sandbox, checks, kill. Two
runners exist: ``simulate`` (timers, thousands of agents in one process) and ``process`` (real
processes). A runner must not know the master, nor whether a framework or the master is connected:
its tasks go on whatever happens there. It neighbours ``model.agent``, which drives it.

Every method is called, and every status must be reported, on the thread of the event loop. None
of the synchronous methods may block; slow work (fetching, forking) goes on in the background and
ends in a status.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from scheduler.mesos.proto.mesos_v1_pb2 import (
    CheckStatusInfo,
    FrameworkInfo,
    TaskInfo,
    TaskState,
    TaskStatus,
)

DEFAULT_KILL_GRACE_S = 3.0  # "kill grace 3 s" of the command executor


@dataclass(frozen=True, slots=True)
class TaskLaunch:
    """One task to run, with the ids that name its sandbox.

    `agent_id`, `framework_id`, `executor_id` and `container_id` are path components of the sandbox:
    `<work_dir>/slaves/<agent_id>/frameworks/<framework_id>/executors/<executor_id>/runs/
    <container_id>`. For a command task `executor_id` is the task id. `endpoint` is the agent's
    `ip:port`. `user` is the Unix user that
    the command asks for; a runner without the right to change user runs it as its own.
    """

    task: TaskInfo
    framework: FrameworkInfo
    agent_id: str
    hostname: str
    endpoint: str
    framework_id: str
    executor_id: str
    container_id: str
    user: str


@dataclass(frozen=True, slots=True)
class RunnerStatus:
    """What became of a task; the agent makes a TaskStatus with uuid and time of it.

    `state` is TASK_STARTING, TASK_RUNNING, TASK_KILLING, TASK_FINISHED, TASK_FAILED or
    TASK_KILLED. Exactly one terminal status ends each launch, and nothing follows it. TASK_KILLING
    is always reported; the agent keeps it from frameworks without TASK_KILLING_STATE.
    `source` is SOURCE_AGENT where the agent itself would speak (REASON_CONTAINER_LAUNCH_FAILED,
    limits), SOURCE_EXECUTOR in normal life. `healthy` stays None until a first health result.
    """

    framework_id: str
    task_id: str
    state: TaskState
    message: str = ""
    reason: "TaskStatus.Reason | None" = None
    source: TaskStatus.Source = TaskStatus.SOURCE_EXECUTOR
    healthy: bool | None = None
    check_status: CheckStatusInfo | None = None
    executor_pid: int | None = None


class TaskRunner(Protocol):
    """Runs the tasks of one agent."""

    def launch(self, launch: TaskLaunch) -> None:
        """Starts a task. Problems are not raised but reported as a terminal status."""

    def kill(self, framework_id: str, task_id: str, grace_s: float | None) -> None:
        """Ends a task: SIGTERM, `grace_s` later SIGKILL.

        None means the grace of TaskInfo.kill_policy, else `DEFAULT_KILL_GRACE_S`. A later kill
        with a shorter grace shortens the running one, a longer one changes nothing. A task that
        is not known or has ended is passed over.
        """

    def directory(self, framework_id: str, executor_id: str) -> str:
        """The sandbox's real path, as the agent's /state shows it; "" where there is none."""

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What this agent serves over HTTP besides its state: /files/browse, read, download."""

    async def close(self) -> None:
        """Ends every task at once, reports nothing more, and frees what the runner holds."""


class RunnerFactory(Protocol):
    """Makes the runner of agent number `index`; called once an agent, before it registers."""

    def __call__(self, index: int, on_status: Callable[[RunnerStatus], None]) -> TaskRunner: ...
