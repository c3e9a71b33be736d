"""Child processes of a cluster: started with a log of their own, ended by process id only.

A `Child` ends when this process does, since the node watches its standard input. What an agent
started (executors, tasks) is found by the sandbox path in its environment.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

END_DEADLINE_S = 5.0
LOG_TAIL_BYTES = 2_000
# libprocess and the flag parser read these, so a developer's own must not get in.
FOREIGN_PREFIXES = ("MESOS_", "LIBPROCESS_", "SSL_", "NODE_")


class Child:
    """One process that this process started; `started_at` is wall time in seconds."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], run_dir: Path
    ) -> None:
        self.name = name
        self.log = run_dir / f"{name}.log"
        self.paused = False
        self.started_at = time.time()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_PREFIXES)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**inherited, **environment, "NODE_ENDS_WITH_STDIN": "1"},
                cwd=run_dir,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process has not ended; a paused one is alive."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if the process still lives."""
        if self.alive():
            self._process.send_signal(number)

    def pause(self) -> None:
        """Stops the process where it stands, as a machine that hangs does."""
        self.paused = True
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused process go on."""
        self.paused = False
        self.send(signal.SIGCONT)

    def wait(self, deadline_s: float = END_DEADLINE_S) -> bool:
        """Waits for the end; False if the process still lives after `deadline_s`."""
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        self._process.kill()
        self._process.wait(END_DEADLINE_S)
        stdin: IO[bytes] | None = self._process.stdin
        if stdin is not None:
            stdin.close()

    def log_tail(self) -> str:
        """The last lines of what the process said."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")


def kill_strays(run_dir: Path) -> None:
    """Kills what agents under `run_dir` started, again and again until nothing new appears."""
    deadline = time.monotonic() + END_DEADLINE_S
    while found := strays(run_dir):
        for pid in found:
            _kill(pid)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of {run_dir} do not end: {found}")
        time.sleep(0.02)


def strays(run_dir: Path) -> list[int]:
    """Process ids whose environment names a sandbox under `run_dir`."""
    marks = tuple(f"{name}={run_dir}/".encode() for name in ("MESOS_SANDBOX", "MESOS_DIRECTORY"))
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _has_mark(entry, marks)
    ]


def _has_mark(process: Path, marks: tuple[bytes, ...]) -> bool:
    try:
        environment = (process / "environ").read_bytes()
    except OSError:  # it ended, or it is not ours to look at
        return False
    return any(variable.startswith(marks) for variable in environment.split(b"\0"))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
