"""The daemon as its users run it: a child process with a settings file, a log and an API.

A `DaemonProcess` may be started, killed and started again; its store, its log and its port stay.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.rest import RestClient
from tests.support.waiting import wait_until

START_DEADLINE_S: Final = 20.0
STOP_DEADLINE_S: Final = 10.0
END_DEADLINE_S: Final = 60.0
"""For one that ends by itself: it has to start first, on a machine that may be busy."""
COMMAND_DEADLINE_S: Final = 60.0
LOG_TAIL_BYTES: Final = 6_000
PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = f"127.77.7.{1 + os.getpid() % 250}"
OFFERD: Final = (sys.executable, "-m", "scheduler.cli.main")

Settings = Mapping[str, Any]


def free_port(host: str = HOST) -> int:
    """A port that nobody listens on now. Nobody else uses this process's address."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class DaemonProcess:
    """`offerd run` in a folder of its own. `settings` is what the file holds beside the address
    to listen on and the store, as a mapping. `host` and `port` are where it listens: at a free port
    of this process's own address, where nothing is said. `token` is what it asks users for, and
    `inside` what its command begins with."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        host: str = HOST,
        port: int | None = None,
        token: str | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = folder / "offerd.db"
        self.log = folder / "daemon.log"
        self.errors = folder / "daemon.err"
        self.port = free_port() if port is None else port
        self.url = f"http://{host}:{self.port}"
        self.api = RestClient(host, self.port, token=token)
        self._address = f"{host}:{self.port}"
        self._inside = inside
        self._file = folder / "offerd.yaml"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill9()

    def configure(self, settings: Settings) -> None:
        """Writes the settings file anew, for the next start."""
        # JSON is YAML.
        complete = {"listen": self._address, "store": f"sqlite:{self.store}", **settings}
        self._file.write_text(json.dumps(complete, indent=1))

    def start(self) -> Self:
        """Starts it and returns when the API answers that it leads."""
        self.spawn()
        wait_until(self._ready, "the daemon to be ready", START_DEADLINE_S)
        return self

    def spawn(self) -> None:
        """Starts it without waiting for anything."""
        assert self._process is None, "it runs already"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OFFERD_")}
        with self.log.open("ab") as log, self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [*self._inside, *OFFERD, "run", "-c", str(self._file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                cwd=PROJECT_ROOT,
                env=inherited,
            )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill9(self) -> None:
        """SIGKILL, and waits until the process is gone. Does nothing where none runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_DEADLINE_S)

    def sigterm(self) -> int:
        """SIGTERM; the exit code. Raises TimeoutExpired when it takes longer than it may."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait_for_end(STOP_DEADLINE_S)

    def wait_for_end(self, deadline_s: float = END_DEADLINE_S) -> int:
        """The exit code of a daemon that ends by itself, or was told to."""
        assert self._process is not None
        code = self._process.wait(deadline_s)
        self._process = None
        return code

    def wait_until_connected(self, deadline_s: float = 20.0) -> str:
        """Returns the framework id when the daemon has subscribed and holds a stored id."""

        def connected() -> str:
            status = self.api.status()
            assert status["connected"], status
            framework_id: str = status["framework_id"]
            return framework_id

        return wait_until(connected, "the daemon to be connected", deadline_s)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `offerd ARGUMENTS` against this daemon."""
        return self._run("--server", self.url, *arguments)

    def store_command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `offerd NAME ARGUMENTS` on this daemon's store, with its settings."""
        return self._run(name, "-c", str(self._file), *arguments)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*OFFERD, *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
            cwd=PROJECT_ROOT,
        )

    def said(self) -> str:
        """What went to standard error: the words for whoever started it."""
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""

    def log_tail(self) -> str:
        """The end of log and errors, to be shown with a test that failed."""
        files = [file for file in (self.log, self.errors) if file.exists()]
        ends = [file.read_bytes()[-LOG_TAIL_BYTES:] for file in files]
        return "\n".join(end.decode(errors="replace") for end in ends)

    def _ready(self) -> bool:
        if not self.alive():
            raise RuntimeError(f"the daemon ended: {self.log_tail()}")
        return bool(self.api.get("/readyz"))
