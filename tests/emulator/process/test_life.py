"""The life of a task as a framework hears of it, and what a task finds when it starts."""

import asyncio
import os
from pathlib import Path

import uvloop

from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import TaskInfo, TaskStatus
from tests.emulator.process.agents import (
    AGENT,
    FRAMEWORK,
    HOST,
    Agent,
    a_launch,
    a_task,
    an_agent,
    eventually,
)

STARTING, RUNNING, FINISHED, FAILED = (
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_FINISHED",
    "TASK_FAILED",
)


async def test_a_command_that_succeeds_starts_runs_and_finishes(agent: Agent) -> None:
    agent.launch("t", "echo said; echo complained >&2")
    last = await agent.ended("t")
    assert agent.states("t") == [STARTING, RUNNING, FINISHED]
    assert last.message == "Command exited with status 0"
    assert last.source == TaskStatus.SOURCE_EXECUTOR
    assert last.reason is None
    assert last.healthy is None
    assert agent.of("t")[1].executor_pid is not None
    assert agent.stdout("t") == "said\n"
    assert (agent.sandbox("t") / "stderr").read_text() == "complained\n"


async def test_a_command_that_fails_tells_its_status(agent: Agent) -> None:
    agent.launch("t", "exit 3")
    last = await agent.ended("t")
    assert (last.state, last.message) == (mesos.TASK_FAILED, "Command exited with status 3")


async def test_a_command_that_dies_by_a_signal_tells_which(agent: Agent) -> None:
    agent.launch("t", "kill -SEGV $$")
    last = await agent.ended("t")
    assert last.state == mesos.TASK_FAILED
    assert last.message == "Command terminated with signal Segmentation fault"


async def test_argv_is_given_as_it_is_with_a_name_of_its_own(agent: Agent) -> None:
    task = a_task("t", "/bin/sh", "command { shell: false }")
    task.command.arguments.extend(["named", "-c", 'echo "$0" "$1" "$2"', "a b", "$HOME", "c"])
    agent.runner.launch(a_launch(task))
    await agent.ended("t")
    assert agent.stdout("t") == "a b $HOME c\n"


async def test_a_program_is_found_by_path_and_needs_no_arguments(agent: Agent) -> None:
    agent.launch("t", "pwd", "command { shell: false }")
    await agent.ended("t")
    assert agent.stdout("t") == f"{agent.sandbox('t')}\n"


async def test_the_environment_holds_what_mesos_gives_and_the_task_wants(agent: Agent) -> None:
    more = (
        "command { environment {"
        ' variables { name: "PORT0" value: "31005" }'
        ' variables { name: "LANG" value: "of the task" }'
        ' variables { name: "TOKEN" type: SECRET secret { type: VALUE value { data: "s3" } } }'
        "} }"
        ' resources { name: "cpus" type: SCALAR scalar { value: 1 }'
        ' allocation_info { role: "prod" } }'
    )
    agent.launch("t", "env", more)
    await agent.ended("t")
    variables = dict(line.split("=", 1) for line in agent.stdout("t").splitlines())
    sandbox = str(agent.sandbox("t"))
    assert variables["PATH"]
    wanted = {
        "MESOS_SANDBOX": sandbox,
        "MESOS_DIRECTORY": sandbox,
        "MESOS_FRAMEWORK_ID": FRAMEWORK,
        "MESOS_EXECUTOR_ID": "t",
        "MESOS_SLAVE_ID": AGENT,
        "MESOS_SLAVE_PID": f"slave(1)@{HOST}:5051",
        "MESOS_AGENT_ENDPOINT": f"{HOST}:5051",
        "MESOS_ALLOCATION_ROLE": "prod",
        "MESOS_CHECKPOINT": "1",
        "PORT0": "31005",
        "LANG": "of the task",
        "TOKEN": "s3",
    }
    assert wanted.items() <= variables.items()


async def test_nothing_else_of_the_emulators_environment_reaches_a_task(agent: Agent) -> None:
    agent.launch("t", "env")
    await agent.ended("t")
    names = {line.split("=")[0] for line in agent.stdout("t").splitlines()}
    assert not any(name.startswith(("PYTEST", "VIRTUAL_ENV", "OFFERD")) for name in names)


async def test_the_sandbox_lies_where_an_agent_has_it(agent: Agent, tmp_path: Path) -> None:
    agent.launch("t", "touch made")
    await agent.ended("t")
    framework = tmp_path / "agent-0/slaves" / AGENT / "frameworks" / FRAMEWORK
    runs = framework / "executors" / "t" / "runs"
    assert agent.sandbox("t") == runs / "c-t"
    assert sorted(one.name for one in (runs / "latest").iterdir()) == ["made", "stderr", "stdout"]


