"""Tasks as timers: nothing runs, but everything that Mesos says about a run is said.

What a task does is read from its command:

    sleep N          runs N seconds, then FINISHED     (also inside `… && sleep N`)
    exit N, false    FAILED unless N is 0
    true, :, empty   FINISHED
    anything else    runs `SimulateOptions.run_s`, then FINISHED; None: until it is killed

Steps are joined by `;` or `&&` and a leading `exec` is passed over: `sleep 2; exit 3` fails after
two seconds. A task label `simulate` replaces the command's text. Killed tasks end after
`kill_s` seconds, at once where the grace is 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from scheduler.emulator.model.timeline import Timeline, Timer
from scheduler.emulator.runner import RunnerStatus, TaskLaunch
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import TaskInfo, TaskStatus

STARTING = mesos.TASK_STARTING
RUNNING = mesos.TASK_RUNNING
KILLING = mesos.TASK_KILLING
FINISHED = mesos.TASK_FINISHED
FAILED = mesos.TASK_FAILED
KILLED = mesos.TASK_KILLED

# Of a task that does not end by itself: a kill finds it like any other.
NEVER = Timer(math.inf, lambda: None)


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """Times in seconds. `start_s` is from STARTING to RUNNING; `run_s` what a command that says
    nothing of its length takes (None: it never ends by itself)."""

    start_s: float = 0.0
    run_s: float | None = None
    kill_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`run_s` None: until killed."""

    run_s: float | None
    exit_code: int


class SimulatedTasks:
    """A `TaskRunner` on a `Timeline`."""

    def __init__(
        self,
        timeline: Timeline,
        options: SimulateOptions,
        on_status: Callable[[RunnerStatus], None],
    ) -> None:
        self._timeline = timeline
        self._options = options
        self._on_status = on_status
        self._timers: dict[tuple[str, str], Timer] = {}
        self._dying: set[tuple[str, str]] = set()

    def launch(self, launch: TaskLaunch) -> None:
        key = launch.framework_id, launch.task.task_id.value
        plan = read(launch.task, self._options.run_s)
        healthy = True if launch.task.HasField("health_check") else None

        def run() -> None:
            reason = TaskStatus.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED if healthy else None
            self._on_status(RunnerStatus(*key, RUNNING, reason=reason, healthy=healthy))
            if plan.run_s is None:
                self._timers[key] = NEVER
            else:
                self._timers[key] = self._timeline.after(
                    plan.run_s, lambda: self._end(key, plan.exit_code)
                )

        self._on_status(RunnerStatus(*key, STARTING))
        self._timers[key] = self._timeline.after(self._options.start_s, run)

    def kill(self, framework_id: str, task_id: str, grace_s: float | None) -> None:
        key = framework_id, task_id
        timer = self._timers.get(key)
        if timer is None or key in self._dying:
            return
        timer.cancel()
        self._dying.add(key)
        self._on_status(RunnerStatus(*key, KILLING))
        kill_s = self._options.kill_s if grace_s is None else min(self._options.kill_s, grace_s)
        self._timers[key] = self._timeline.after(kill_s, lambda: self._killed(key))

    def directory(self, framework_id: str, executor_id: str) -> str:
        return ""

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return ()

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _end(self, key: tuple[str, str], exit_code: int) -> None:
        del self._timers[key]
        if exit_code == 0:
            self._on_status(RunnerStatus(*key, FINISHED, "Command exited with status 0"))
        else:
            message = f"Command exited with status {exit_code}"
            self._on_status(RunnerStatus(*key, FAILED, message))

    def _killed(self, key: tuple[str, str]) -> None:
        del self._timers[key]
        self._dying.discard(key)
        self._on_status(RunnerStatus(*key, KILLED, "Command terminated with signal Terminated"))


def read(task: TaskInfo, run_s: float | None) -> Plan:
    """What the task's text says; see the module's own words for the grammar."""
    total_s, said = 0.0, False
    for step in _steps(_text(task)):
        words = step.split()
        if words[:1] == ["exec"]:
            words = words[1:]
        match words:
            case ["sleep", length] if _seconds(length) is not None:
                total_s, said = total_s + (_seconds(length) or 0.0), True
            case ["exit", code] if code.isdigit():
                return Plan(total_s, int(code) % 256)
            case ["false"]:
                return Plan(total_s, 1)
            case [] | ["true"] | [":"]:
                said = True
            case _:
                return Plan(total_s + run_s if run_s is not None else None, 0)
    return Plan(total_s if said else 0.0, 0)


def _text(task: TaskInfo) -> str:
    for label in task.labels.labels:
        if label.key == "simulate":
            return label.value
    command = task.command
    return command.value if command.shell else " ".join(command.arguments or [command.value])


def _steps(text: str) -> list[str]:
    return [step.strip() for step in text.replace("&&", ";").replace("\n", ";").split(";")]


def _seconds(text: str) -> float | None:
    """`2`, `0.5`, `2s`, `3m`; None for anything else."""
    scale = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:])
    number = text[:-1] if scale else text
    try:
        return abs(float(number)) * (scale or 1.0)
    except ValueError:
        return None
