"""The masters that a stage is played against, each with an account of tasks that is its own.

The emulator keeps one of every task that its agents ever ran. Of Apache Mesos it is the operator
API's event stream, from whichever master leads.
"""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from tests.faults.evidence import Life, Update
from tests.faults.taps import HOST, Tap, Taps
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import ASKING_FAILED, RealCluster
from tests.support.cluster_state import TERMINAL, FrameworkState
from tests.support.masters import EmulatedMaster
from tests.support.zookeeper import SILENT, ensure_zookeeper

AGENTS: Final = 5
MASTERS: Final = 2
LOOK_S: Final = 0.05
STREAM_SILENT_S_MAX: Final = 30.0
END_S: Final = 10.0
SESSION_S: Final = 5
"""Of masters in ZooKeeper: after so long the next one leads."""

Document = dict[str, Any]


class Way(NamedTuple):
    """How a daemon comes to its master: what it has for `master` in its settings, and what lies
    between, to the `masters` and to `others` that say who leads."""

    setting: str
    masters: list[Tap]
    others: list[Tap]

    @property
    def taps(self) -> list[Tap]:
        return [*self.masters, *self.others]


class WitnessedMaster(Protocol):
    pause_s: float
    """How long each user rests between two requests, so that its agents keep up."""

    def join(self, daemon: str, taps: Taps, host: str = HOST) -> Way:
        """Makes the way for that daemon, with taps at this address of ours."""
        ...

    def framework(self, framework_id: str) -> FrameworkState: ...

    def finished(self) -> set[str]:
        """The ids of all tasks that ever ended well."""
        ...

    def lives(self, updates: Iterable[Update]) -> list[Life]:
        """`updates` is what masters were seen to say to daemons."""
        ...

    def fail_over(self) -> None:
        """The leading master dies (SIGKILL)."""
        ...

    def heal(self) -> None:
        """What died runs again."""
        ...

    def stop(self) -> None: ...


class Emulated:
    """The emulator, in a process of its own; tasks are timers."""

    pause_s = 0.1

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        options = {"simulate": True, "agents": AGENTS, "frameworks": None}
        self._master = EmulatedMaster(folder, options)

    def join(self, daemon: str, taps: Taps, host: str = HOST) -> Way:
        tap = taps.tap(daemon, urlsplit(self._master.url).netloc, host=host)
        return Way(f"http://{tap.address}", [tap], [])

    def framework(self, framework_id: str) -> FrameworkState:
        return FrameworkState(self._master.state(), framework_id)

    def finished(self) -> set[str]:
        account = self._master.account()
        return {task for task, record in account.items() if record["ends"] == ["TASK_FINISHED"]}

    def lives(self, updates: Iterable[Update]) -> list[Life]:
        return [
            Life(task, record["launched_s"], record["ended_s"], record["launches"])
            for task, record in self._master.account().items()
            if record["launched_s"] is not None
        ]

    def fail_over(self) -> None:
        self._master.fail_over()

    def heal(self) -> None:
        """Nothing of it stays dead."""

    def stop(self) -> None:
        self._master.stop()


class Elected:
    """Apache Mesos: two masters that are elected through ZooKeeper, and agents with real tasks.

    Each daemon reads a group of its own, in which the masters stand with the addresses of taps.
    """

    pause_s = 1.0

    def __init__(self, build: Path, folder: Path) -> None:
        self.cluster = RealCluster(build, folder)
        self.cluster.start(
            AGENTS,
            MASTERS,
            zk=True,
            cpus=8,
            master_flags={"zk_session_timeout": f"{SESSION_S}secs"},
        )
        self._dead: list[int] = []
        self._zookeeper = urlsplit(self.cluster.zk_url).netloc
        self._mirror = _Mirror(self._zookeeper)
        self._watcher = _TaskWatcher(self.cluster)
        self._mirror.start()
        self._watcher.start()

    def join(self, daemon: str, taps: Taps, host: str = HOST) -> Way:
        masters = [urlsplit(url).netloc for url in self.cluster.masters]
        made = [taps.tap(daemon, master, host=host) for master in masters]
        zookeeper = taps.tap(daemon, self._zookeeper, host=host)
        there = [tap.address for tap in made]
        self._mirror.add(f"/{daemon}", dict(zip(masters, there, strict=True)))
        return Way(f"zk://{zookeeper.address}/{daemon}", made, [zookeeper])

    def framework(self, framework_id: str) -> FrameworkState:
        return FrameworkState(self.cluster.state(), framework_id)

    def finished(self) -> set[str]:
        return {task for task, ended in self._watcher.ended.items() if ended[1] == "TASK_FINISHED"}

    def lives(self, updates: Iterable[Update]) -> list[Life]:
        ended = {task: at for task, (at, _) in self._watcher.ended.items()}
        for update in updates:
            if update.state in TERMINAL:
                ended[update.task] = min(update.at, ended.get(update.task, update.at))
        begun = self._watcher.begun
        return [
            Life(task, at, ended.get(task), begun[task]) for task, at in self._watcher.added.items()
        ]

    def fail_over(self) -> None:
        self._dead.append(self.cluster.kill_master())

    def fail_over_all(self) -> None:
        """None is left, whether they ended by themselves or not."""
        for index in range(MASTERS):
            self._dead.append(self.cluster.kill_master(index))

    def heal(self) -> None:
        while self._dead:
            self.cluster.restart_master(self._dead.pop())

    def stop(self) -> None:
        self._watcher.stop()
        self._mirror.stop()
        self.cluster.stop()


