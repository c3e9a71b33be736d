"""Kills: asked for gently, insisted on in time, and always told."""

import time

from scheduler.emulator.runner import DEFAULT_KILL_GRACE_S
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import TaskStatus
from tests.emulator.process.agents import Agent, eventually, lives

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
LIFE = ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]


async def test_a_task_that_hears_sigterm_is_killed_within_its_grace(agent: Agent) -> None:
    agent.launch("t", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    await agent.wrote("t", "ready")
    agent.kill("t", 30.0)
    last = await agent.ended("t")
    assert agent.states("t") == LIFE
    assert last.message == "Command exited with status 0"
    assert "bye" in agent.stdout("t")


async def test_a_task_that_ignores_sigterm_lives_until_its_grace_is_over(agent: Agent) -> None:
    agent.launch("t", STUBBORN, "kill_policy { grace_period { nanoseconds: 600000000000 } }")
    await agent.wrote("t", "ready")
    asked = time.monotonic()
    agent.kill("t", 0.6)
    last = await agent.ended("t")
    assert time.monotonic() - asked >= 0.6
    assert agent.states("t") == LIFE
    assert last.message == "Command terminated with signal Killed"


async def test_the_grace_is_the_tasks_own_when_the_kill_has_none(agent: Agent) -> None:
    agent.launch("t", STUBBORN, "kill_policy { grace_period { nanoseconds: 3200000000 } }")
    agent.launch("u", STUBBORN)
    await agent.wrote("t", "ready")
    await agent.wrote("u", "ready")
    asked = time.monotonic()
    agent.kill("t")
    agent.kill("u")
    await agent.ended("u")
    assert time.monotonic() - asked >= DEFAULT_KILL_GRACE_S
    await agent.ended("t")
    assert time.monotonic() - asked >= 3.2
    assert agent.statuses[-1].task_id == "t"


async def test_a_second_kill_shortens_the_grace(agent: Agent) -> None:
    agent.launch("t", STUBBORN)
    await agent.wrote("t", "ready")
    agent.kill("t", 600.0)
    await agent.said("t", mesos.TASK_KILLING)
    agent.kill("t", 0.0)
    await agent.ended("t")
    assert agent.states("t") == LIFE


async def test_a_second_kill_cannot_lengthen_the_grace(agent: Agent) -> None:
    agent.launch("t", STUBBORN)
    await agent.wrote("t", "ready")
    agent.kill("t", 0.3)
    agent.kill("t", 600.0)
    await agent.ended("t")
    assert agent.states("t") == LIFE


async def test_a_kill_during_the_launch_is_told_as_such(agent: Agent) -> None:
    agent.launch("t", "true")
    agent.kill("t")
    last = await agent.ended("t")
    assert agent.states("t") == ["TASK_KILLED"]
    assert last.reason == TaskStatus.REASON_TASK_KILLED_DURING_LAUNCH
    assert last.source == TaskStatus.SOURCE_AGENT


async def test_a_kill_during_the_fork_follows_the_running(agent: Agent) -> None:
    agent.reactions[mesos.TASK_STARTING] = lambda: agent.kill("t")
    agent.launch("t", "exec sleep 600")
    await agent.ended("t")
    assert agent.states("t") == LIFE


async def test_a_kill_in_answer_to_a_status_is_told_once(agent: Agent) -> None:
    agent.reactions[mesos.TASK_RUNNING] = lambda: agent.kill("t")
    agent.launch("t", "exec sleep 600")
    await agent.ended("t")
    assert agent.states("t") == LIFE


async def test_a_kill_in_answer_to_the_end_comes_too_late(agent: Agent) -> None:
    agent.reactions[mesos.TASK_FINISHED] = lambda: agent.kill("t")
    agent.launch("t", "true")
    await agent.ended("t")
    assert agent.states("t") == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


async def test_unknown_and_ended_tasks_are_passed_over(agent: Agent) -> None:
    agent.kill("never")
    agent.launch("t", "true")
    await agent.ended("t")
    agent.kill("t")
    agent.launch("u", "true")
    await agent.ended("u")
    assert agent.states("t")[-1] == "TASK_FINISHED"
    assert len(agent.statuses) == 6


async def test_a_kill_reaches_the_children_of_a_shell(agent: Agent) -> None:
    agent.launch("t", "sleep 600 & echo pid=$!; wait")
    await agent.wrote("t", "pid=")
    child = int(agent.stdout("t").removeprefix("pid="))
    agent.kill("t", 30.0)
    await agent.ended("t")
    await eventually(lambda: not lives(child))


async def test_a_kill_reaches_a_child_with_a_session_of_its_own(agent: Agent) -> None:
    agent.launch("t", "setsid sh -c 'echo pid=$$; exec sleep 600' & wait")
    await agent.wrote("t", "pid=")
    child = int(agent.stdout("t").removeprefix("pid="))
    agent.kill("t", 30.0)
    await agent.ended("t")
    await eventually(lambda: not lives(child))


async def test_what_a_task_leaves_behind_ends_with_it(agent: Agent) -> None:
    group = "sleep 600 & echo group=$!;"
    daemon = "setsid sh -c 'setsid sleep 600 & echo daemon=$!';"
    agent.launch("t", f"{group} {daemon} exit 0")
    agent.launch("other", "exec sleep 600")
    assert (await agent.ended("t")).state == mesos.TASK_FINISHED
    pids = [int(line.partition("=")[2]) for line in agent.stdout("t").splitlines()]
    assert len(pids) == 2
    await eventually(lambda: not any(lives(pid) for pid in pids))
    assert agent.states("other")[-1] != "TASK_FAILED"
