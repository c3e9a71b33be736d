"""The processes of a benchmark, daemon, load master and others, and how they end.

All end with their context, with the one who started them (even if that is killed), and every wait
has a deadline. What goes wrong is a `BenchmarkFailed` that says what the child said last.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

HOST: Final = "127.77.9.1"
START_DEADLINE_S: Final = 30.0
WAVE_DEADLINE_S: Final = 120.0
END_DEADLINE_S: Final = 10.0
REQUEST_DEADLINE_S: Final = 30.0
POLL_S: Final = 0.02
LOG_TAIL: Final = 2_000
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
PROJECT_ROOT: Final = Path(__file__).resolve().parents[1]
PR_SET_PDEATHSIG: Final = 1
PYTHON: Final = (sys.executable, "-m")

Document = dict[str, Any]


class BenchmarkFailed(Exception):
    """The work was not done, so there is no time to tell."""


class Wave(NamedTuple):
    """`seconds` to the last acknowledgement, and the load master's own `cpu_s` in them."""

    updates: int
    seconds: float
    cpu_s: float


class Takeover(NamedTuple):
    """When the first ACCEPT came (monotonic), and the load master's CPU until then."""

    accepted_at: float
    cpu_s: float


class Child:
    """A process with its own log file. `log` is shown where it fails."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"the {self.name} was not started"
        return self._process

    def start(
        self, *command: str, stdout: int = subprocess.DEVNULL, stdin: int = subprocess.DEVNULL
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OFFERD_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=log,
                cwd=PROJECT_ROOT,
                env=inherited,
                bufsize=0,
                preexec_fn=_end_with_parent,
            )

    def check(self) -> None:
        """Raises when the child has ended."""
        code = self.process.poll()
        if code is not None:
            raise self.failed(f"ended with {code}")

    def failed(self, what: str) -> BenchmarkFailed:
        said = self.log.read_text(errors="replace")[-LOG_TAIL:].strip() if self.log.exists() else ""
        return BenchmarkFailed(f"the {self.name} {what}\n{said}".strip())

    def cpu_s(self) -> float:
        """User and system time of the process so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def rss_bytes(self) -> int:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * PAGE_BYTES

    def kill9(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(END_DEADLINE_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill9()


class LoadMaster(Child):
    """See load_master.py."""

    def __init__(self, folder: Path, agents: int, tasks: int) -> None:
        super().__init__("load master", folder / "load_master.err")
        self.start(
            *(*PYTHON, "benchmarks.load_master", "--host", HOST),
            *("--agents", str(agents), "--tasks", str(tasks)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = int(self._line(START_DEADLINE_S, self)["listening"])

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def wave(self, scheduler: Child) -> Wave:
        """Waits until the wave that is under way has been acknowledged."""
        line = self._line(WAVE_DEADLINE_S, self, scheduler)
        return Wave(line["updates"], line["seconds"], line["cpu_s"])

    def storm(self, scheduler: Child) -> Wave:
        """Sends TASK_FINISHED of every task at once, and waits."""
        self._tell("storm")
        return self.wave(scheduler)

    def trickle(self, updates: int, pause_ms: int) -> None:
        """Begins to send TASK_FINISHED of so many tasks, one each `pause_ms`."""
        self._tell(f"trickle {updates} {pause_ms}")

    def offer(self, agents: int, tasks: int, an_event: int, pause_ms: int = 0) -> None:
        """Offers so many agents more, each with room for `tasks`, of which nothing will be said;
        `an_event` of them at once, and then a pause."""
        self._tell(f"offer {agents} {tasks} {an_event} {pause_ms}")

    def next_word(self, scheduler: Child) -> Document:
        """What it says next, see load_master.py."""
        return self._line(WAVE_DEADLINE_S, self, scheduler)

    def _tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())

    def takeover(self, heir: Child) -> Takeover:
        """Waits until an instance that took over has launched what waited, and has asked about all
        tasks."""
        line = self._line(WAVE_DEADLINE_S, self, heir)
        return Takeover(line["accepted"], line["cpu_s"])

    def _line(self, deadline_s: float, *alive: Child) -> Document:
        pipe = self.process.stdout
        assert pipe is not None
        _wait_until(
            lambda: bool(select.select([pipe], [], [], POLL_S)[0]),
            f"a word of the {self.name}",
            deadline_s,
            *(child for child in alive if child is not self),
        )
        line = pipe.readline()
        if not line:
            self.process.wait(END_DEADLINE_S)
            raise self.failed(f"ended with {self.process.returncode}")
        document: Document = json.loads(line)
        return document


class Daemon(Child):
    """`offerd run` with a store of its own or a shared one; may be killed and started again.

    `store` is a setting; `instance` tells daemons on one etcd apart; `program` is the module that
    is run, with its own arguments before the daemon's.
    """

    def __init__(
        self,
        folder: Path,
        master_port: int,
        store: str,
        instance: str = "only",
        program: Sequence[str] = ("scheduler.cli.main",),
    ) -> None:
        super().__init__("daemon", folder / f"{instance}.log")
        self._program = program
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._settings = folder / f"{instance}.yaml"
        settings = {
            "master": f"http://{HOST}:{master_port}",
            "store": store,
            "listen": f"{HOST}:{self.port}",
            "instance": instance,
            "advertise": self.url,
            "framework": {"user": "nobody", "name": "benchmark"},
        }
        self._settings.write_text(json.dumps(settings))  # JSON is YAML

    def run(self) -> None:
        """Starts it and waits for nothing."""
        self.start(*PYTHON, *self._program, "run", "-c", str(self._settings))

    def stop(self) -> None:
        """SIGTERM; returns when it has ended as it should."""
        self.process.terminate()
        code = self.process.wait(END_DEADLINE_S)
        if code:
            raise self.failed(f"ended with {code} when it was told to stop")
        self.kill9()

    def wait_until_connected(self) -> None:
        self.wait_for(lambda status: bool(status["connected"]), "to be connected")

    def wait_for(self, condition: Callable[[Document], bool], what: str) -> None:
        """Waits until a condition holds of what `/v1/status` says."""

        def holds() -> bool:
            with contextlib.suppress(OSError):  # it does not listen yet
                if condition(self._ask("/v1/status")):
                    return True
            time.sleep(POLL_S)
            return False

        _wait_until(holds, f"the {self.name} {what}", START_DEADLINE_S, self)

    def apply(self, job: Document) -> None:
        try:
            self._ask("/v1/jobs", json.dumps(job).encode())
        except OSError as error:
            raise self.failed(f"did not take the job: {error}") from error

    def _ask(self, path: str, body: bytes | None = None) -> Document:
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=REQUEST_DEADLINE_S) as answer:
            found: Document = json.load(answer)
            return found


def _wait_until(condition: Callable[[], bool], what: str, deadline_s: float, *alive: Child) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        for child in alive:
            child.check()
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"waited {deadline_s:g} s for {what}")


def _end_with_parent() -> None:
    """In the child, before it becomes another program: the kernel kills it with its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
