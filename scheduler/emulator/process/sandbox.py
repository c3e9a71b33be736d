"""A task's sandbox, its environment and its arguments, as a Mesos agent makes them.

Files and values only; it starts nothing. Every function that touches the disk may block and is
called on a thread by `task`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scheduler.emulator.process.launch_failed import LaunchFailed
from scheduler.emulator.runner import TaskLaunch
from scheduler.mesos.proto.mesos_v1_pb2 import CommandInfo, Environment, Secret

KEPT_VARIABLES: Final = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR",
)  # fmt: skip
"""What a task sees of the emulator's own environment: nothing that may hold a secret."""
PATH_DEFAULT: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHUTDOWN_GRACE: Final = "5secs"


def path_of(work_dir: Path, launch: TaskLaunch) -> Path:
    """Where the sandbox of a launch is; raises LaunchFailed for ids that are no folder names."""
    ids = (launch.agent_id, launch.framework_id, launch.executor_id, launch.container_id)
    for one in ids:
        if one in ("", ".", "..") or "/" in one or "\0" in one:
            raise LaunchFailed(f"{one!r} can't name a folder of the sandbox")
    agent, framework, executor, container = ids
    framework_dir = work_dir / "slaves" / agent / "frameworks" / framework
    return framework_dir / "executors" / executor / "runs" / container


def make(directory: Path) -> None:
    """Makes the folder with empty stdout and stderr, and points `runs/latest` to it."""
    directory.mkdir(parents=True)
    for name in ("stdout", "stderr"):
        (directory / name).touch()
    latest = directory.with_name("latest")
    try:
        latest.symlink_to(directory.name)
    except FileExistsError:  # of an earlier run; there must be no moment without it
        fresh = directory.with_name(f"latest.{directory.name}")
        fresh.symlink_to(directory.name)
        fresh.replace(latest)


def environment_of(
    launch: TaskLaunch, directory: Path, own: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """A clean base, Mesos' variables, then the task's; "last one wins"."""
    roles = [one.allocation_info.role for one in launch.task.resources if one.allocation_info.role]
    return {
        "PATH": PATH_DEFAULT,
        **{name: own[name] for name in KEPT_VARIABLES if name in own},
        "MESOS_SANDBOX": str(directory),
        "MESOS_DIRECTORY": str(directory),
        "MESOS_FRAMEWORK_ID": launch.framework_id,
        "MESOS_EXECUTOR_ID": launch.executor_id,
        "MESOS_SLAVE_ID": launch.agent_id,
        "MESOS_SLAVE_PID": f"slave(1)@{launch.endpoint}",
        "MESOS_AGENT_ENDPOINT": launch.endpoint,
        "MESOS_CHECKPOINT": "1" if launch.framework.checkpoint else "0",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": SHUTDOWN_GRACE,
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        **({"MESOS_ALLOCATION_ROLE": roles[0]} if roles else {}),
        **variables_of(launch.task.command),
    }


def variables_of(command: CommandInfo) -> dict[str, str]:
    """The variables of a command; a secret is known only if its value is part of the launch."""
    return {one.name: _value_of(one) for one in command.environment.variables}


def _value_of(variable: Environment.Variable) -> str:
    if variable.type != Environment.Variable.SECRET:
        return variable.value
    if variable.secret.type != Secret.VALUE:
        raise LaunchFailed(f"{variable.name}: the emulator has no secret resolver")
    return os.fsdecode(variable.secret.value.data)


def arguments_of(command: CommandInfo) -> tuple[str, list[str]]:
    """The program and its argv: "shell: value is run by /bin/sh -c; else value is the program,
    arguments is argv incl. argv[0]"."""
    if not command.value:
        raise LaunchFailed("the command has no value")
    if command.shell:
        return "/bin/sh", ["sh", "-c", command.value]
    return command.value, list(command.arguments) or [command.value]
