"""One emulated agent's runner with everything it reports, and tasks to launch on it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from google.protobuf import text_format

from scheduler.emulator.process.runner import process_runners
from scheduler.emulator.runner import RunnerStatus, TaskLaunch, TaskRunner
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo, TaskInfo, TaskState

HOST = "127.77.6.1"
FRAMEWORK = "f-0000"
AGENT = "m-S0"
BOUND_S = 20.0
TERMINAL = {mesos.TASK_FINISHED, mesos.TASK_FAILED, mesos.TASK_KILLED}


def a_task(task_id: str, command: str, more: str = "") -> TaskInfo:
    """A shell task; `more` is the rest of the TaskInfo in protobuf's text form."""
    task = TaskInfo(name=task_id)
    task.task_id.value = task_id
    task.agent_id.value = AGENT
    task.command.value = command
    text_format.Merge(more, task)
    return task


def a_launch(task: TaskInfo, container_id: str = "") -> TaskLaunch:
    task_id = task.task_id.value
    return TaskLaunch(
        task=task,
        framework=FrameworkInfo(user="nobody", name="test", checkpoint=True),
        agent_id=AGENT,
        hostname=HOST,
        endpoint=f"{HOST}:5051",
        framework_id=FRAMEWORK,
        executor_id=task_id,
        container_id=container_id or f"c-{task_id}",
        user="nobody",
    )


class Agent:
    """Keeps the statuses in order; every wait is bounded."""

    def __init__(self) -> None:
        self.statuses: list[RunnerStatus] = []
        self.reactions: dict[TaskState, Callable[[], None]] = {}
        self.runner: TaskRunner

    def on_status(self, status: RunnerStatus) -> None:
        self.statuses.append(status)
        self.reactions.pop(status.state, _nothing)()

    def launch(self, task_id: str, command: str, more: str = "") -> None:
        self.runner.launch(a_launch(a_task(task_id, command, more)))

    def kill(self, task_id: str, grace_s: float | None = None) -> None:
        self.runner.kill(FRAMEWORK, task_id, grace_s)

    def of(self, task_id: str) -> list[RunnerStatus]:
        return [one for one in self.statuses if one.task_id == task_id]

    def states(self, task_id: str) -> list[str]:
        return [TaskState.Name(one.state) for one in self.of(task_id)]

    def sandbox(self, task_id: str) -> Path:
        return Path(self.runner.directory(FRAMEWORK, task_id))

    def stdout(self, task_id: str) -> str:
        return (self.sandbox(task_id) / "stdout").read_text()

    async def said(self, task_id: str, state: TaskState) -> RunnerStatus:
        """Waits for a status."""
        await eventually(lambda: any(one.state == state for one in self.of(task_id)))
        return next(one for one in self.of(task_id) if one.state == state)

    async def ended(self, task_id: str) -> RunnerStatus:
        """Waits for the terminal status."""
        await eventually(lambda: any(one.state in TERMINAL for one in self.of(task_id)))
        return next(one for one in self.of(task_id) if one.state in TERMINAL)

    async def wrote(self, task_id: str, word: str) -> None:
        """Waits until a task has written something, which tells that it has come so far."""
        await self.said(task_id, mesos.TASK_RUNNING)
        await eventually(lambda: word in self.stdout(task_id))


def _nothing() -> None:
    pass


async def eventually(condition: Callable[[], bool], within_s: float = BOUND_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def an_agent(work_dir: Path, *, ended_sandboxes_max: int = 100) -> AsyncIterator[Agent]:
    agent = Agent()
    async with process_runners(work_dir, ended_sandboxes_max=ended_sandboxes_max) as runners:
        agent.runner = runners(0, agent.on_status)
        yield agent


def living(root: Path) -> set[int]:
    """Processes that run in the name of a sandbox under `root`; zombies have no environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"MESOS_SANDBOX={root}/".encode() in environment:
                found.add(int(entry.name))
    return found


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
