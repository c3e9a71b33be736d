"""The two masters that every scenario runs against, behind one interface.

Neither is imported by the other: `RealMaster` drives a `RealCluster`, `EmulatedMaster` a process
of the emulator. What one of them cannot do it says in `lacks`.
"""

import contextlib
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from tests.real_mesos.cluster import RealCluster
from tests.real_mesos.nodes import FRAMEWORK_CREDENTIAL, Credential
from tests.support.waiting import wait_until

AGENTS: Final = 3
REQUEST_DEADLINE_S: Final = 10.0
START_DEADLINE_S: Final = 20.0
EMULATOR_HOST: Final = "127.77.8.1"
PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]

Document = dict[str, Any]


class Master(Protocol):
    """A cluster of three agents whose frameworks have to authenticate with `credential`."""

    name: str
    credential: Credential
    lacks: frozenset[str]

    @property
    def url(self) -> str: ...

    def state(self) -> Document: ...

    def metrics(self) -> dict[str, float]: ...

    def tear_down(self, framework_id: str) -> None:
        """What an operator does to end a framework and its tasks for good."""
        ...

    def fail_over(self) -> None:
        """The master dies (SIGKILL) and another comes, at the same address."""
        ...

    def lose_agent(self, index: int) -> None:
        """The agent is gone; what it runs goes on. Unreachable after 5 s."""
        ...

    def return_agent(self, index: int) -> None:
        """The same agent is back, with its tasks."""
        ...

    def replace_agent(self, index: int) -> None:
        """The agent is gone with all that it ran, and a new one comes in its place."""
        ...

    def index_of(self, agent_id: str) -> int:
        """Which agent that is."""
        ...

    def stop(self) -> None: ...


class RealMaster:
    """Apache Mesos."""

    name = "real"
    credential = FRAMEWORK_CREDENTIAL
    lacks: frozenset[str] = frozenset()

    def __init__(self, build: Path, run_dir: Path) -> None:
        self._cluster = RealCluster(build, run_dir)
        # A scenario has a role of its own at times; agents leave room for all of them.
        self._cluster.start(AGENTS, auth=True, cpus=16, mem=8192)

    @property
    def url(self) -> str:
        return self._cluster.master_url

    def state(self) -> Document:
        return self._cluster.state()

    def metrics(self) -> dict[str, float]:
        return self._cluster.metrics()

    def tear_down(self, framework_id: str) -> None:
        tear_down(self.url, framework_id)

    def fail_over(self) -> None:
        self._cluster.kill_master()
        self._cluster.restart_master()

    def lose_agent(self, index: int) -> None:
        self._cluster.kill_agent(index)

    def return_agent(self, index: int) -> None:
        self._cluster.restart_agent(index)

    def replace_agent(self, index: int) -> None:
        self._cluster.restart_agent(index, fresh=True)

    def index_of(self, agent_id: str) -> int:
        for index in range(AGENTS):
            agent = self._cluster.agent(index)
            if agent is not None and agent["id"] == agent_id:
                return index
        raise LookupError(agent_id)

    def stop(self) -> None:
        self._cluster.stop()


class EmulatedMaster:
    """The project's emulator in a process of its own. `more` are further options of the emulator,
    or others than those here: with `simulate` tasks are timers, else real processes."""

    name = "emulated"
    credential = FRAMEWORK_CREDENTIAL
    lacks = frozenset({"new agents"})

    def __init__(self, run_dir: Path, more: Document | None = None) -> None:
        options: Document = {
            "host": EMULATOR_HOST,
            "agents": AGENTS,
            "cpus": 16,
            "racks": AGENTS,
            "allocation_interval_s": 0.2,
            "agent_ping_timeout_s": 1.0,
            "update_retry_s": 2.0,
            "frameworks": {self.credential.principal: self.credential.secret},
            "work_dir": str(run_dir / "work"),
            **(more or {}),
        }
        self._errors = (run_dir / "emulator.err").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scheduler.emulator.main", json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=PROJECT_ROOT,
        )
        assert self._process.stdout is not None
        where = json.loads(self._process.stdout.readline())
        self.url = f"http://{where['host']}:{where['port']}"
        wait_until(self.state, "the emulator to answer", START_DEADLINE_S)

    def state(self) -> Document:
        return self._get("/state")

    def metrics(self) -> dict[str, float]:
        return self._get("/metrics/snapshot")

    def account(self) -> dict[str, Document]:
        """What its judge says of every task that was ever launched, by task id."""
        return self._get("/emulator/tasks")

    def tear_down(self, framework_id: str) -> None:
        call = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": framework_id}}}
        headers = {"Content-Type": "application/json"}
        _ask(self.url, "POST", "/api/v1", json.dumps(call), headers)

    def fail_over(self) -> None:
        _ask(self.url, "POST", "/emulator/failover?recovering=1", None, {})

    def lose_agent(self, index: int) -> None:
        _ask(self.url, "POST", f"/emulator/agents/{index}/lose", None, {})

    def return_agent(self, index: int) -> None:
        _ask(self.url, "POST", f"/emulator/agents/{index}/return", None, {})

    def replace_agent(self, index: int) -> None:
        raise NotImplementedError("an emulated agent keeps its disk")

    def index_of(self, agent_id: str) -> int:
        agents = self.state()["slaves"]
        found = next(agent for agent in agents if agent["id"] == agent_id)
        return int(found["attributes"]["rack"].removeprefix("r"))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(REQUEST_DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _get(self, path: str) -> Document:
        assert self._process.poll() is None, "the emulator ended"
        document: Document = json.loads(_ask(self.url, "GET", path, None, {}))
        return document


def tear_down(master_url: str, framework_id: str) -> None:
    """What an operator does: POST /teardown."""
    _ask(master_url, "POST", "/teardown", f"frameworkId={framework_id}", {})


def _ask(url: str, method: str, path: str, body: str | None, headers: dict[str, str]) -> bytes:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=REQUEST_DEADLINE_S)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 202), f"{method} {path}: {response.status} {answer!r}"
        return answer
