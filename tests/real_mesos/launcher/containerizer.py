"""`mesos-containerizer launch`: starts one container, as the posix launcher asks for it.

The agent writes the container's description into the environment, moves the process where it
belongs, and gives its go-ahead over a pipe. Then the command runs as a child, and its wait status
is written where a restarted agent looks for it. No isolation of any kind, no images, no volumes,
no capabilities, no rlimits: it is not an oracle for any of those.
"""

import json
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

VARIABLE_PREFIX = "MESOS_CONTAINERIZER_"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FORWARDED_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# A wait status, as waitpid gives it: exit code 1.
STATUS_NEVER_STARTED = 1 << 8


def main() -> NoReturn:
    """Runs the container to its end, with the command's exit code as its own."""
    if sys.argv[1:2] != ["launch"]:
        sys.exit('mesos-containerizer: only "launch" is supported')
    launch_info = json.loads(os.environ[VARIABLE_PREFIX + "LAUNCH_INFO"])
    status_fd = _open_status_file()
    if not _agent_says_go():
        _finish(status_fd, STATUS_NEVER_STARTED)
    pid = os.fork()
    if pid == 0:
        _become(launch_info)
    _forward_signals(pid)
    # PEP 475: a signal handler that returns does not end the wait.
    _, status = os.waitpid(pid, 0)
    _finish(status_fd, status)


def _open_status_file() -> int | None:
    runtime_directory = os.environ.get(VARIABLE_PREFIX + "RUNTIME_DIRECTORY")
    if not runtime_directory:
        return None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.open(f"{runtime_directory}/status", flags, 0o644)


def _agent_says_go() -> bool:
    """Waits for a byte from the agent; False if the agent went away without one."""
    read_fd = os.environ.get(VARIABLE_PREFIX + "PIPE_READ")
    write_fd = os.environ.get(VARIABLE_PREFIX + "PIPE_WRITE")
    if not read_fd or not write_fd:
        return True
    os.close(int(write_fd))
    go = os.read(int(read_fd), 1) != b""
    os.close(int(read_fd))
    return go


def _become(launch_info: dict[str, Any]) -> NoReturn:
    """Replaces this (child) process by the container's command."""
    variables = launch_info.get("environment", {}).get("variables", [])
    environment = {each["name"]: each["value"] for each in variables if "value" in each}
    environment.setdefault("PATH", DEFAULT_PATH)
    command = launch_info["command"]
    try:
        if launch_info.get("working_directory"):
            os.chdir(launch_info["working_directory"])
        if command.get("shell", True):
            os.execve("/bin/sh", ["sh", "-c", command["value"]], environment)
        arguments = command.get("arguments") or [command["value"]]
        os.execvpe(command["value"], arguments, environment)
    except (OSError, KeyError) as error:
        print(f"mesos-containerizer: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def _forward_signals(pid: int) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(pid, number)

    for number in FORWARDED_SIGNALS:
        signal.signal(number, forward)


def _finish(status_fd: int | None, status: int) -> NoReturn:
    if status_fd is not None:
        os.write(status_fd, str(status).encode())
        os.fsync(status_fd)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


if __name__ == "__main__":
    main()