async def test_latest_follows_the_runs_of_an_executor(agent: Agent) -> None:
    agent.runner.launch(a_launch(a_task("t", "true"), "c1"))
    await agent.ended("t")
    agent.statuses.clear()
    agent.runner.launch(a_launch(a_task("t", "true"), "c2"))
    await agent.ended("t")
    assert agent.sandbox("t").name == "c2"
    assert (agent.sandbox("t").parent / "latest").resolve() == agent.sandbox("t")


async def test_the_oldest_sandboxes_of_ended_tasks_are_removed(tmp_path: Path) -> None:
    async with an_agent(tmp_path, ended_sandboxes_max=2) as agent:
        agent.launch("alive", "exec sleep 600")
        first = None
        for name in ("t1", "t2", "t3"):
            agent.launch(name, "true")
            await agent.ended(name)
            first = first or agent.sandbox(name)
        assert first is not None
        await eventually(lambda: not os.path.exists(first.parent.parent))
        assert agent.runner.directory(FRAMEWORK, "t1") == ""
        assert all(agent.sandbox(name).is_dir() for name in ("alive", "t2", "t3"))


async def test_a_program_that_is_not_there_fails_the_launch(agent: Agent) -> None:
    agent.launch("t", "no-such-program", "command { shell: false }")
    last = await agent.ended("t")
    assert last.state == mesos.TASK_FAILED
    assert last.reason == TaskStatus.REASON_CONTAINER_LAUNCH_FAILED
    assert "no-such-program" in last.message
    assert RUNNING not in agent.states("t")


async def test_what_is_not_emulated_is_refused_and_told(agent: Agent) -> None:
    image = 'image { type: DOCKER docker { name: "alpine" } }'
    agent.launch("ucr", "true", f"container {{ type: MESOS mesos {{ {image} }} }}")
    agent.launch("docker", "true", 'container { type: DOCKER docker { image: "alpine" } }')
    secret = 'secret { type: REFERENCE reference { name: "vault" } }'
    agent.launch(
        "secret",
        "true",
        f'command {{ environment {{ variables {{ name: "T" type: SECRET {secret} }} }} }}',
    )
    for task_id in ("ucr", "docker", "secret"):
        last = await agent.ended(task_id)
        assert agent.states(task_id) == [FAILED]
        assert last.reason == TaskStatus.REASON_CONTAINER_LAUNCH_FAILED
        assert last.source == TaskStatus.SOURCE_AGENT
        assert "emulator" in last.message


async def test_an_id_that_would_lead_out_of_the_work_folder_is_refused(
    agent: Agent, tmp_path: Path
) -> None:
    agent.runner.launch(a_launch(a_task("t", "true"), "../" * 10 + "out"))
    assert (await agent.ended("t")).reason == TaskStatus.REASON_CONTAINER_LAUNCH_FAILED
    assert not (tmp_path.parent / "out").exists()
    assert agent.runner.directory(FRAMEWORK, "t") == ""


async def test_a_nul_byte_in_a_command_fails_only_its_task(agent: Agent) -> None:
    agent.launch("bad", "echo \0")
    agent.launch("good", "true")
    assert (await agent.ended("bad")).state == mesos.TASK_FAILED
    assert (await agent.ended("good")).state == mesos.TASK_FINISHED


async def test_max_completion_time_ends_a_task_at_once(agent: Agent) -> None:
    stubborn = "trap 'echo asked' TERM; while :; do sleep 0.1; done"
    agent.launch("t", stubborn, "max_completion_time { nanoseconds: 300000000 }")
    last = await agent.ended("t")
    assert agent.states("t") == [STARTING, RUNNING, FAILED]
    assert last.reason == TaskStatus.REASON_MAX_COMPLETION_TIME_REACHED
    assert "asked" not in agent.stdout("t")


async def test_two_hundred_tasks_at_once_finish_once_each(agent: Agent) -> None:
    names = [f"t{number}" for number in range(200)]
    for name in names:
        agent.launch(name, "exit 0")
    await eventually(lambda: sum(s.state == mesos.TASK_FINISHED for s in agent.statuses) == 200)
    assert len(agent.statuses) == 600
    assert all(agent.states(name) == [STARTING, RUNNING, FINISHED] for name in names)


def test_tasks_run_under_uvloop_as_well(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with an_agent(tmp_path) as agent:
            agent.launch("t", "exit 0")
            await agent.ended("t")
            return agent.states("t")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == [STARTING, RUNNING, FINISHED]


async def test_a_custom_executor_is_refused(agent: Agent) -> None:
    task = TaskInfo(name="t")
    task.task_id.value = "t"
    task.agent_id.value = AGENT
    task.executor.executor_id.value = "own"
    task.executor.command.value = "./executor"
    agent.runner.launch(a_launch(task))
    assert "executor" in (await agent.ended("t")).message
