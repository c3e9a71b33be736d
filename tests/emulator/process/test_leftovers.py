"""However the emulator ends, no process of a task is left."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scheduler.emulator.process import warden
from scheduler.emulator.process.keeping import WardenEnded
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from tests.emulator.process.agents import BOUND_S, an_agent, eventually, lives, living

TASKS = [
    "echo pid=$$ > note; exec sleep 600",
    # Ignores SIGTERM, and so do its children.
    "trap '' TERM; echo pid=$$ > note; while :; do sleep 600; done",
    # Leaves its session and its parent, as daemons do, and shows nothing of where it came from.
    "env -i setsid sh -c 'sleep 600 & echo pid=$! > note'; exec sleep 600",
]


def noted(work_dir: Path) -> set[int]:
    """The processes that tell their id, known to be theirs even without a mark."""
    texts = [one.read_text() for one in work_dir.glob("**/runs/c-*/note")]
    return {int(text.removeprefix("pid=")) for text in texts if text.endswith("\n")}


@asynccontextmanager
async def a_lone_emulator(work_dir: Path, tasks: list[str]) -> AsyncIterator[Process]:
    """In its own process; it says `running` once all tasks are."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.emulator.process.lone_emulator", str(work_dir), *tasks,
        stdout=PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def all_running(emulator: Process, work_dir: Path) -> None:
    assert emulator.stdout is not None
    async with asyncio.timeout(BOUND_S):
        assert await emulator.stdout.readline() == b"running\n"
    await eventually(lambda: len(noted(work_dir)) == len(TASKS))
    assert all(lives(pid) for pid in noted(work_dir))
    assert len(living(work_dir)) >= len(TASKS)


async def nothing_is_left(work_dir: Path, warden_pid: int) -> None:
    """The warden ends last; until then it may still be starting what it was told before."""
    await eventually(lambda: not lives(warden_pid))
    assert all_gone(work_dir)


def all_gone(work_dir: Path) -> bool:
    return not living(work_dir) and not any(lives(pid) for pid in noted(work_dir))


async def test_no_task_survives_kill_9_of_the_emulator(tmp_path: Path) -> None:
    async with a_lone_emulator(tmp_path, TASKS) as emulator:
        await all_running(emulator, tmp_path)
        [warden_pid] = warden.children_of(emulator.pid)
        emulator.kill()
        await emulator.wait()
        await nothing_is_left(tmp_path, warden_pid)


async def test_no_task_survives_kill_9_of_a_stopped_emulator(tmp_path: Path) -> None:
    async with a_lone_emulator(tmp_path, TASKS) as emulator:
        await all_running(emulator, tmp_path)
        [warden_pid] = warden.children_of(emulator.pid)
        emulator.send_signal(signal.SIGSTOP)
        emulator.kill()
        await emulator.wait()
        await nothing_is_left(tmp_path, warden_pid)


async def test_no_task_survives_kill_9_amid_many_starts(tmp_path: Path) -> None:
    many = ["echo pid=$$ > note; exec sleep 600"] * 100
    async with a_lone_emulator(tmp_path, many) as emulator:
        await eventually(lambda: len(noted(tmp_path)) > 5)
        [warden_pid] = warden.children_of(emulator.pid)
        emulator.kill()
        await emulator.wait()
        await nothing_is_left(tmp_path, warden_pid)


async def test_no_task_survives_an_interrupt_of_the_emulator(tmp_path: Path) -> None:
    async with a_lone_emulator(tmp_path, TASKS) as emulator:
        await all_running(emulator, tmp_path)
        emulator.send_signal(signal.SIGINT)
        async with asyncio.timeout(BOUND_S):
            await emulator.wait()
        assert all_gone(tmp_path)


async def test_no_zombie_is_left_while_the_emulator_runs(tmp_path: Path) -> None:
    async with an_agent(tmp_path) as agent:
        agent.launch("keeps", "exec sleep 600")
        kept = (await agent.said("keeps", mesos.TASK_RUNNING)).executor_pid
        assert kept is not None
        for number in range(20):
            agent.launch(f"t{number}", "sleep 0.01 & exit 0")
        for number in range(20):
            await agent.ended(f"t{number}")
        await eventually(lambda: warden.children_of(parent_of(kept)) == [kept])


async def test_tasks_are_asked_before_they_are_killed_at_the_end(tmp_path: Path) -> None:
    async with an_agent(tmp_path) as agent:
        agent.launch("t", "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done")
        await agent.wrote("t", "ready")
    assert "bye" in agent.stdout("t")
    assert agent.states("t") == ["TASK_STARTING", "TASK_RUNNING"]
    assert living(tmp_path) == set()


async def test_kill_9_of_the_warden_ends_the_tasks_and_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with an_agent(tmp_path) as agent:
            agent.launch("t", "sleep 600 & setsid sleep 600 & echo ready; wait")
            await agent.wrote("t", "ready")
            pid = agent.of("t")[-1].executor_pid
            assert pid is not None
            os.kill(parent_of(pid), signal.SIGKILL)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(BOUND_S):
            await run()
    assert caught.group_contains(WardenEnded)
    await eventually(lambda: all_gone(tmp_path))


async def test_an_error_of_the_emulator_comes_out_as_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        async with an_agent(tmp_path) as agent:
            agent.launch("t", "exec sleep 600")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run()
    assert living(tmp_path) == set()


async def test_only_marked_processes_of_a_folder_are_ended(tmp_path: Path) -> None:
    async with an_agent(tmp_path / "a") as one, an_agent(tmp_path / "b") as other:
        one.launch("t", "exec sleep 600")
        other.launch("t", "exec sleep 600")
        await one.wrote("t", "")
        await other.wrote("t", "")
        await asyncio.to_thread(warden.end_marked, str(tmp_path / "a"))
        await one.ended("t")
        assert len(living(tmp_path / "b")) == 1


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
