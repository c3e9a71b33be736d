"""A daemon's REST interface in a thread of its own, and the command line that asks it."""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from click.testing import CliRunner, Result

from scheduler.api.server import ApiServer
from scheduler.cli.main import offerd
from scheduler.core.model.ids import Role
from scheduler.jobspec import JobDefaults
from tests.api.fake_agent import FakeAgent
from tests.api.fake_front import FakeFront

HOST = "127.77.6.1"
DEFAULTS = JobDefaults(role=Role("prod"))
STARTED_S = 10.0
Offerd = Callable[..., Result]

WEB_YAML = """\
job: web
kind: service
instances: 3
command: sleep 60
resources: {cpus: 0.5, mem: 64MiB}
"""
BATCH_YAML = """\
job: count
kind: batch
instances: 2
command: "true"
resources: {cpus: 0.1, mem: 32MiB}
"""


class DaemonThread:
    """`front` over HTTP at `url`, with one agent that serves files."""

    def __init__(
        self, token: str | None = None, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.front = FakeFront()
        self.agent = FakeAgent()
        self.url = ""
        self.port = port
        self._token = token
        self._tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> "DaemonThread":
        self._thread.start()
        assert self._ready.wait(STARTED_S), "the server did not start"
        return self

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STARTED_S)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = ApiServer(
            self.front,
            defaults=DEFAULTS,
            host=HOST,
            port=self.port,
            token=self._token,
            tls=self._tls,
        )
        agent = web.AppRunner(self.agent.app(), shutdown_timeout=0.1)
        await agent.setup()
        await web.TCPSite(agent, HOST, 0).start()
        await server.start()
        self.front.agent_url = f"http://{HOST}:{agent.addresses[0][1]}"
        self.port = server.port
        self.url = f"{'http' if self._tls is None else 'https'}://{HOST}:{server.port}"
        self._ready.set()
        await self._stop.wait()
        await server.stop()
        await agent.cleanup()


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The daemon's thread shares stdout with the command here, which it never does in life."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


@pytest.fixture
def daemon() -> Iterator[DaemonThread]:
    thread = DaemonThread().start()
    yield thread
    thread.stop()


@pytest.fixture
def front(daemon: DaemonThread) -> FakeFront:
    return daemon.front


@pytest.fixture
def run(daemon: DaemonThread) -> Offerd:
    """Runs `offerd` against the daemon, in this process."""

    def run_offerd(*arguments: str, **env: str) -> Result:
        return invoke(arguments, {"OFFERD_SERVER": daemon.url} | env)

    return run_offerd


def invoke(arguments: Sequence[str], env: dict[str, str], text: str | None = None) -> Result:
    clean: dict[str, str | None] = {"OFFERD_SERVER": None, "OFFERD_TOKEN": None, "NO_COLOR": None}
    return CliRunner(env={**clean, **env}).invoke(offerd, list(arguments), input=text)


@pytest.fixture
def web_file(tmp_path: Path) -> str:
    path = tmp_path / "web.yaml"
    path.write_text(WEB_YAML)
    return str(path)
