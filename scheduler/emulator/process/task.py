"""The life of one emulated task: from its launch to its one terminal status.

It follows the command executor: fetch, STARTING, fork, RUNNING, checks, perhaps KILLING, the end.
It knows neither agents nor masters; `runner` owns it, `keeping` runs its process.
"""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from scheduler.emulator.process import sandbox
from scheduler.emulator.process.checks import HealthRule, Look, Prober, no_result, seconds
from scheduler.emulator.process.fetching import Fetcher
from scheduler.emulator.process.keeping import Keeper, Run
from scheduler.emulator.process.launch_failed import LaunchFailed
from scheduler.emulator.runner import DEFAULT_KILL_GRACE_S, RunnerStatus, TaskLaunch
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import (
    CheckStatusInfo,
    CommandInfo,
    TaskInfo,
    TaskState,
    TaskStatus,
)

NANOSECONDS: Final = 1e9
FETCH_S_MAX: Final = 600.0
"""From the launch to the fork; the bound of a whole, slow fetch."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all tasks of an emulator share."""

    keeper: Keeper
    http: aiohttp.ClientSession
    threads: Executor
    fetcher: Fetcher


class ProcessTask:
    """Driven by `live`, which ends with the task, and by `kill`."""

    def __init__(
        self,
        launch: TaskLaunch,
        directory: Path,
        means: Means,
        on_status: Callable[[RunnerStatus], None],
    ) -> None:
        self._launch = launch
        self._info = launch.task
        self._directory = directory
        self._means = means
        self._on_status = on_status
        self._prober = Prober(means.http, self._run_beside)
        self._environment: dict[str, str] = {}
        self._run: Run | None = None
        # Ends the preparation: by its deadline, or now, when a kill comes first.
        self._patience: asyncio.Timeout | None = None
        self._killed_at: float | None = None
        self._sigkill_at = 0.0
        self._escalation: asyncio.TimerHandle | None = None
        self._overran = False
        self._over = False
        self._healthy: bool | None = None
        self._check_status: CheckStatusInfo | None = None
        if self._info.HasField("check"):
            self._check_status = no_result(self._info.check)

    async def live(self) -> None:
        """Runs the task and reports everything about it."""
        try:
            prepared = await self._prepare()
            if not prepared:
                reason = TaskStatus.REASON_TASK_KILLED_DURING_LAUNCH
                self._end(mesos.TASK_KILLED, "Killed before it was started", reason, by_agent=True)
                return
            self._report(mesos.TASK_STARTING)
            run = await self._start(self._info.command)
        except LaunchFailed as error:
            reason = TaskStatus.REASON_CONTAINER_LAUNCH_FAILED
            self._end(mesos.TASK_FAILED, str(error), reason, by_agent=True)
            return
        killed_before = self._killed_at is not None
        self._run = run
        self._report(mesos.TASK_RUNNING)
        if killed_before:
            self._begin_kill(run)
        try:
            self._report_end(await self._watch(run))
        finally:
            self._stop_escalation()

    def kill(self, grace_s: float | None) -> None:
        """SIGTERM now, SIGKILL `grace_s` later; a second kill "can only shorten the grace: its
        grace counts from the first kill"."""
        if self._over or self._overran:
            return
        now = asyncio.get_running_loop().time()
        wanted_s = _grace_s(self._info) if grace_s is None else grace_s
        if self._killed_at is None:
            self._killed_at = now
            self._sigkill_at = now + wanted_s
            if self._run is not None:
                self._begin_kill(self._run)
            elif self._patience is not None and not self._patience.expired():
                self._patience.reschedule(now)
        elif self._killed_at + wanted_s < self._sigkill_at:
            self._sigkill_at = self._killed_at + wanted_s
            if self._run is not None:
                self._escalate(self._run)

    def silence(self) -> None:
        """Reports nothing more."""
        self._on_status = _say_nothing

    # -- start

    async def _prepare(self) -> bool:
        """Sandbox and fetched files; False if a kill came first."""
        if self._killed_at is not None:
            return False
        try:
            async with asyncio.timeout(FETCH_S_MAX) as self._patience:
                _refuse_what_is_not_emulated(self._info)
                self._environment = sandbox.environment_of(self._launch, self._directory)
                loop = asyncio.get_running_loop()
                make = partial(sandbox.make, self._directory)
                await loop.run_in_executor(self._means.threads, make)
                await self._means.fetcher.fetch(self._info.command.uris, self._directory)
        except TimeoutError as error:
            if self._killed_at is None:
                raise LaunchFailed(f"not fetched within {FETCH_S_MAX:g} s") from error
        except OSError as error:
            raise LaunchFailed(f"no sandbox: {error}") from error
        finally:
            self._patience = None
        return self._killed_at is None

    async def _start(self, command: CommandInfo) -> Run:
        return await self._means.keeper.start(
            sandbox.arguments_of(command),
            self._environment,
            self._directory,
            stdout=self._directory / "stdout",
            stderr=self._directory / "stderr",
        )

    async def _run_beside(self, command: CommandInfo) -> int:
        """A check's command: the task's environment and its own; what it says goes to stderr."""
        stderr = self._directory / "stderr"
        try:
            run = await self._means.keeper.start(
                sandbox.arguments_of(command),
                {**self._environment, **sandbox.variables_of(command)},
                self._directory,
                stdout=stderr,
                stderr=stderr,
            )
        except LaunchFailed:
            return -signal.SIGABRT
        try:
            return await run.ended()
        finally:
            self._means.keeper.signal(run, signal.SIGKILL)

    # -- life

    async def _watch(self, run: Run) -> int:
        """Checks until the process has ended; its exit code."""
        loop = asyncio.get_running_loop()
        overrun: asyncio.TimerHandle | None = None
        if self._info.HasField("max_completion_time"):
            limit_s = self._info.max_completion_time.nanoseconds / NANOSECONDS
            overrun = loop.call_later(limit_s, self._overrun, run)
        try:
            async with asyncio.TaskGroup() as group:
                checks = []
                if self._info.HasField("health_check"):
                    checks.append(group.create_task(self._check_health(loop)))
                if self._info.HasField("check"):
                    checks.append(group.create_task(self._check()))
                code = await run.ended()
                for check in checks:
                    check.cancel()
                return code
        finally:
            if overrun is not None:
                overrun.cancel()

    def _overrun(self, run: Run) -> None:
        """ "max_completion_time: after it SIGKILL at once (no SIGTERM, no KILLING)"."""
        if self._killed_at is None:
            self._overran = True
            self._means.keeper.signal(run, signal.SIGKILL)

    async def _check_health(self, loop: asyncio.AbstractEventLoop) -> None:
        check = self._info.health_check
        rule = HealthRule(check, loop.time())
        await asyncio.sleep(seconds(check.delay_seconds))
        while not self._ending:
            look = await self._prober.health(check)
            if self._ending:
                return
            if rule.reports(look.healthy, loop.time()):
                self._healthy = look.healthy
                reason = TaskStatus.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
                self._report(mesos.TASK_RUNNING, reason=reason)
            if rule.gives_up():
                self.kill(None)
                return
            await asyncio.sleep(seconds(check.interval_seconds))

    async def _check(self) -> None:
        check = self._info.check
        await asyncio.sleep(seconds(check.delay_seconds))
        while not self._ending:
            look: Look = await self._prober.check(check)
            if self._ending:
                return
            if look.result != self._check_status:
                self._check_status = look.result
                reason = TaskStatus.REASON_TASK_CHECK_STATUS_UPDATED
                self._report(mesos.TASK_RUNNING, reason=reason)
            await asyncio.sleep(seconds(check.interval_seconds))

    @property
    def _ending(self) -> bool:
        """Checking pauses while a task ends; the process may be gone before the news of it."""
        return self._killed_at is not None or self._overran or self._over

    # -- end

    def _begin_kill(self, run: Run) -> None:
        self._report(mesos.TASK_KILLING)
        self._means.keeper.signal(run, signal.SIGTERM)
        self._escalate(run)

    def _escalate(self, run: Run) -> None:
        self._stop_escalation()
        loop = asyncio.get_running_loop()
        self._escalation = loop.call_at(
            self._sigkill_at, self._means.keeper.signal, run, signal.SIGKILL
        )

    def _stop_escalation(self) -> None:
        if self._escalation is not None:
            self._escalation.cancel()
            self._escalation = None

    def _report_end(self, code: int) -> None:
        """ "Whatever exit code → TASK_KILLED" once a kill was asked for."""
        if code >= 0:
            message = f"Command exited with status {code}"
        else:
            message = f"Command terminated with signal {signal.strsignal(-code) or -code}"
        if self._overran:
            reason = TaskStatus.REASON_MAX_COMPLETION_TIME_REACHED
            self._end(mesos.TASK_FAILED, message, reason)
        elif self._killed_at is not None:
            self._end(mesos.TASK_KILLED, message)
        else:
            self._end(mesos.TASK_FAILED if code else mesos.TASK_FINISHED, message)

    def _end(
        self,
        state: TaskState,
        message: str,
        reason: "TaskStatus.Reason | None" = None,
        *,
        by_agent: bool = False,
    ) -> None:
        source = TaskStatus.SOURCE_AGENT if by_agent else TaskStatus.SOURCE_EXECUTOR
        self._over = True
        self._report(state, message, reason, source)

    def _report(
        self,
        state: TaskState,
        message: str = "",
        reason: "TaskStatus.Reason | None" = None,
        source: TaskStatus.Source = TaskStatus.SOURCE_EXECUTOR,
    ) -> None:
        """Every update carries the latest results of both kinds of checks."""
        self._on_status(
            RunnerStatus(
                framework_id=self._launch.framework_id,
                task_id=self._info.task_id.value,
                state=state,
                message=message,
                reason=reason,
                source=source,
                healthy=self._healthy,
                check_status=self._check_status,
                executor_pid=None if self._run is None else self._run.pid,
            )
        )


def _say_nothing(_: RunnerStatus) -> None:
    pass


def _grace_s(info: TaskInfo) -> float:
    if not info.kill_policy.HasField("grace_period"):
        return DEFAULT_KILL_GRACE_S
    return info.kill_policy.grace_period.nanoseconds / NANOSECONDS


def _refuse_what_is_not_emulated(info: TaskInfo) -> None:
    if info.HasField("container") and info.container.type == mesos.ContainerInfo.DOCKER:
        raise LaunchFailed("the emulator runs plain processes: no Docker containers")
    if info.container.mesos.HasField("image"):
        raise LaunchFailed("the emulator runs plain processes: no container images")
    if info.HasField("executor"):
        raise LaunchFailed("the emulator runs commands: no custom executors")