def elected_masters(folder: Path) -> Elected:
    """Skips the test where they cannot be had."""
    if missing := ensure_zookeeper():
        pytest.skip(f"no ZooKeeper: {missing}")
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    return Elected(build, folder)


class _Mirror(threading.Thread):
    """Copies the masters' group for each daemon, with other addresses in it."""

    def __init__(self, zookeeper: str) -> None:
        super().__init__(name="mirror", daemon=True)
        self._groups: dict[str, dict[str, str]] = {}
        self._over = threading.Event()
        retry = {"max_tries": -1, "max_delay": 0.2}
        self._client: Any = KazooClient(hosts=zookeeper, connection_retry=retry, logger=SILENT)

    def add(self, path: str, addresses: dict[str, str]) -> None:
        """One more group, in which masters stand with the addresses that these are mapped to."""
        self._client.ensure_path(path)
        self._groups = {**self._groups, path: addresses}

    def start(self) -> None:
        self._client.start(timeout=END_S)
        super().start()

    def run(self) -> None:
        while not self._over.wait(LOOK_S):
            with contextlib.suppress(KazooException, self._client.handler.timeout_exception):
                self._copy()

    def stop(self) -> None:
        self._over.set()
        self._client.stop()
        self._client.close()
        self.join(END_S)

    def _copy(self) -> None:
        names = [name for name in self._client.get_children("/mesos") if "json.info" in name]
        for path, addresses in self._groups.items():
            there = set(self._client.get_children(path))
            for name in there - set(names):
                self._client.delete(f"{path}/{name}")
            for name in set(names) - there:
                data, _ = self._client.get(f"/mesos/{name}")
                self._client.create(f"{path}/{name}", _moved(data, addresses))


def _moved(data: bytes, addresses: dict[str, str]) -> bytes:
    info: Document = json.loads(data)
    where = info["address"]
    host, port = addresses[f"{where['ip']}:{where['port']}"].split(":")
    info["address"] = {"ip": host, "hostname": host, "port": int(port)}
    return json.dumps(info).encode()


class _TaskWatcher(threading.Thread):
    """Reads the event stream of whichever master leads. `added`: when each task first was; `begun`:
    how often one master said so; `ended`: when each came to which end."""

    def __init__(self, cluster: RealCluster) -> None:
        super().__init__(name="operator-stream", daemon=True)
        self.added: dict[str, float] = {}
        self.begun: dict[str, int] = defaultdict(int)
        self.ended: dict[str, tuple[float, str]] = {}
        self._cluster = cluster
        # A master that leads anew hears of each task once more, from its agent.
        self._here: Counter[str] = Counter()
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()
        self.join(END_S)

    def run(self) -> None:
        while not self._over.wait(LOOK_S):
            with contextlib.suppress(*ASKING_FAILED):
                self._follow(urlsplit(self._cluster.master_url).netloc)

    def _follow(self, master: str) -> None:
        connection = http.client.HTTPConnection(master, timeout=STREAM_SILENT_S_MAX)
        self._here.clear()
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            connection.request("POST", "/api/v1", json.dumps({"type": "SUBSCRIBE"}), headers)
            response = connection.getresponse()
            if response.status != 200:
                return
            while not self._over.is_set() and (size := response.readline()):
                self._take(json.loads(response.read(int(size))))

    def _take(self, event: Document) -> None:
        now = time.monotonic()
        match event["type"]:
            case "SUBSCRIBED":
                self._take_snapshot(event["subscribed"]["get_state"].get("get_tasks", {}), now)
            case "TASK_ADDED":
                task = event["task_added"]["task"]["task_id"]["value"]
                self._here[task] += 1
                self.begun[task] = max(self.begun[task], self._here[task])
                self.added.setdefault(task, now)
            case "TASK_UPDATED":
                updated = event["task_updated"]
                task = updated["status"]["task_id"]["value"]
                self._end(task, now, updated["state"])
            case _:
                pass

    def _take_snapshot(self, tasks: Document, now: float) -> None:
        kinds: Sequence[str] = ("tasks", "unreachable_tasks", "completed_tasks")
        for task in (task for kind in kinds for task in tasks.get(kind, [])):
            name = task["task_id"]["value"]
            self.added.setdefault(name, now)
            self.begun[name] = max(self.begun[name], 1)
            self._end(name, now, task["state"])

    def _end(self, task: str, at: float, state: str) -> None:
        if state in TERMINAL:
            self.ended.setdefault(task, (at, state))
