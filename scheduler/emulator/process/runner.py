"""The `TaskRunner` of real processes: which tasks an agent has, and where their sandboxes are.

    async with process_runners(work_dir) as runners, EmulatedCluster(options, runners): ...

All agents of an emulator share one warden and one HTTP session; each has its own work folder,
`<work_dir>/agent-<index>`. The user who runs the emulator runs the tasks, whatever user a command
names. After `process_runners` no process of a task is left.
"""

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from scheduler.emulator.process import sandbox
from scheduler.emulator.process.fetching import Fetcher
from scheduler.emulator.process.files import SandboxFiles
from scheduler.emulator.process.keeping import start_keeper
from scheduler.emulator.process.launch_failed import LaunchFailed
from scheduler.emulator.process.task import Means, ProcessTask
from scheduler.emulator.runner import RunnerFactory, RunnerStatus, TaskLaunch
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import TaskStatus

CLOSE_GRACE_S: Final = 2.0
CLOSE_S_MAX: Final = 10.0
THREADS: Final = 4
ENDED_SANDBOXES_MAX: Final = 1000
"""How many sandboxes of ended tasks an agent keeps; the oldest go first."""

Key = tuple[str, str]


class ProcessRunner:
    """The tasks of one agent. `work_dir` is real (no links in it)."""

    def __init__(
        self,
        work_dir: Path,
        means: Means,
        owner: asyncio.TaskGroup,
        on_status: Callable[[RunnerStatus], None],
        ended_sandboxes_max: int,
    ) -> None:
        self._work_dir = work_dir
        self._means = means
        self._owner = owner
        self._on_status = on_status
        self._ended_max = ended_sandboxes_max
        self._closed = False
        self._tasks: dict[Key, ProcessTask] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._sandboxes: dict[Key, Path] = {}  # by framework and executor: the latest run
        self._ended: deque[tuple[Key, Path]] = deque()
        self._files = SandboxFiles(work_dir / "slaves", self._sandboxes, means.threads)

    def launch(self, launch: TaskLaunch) -> None:
        """Starts a task. Problems are not raised but reported as a terminal status."""
        if self._closed:
            return
        key = launch.framework_id, launch.task.task_id.value
        try:
            directory = sandbox.path_of(self._work_dir, launch)
        except LaunchFailed as error:
            self._on_status(_failed(key, str(error)))
            return
        self._sandboxes[launch.framework_id, launch.executor_id] = directory
        task = ProcessTask(launch, directory, self._means, self._on_status)
        self._tasks[key] = task
        life = self._owner.create_task(self._live(key, launch, task, directory))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    def kill(self, framework_id: str, task_id: str, grace_s: float | None) -> None:
        """SIGTERM, `grace_s` later SIGKILL; see `TaskRunner.kill`."""
        task = self._tasks.get((framework_id, task_id))
        if task is not None:
            task.kill(grace_s)

    def directory(self, framework_id: str, executor_id: str) -> str:
        """The real path of an executor's latest sandbox; "" if there is none."""
        directory = self._sandboxes.get((framework_id, executor_id))
        return "" if directory is None else str(directory)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """/files/browse, /files/read and /files/download."""
        return self._files.routes()

    async def close(self) -> None:
        """Ends every task, SIGKILL after `CLOSE_GRACE_S`; starts and reports nothing more."""
        self._closed = True
        for task in self._tasks.values():
            task.silence()
            task.kill(CLOSE_GRACE_S)
        if self._lives:
            _, late = await asyncio.wait(self._lives, timeout=CLOSE_S_MAX)
            for life in late:
                life.cancel()

    async def _live(self, key: Key, launch: TaskLaunch, task: ProcessTask, directory: Path) -> None:
        try:
            await task.live()
        finally:
            # A task of the same name may have been launched since.
            if self._tasks.get(key) is task:
                del self._tasks[key]
        await self._collect((launch.framework_id, launch.executor_id), directory)

    async def _collect(self, executor: Key, directory: Path) -> None:
        """Removes the oldest sandboxes when there are too many, as an agent does."""
        self._ended.append((executor, directory))
        if len(self._ended) <= self._ended_max:
            return
        oldest, run = self._ended.popleft()
        if self._sandboxes.get(oldest) == run:
            del self._sandboxes[oldest]
            run = run.parent.parent
        remove = partial(shutil.rmtree, run, ignore_errors=True)
        await asyncio.get_running_loop().run_in_executor(self._means.threads, remove)


def _failed(key: Key, message: str) -> RunnerStatus:
    return RunnerStatus(
        *key,
        mesos.TASK_FAILED,
        message,
        TaskStatus.REASON_CONTAINER_LAUNCH_FAILED,
        TaskStatus.SOURCE_AGENT,
    )


@contextlib.asynccontextmanager
async def process_runners(
    work_dir: Path, *, ended_sandboxes_max: int = ENDED_SANDBOXES_MAX
) -> AsyncIterator[RunnerFactory]:
    """Makes runners of real processes with sandboxes under `work_dir`, for one emulator.

    Leaving it ends all their tasks. Should the warden be killed, the block is cancelled and
    WardenEnded comes out in an exception group, since no task could be trusted any more.
    """
    root = await asyncio.to_thread(_made, work_dir)
    made: list[ProcessRunner] = []
    problem: Exception | None = None
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sandbox")
    try:
        async with _session() as http, asyncio.TaskGroup() as owner:
            keeper = await start_keeper(root)
            owner.create_task(keeper.listen(), name="news of the warden")
            means = Means(keeper, http, threads, Fetcher(http, threads))

            def make(index: int, on_status: Callable[[RunnerStatus], None]) -> ProcessRunner:
                runner = ProcessRunner(
                    root / f"agent-{index}", means, owner, on_status, ended_sandboxes_max
                )
                made.append(runner)
                return runner

            try:
                yield make
            except Exception as error:  # noqa: BLE001  raised again below, as it was
                problem = error
            finally:
                await asyncio.gather(*(runner.close() for runner in made))
                await keeper.close()
    finally:
        await asyncio.to_thread(threads.shutdown, cancel_futures=True)
    if problem is not None:
        raise problem


def _made(work_dir: Path) -> Path:
    work_dir.mkdir(parents=True, exist_ok=True)
    return work_dir.resolve()


def _session() -> aiohttp.ClientSession:
    """For checks and fetching; like curl it keeps neither connections nor cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )
