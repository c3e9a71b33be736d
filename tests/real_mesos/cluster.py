"""`RealCluster`: a real Mesos cluster on loopback, to be started, hurt and stopped by a test.

Its methods block for milliseconds, those that wait for a condition for seconds; a test that shares
its event loop with what it observes calls the latter through `asyncio.to_thread`. Masters and
agents count from 0. Several clusters may run at once, also from several test processes.
"""

import http.client
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.real_mesos import nodes, oversubscription
from tests.real_mesos.nodes import OPERATOR_CREDENTIAL, ClusterOptions, Flags
from tests.real_mesos.operator_http import OperatorHttp, RefusedError, State
from tests.real_mesos.ports import AGENTS_MAX, MASTERS_MAX, Endpoint, PortBlock
from tests.real_mesos.processes import Child, kill_strays
from tests.real_mesos.tls import certificate_file, write_certificate
from tests.real_mesos.zookeeper import zookeeper_node

START_DEADLINE_S = 30.0
POLL_INTERVAL_S = 0.05


class ClusterError(Exception):
    """The cluster is not as it should be: a node died by itself, or a condition never came."""


class NoLeaderError(ClusterError):
    """No master leads just now, or the one that was asked does not."""


# What asking a master may end with while it is away, starting, or not the leader.
ASKING_FAILED = (OSError, http.client.HTTPException, RefusedError, NoLeaderError)


class RealCluster:
    """Masters and agents of one cluster, under `run_dir`: logs, work folders, sandboxes."""

    def __init__(self, build: Path, run_dir: Path) -> None:
        self.run_dir = run_dir.resolve()
        self._build = build
        self._ports: PortBlock | None = None
        self._options: ClusterOptions | None = None
        self._masters: dict[int, Child] = {}
        self._agents: dict[int, Child] = {}
        self._zookeeper: Child | None = None
        self._http = OperatorHttp(None, None)
        # Nodes that a test ended on purpose; any other that ends is a failure.
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self,
        agents: int = 3,
        masters: int = 1,
        *,
        zk: bool = False,
        auth: bool = False,
        auth_http: bool = False,
        tls: bool = False,
        master_flags: Flags | None = None,
        agent_flags: Flags | None = None,
        cpus: float = 4,
        mem: float = 4096,
        disk: float = 10000,
    ) -> Self:
        """Starts everything and returns when a master leads and every agent is registered.

        `auth` asks frameworks for `nodes.FRAMEWORK_CREDENTIAL`, `auth_http` asks operator
        endpoints for `nodes.OPERATOR_CREDENTIAL`. With `tls` masters speak TLS only, to be trusted
        by `ca_file`. More than one master needs `zk`. Flags carry Mesos' own names; True and False
        become `--name` and `--no-name`. Raises ClusterError.
        """
        if self._ports is not None:
            raise ClusterError("the cluster was started already")
        if not 1 <= masters <= MASTERS_MAX or not 0 <= agents <= AGENTS_MAX:
            raise ValueError(f"at most {MASTERS_MAX} masters and {AGENTS_MAX} agents")
        if masters > 1 and not zk:
            raise ValueError("several masters are elected through ZooKeeper: say zk=True")
        self._options = ClusterOptions(
            agents, masters, zk, auth, auth_http, tls,
            master_flags or {}, agent_flags or {}, cpus, mem, disk,
        )  # fmt: skip
        self._ports = PortBlock.claim()
        self.run_dir.mkdir(parents=True, exist_ok=True)
        nodes.write_shared_files(self.run_dir)
        if tls:
            write_certificate(self.run_dir, self._ports.addresses(masters, agents))
        self._http = OperatorHttp(OPERATOR_CREDENTIAL if auth_http else None, self.ca_file)
        if zk:
            self.start_zookeeper()
        for index in range(masters):
            self._start_master(index)
        for index in range(agents):
            self._start_agent(index)
        self._wait_for_agents()
        return self

    def stop(self) -> None:
        """Kills all that was started, executors and tasks included. May be called twice."""
        children = [*self._agents.values(), *self._masters.values()]
        if self._zookeeper is not None:
            children.append(self._zookeeper)
        for child in children:
            child.kill()
        kill_strays(self.run_dir)
        self._agents, self._masters, self._zookeeper = {}, {}, None
        if self._ports is not None:
            self._ports.release()
            self._ports = None

    # ---- what it is ---------------------------------------------------------------------------

    @property
    def masters(self) -> list[str]:
        """The URL of every master, dead ones too."""
        return [f"http://{self._claimed.master(index)}" for index in range(self._required.masters)]

    @property
    def master_url(self) -> str:
        """The URL of the leading master; of a cluster of one, also while that is away."""
        return self._url(self._claimed.master(self.leader()))

    @property
    def zk_url(self) -> str:
        """`zk://host:port/mesos` of a cluster started with `zk`."""
        return nodes.zookeeper_url(self._claimed)

    @property
    def ca_file(self) -> Path | None:
        """The certificate to trust, of a cluster started with `tls`."""
        return certificate_file(self.run_dir) if self._required.tls else None

    def agent_url(self, index: int) -> str:
        """The URL of agent `index`, for its own endpoints."""
        return self._url(self._claimed.agent(index))

    def agent_hostname(self, index: int) -> str:
        """The host name of agent `index`, as offers show it; every agent has one of its own."""
        return self._claimed.agent(index).address

    def leader(self) -> int:
        """The index of the leading master. Raises NoLeaderError if there is none."""
        if self._required.masters == 1:
            return 0
        index = self._find_leader()
        if index is None:
            raise NoLeaderError("no master leads")
        return index

    def state(self) -> State:
        """GET /state of the leading master. Raises OSError while there is none to ask."""
        self.check_alive()
        return self._http.get(self._claimed.master(self.leader()), "/state")

    def metrics(self) -> dict[str, float]:
        """GET /metrics/snapshot of the leading master."""
        return self._http.get(self._claimed.master(self.leader()), "/metrics/snapshot")

    def agent(self, index: int) -> State | None:
        """What the master says of agent `index` in its list of registered agents, if it is there.

        An agent that is unreachable is in `state()["unreachable_slaves"]` as a count only.
        """
        return _agent_in(self.state(), self._claimed.agent(index))

    def used_resources(self, index: int) -> list[State]:
        """What tasks use of agent `index`: Resources with reservations and all."""
        agents = self._http.get(self._claimed.master(self.leader()), "/slaves")["slaves"]
        agent_id = self._agent(index)["id"]
        used: list[State] = next(
            one["used_resources_full"] for one in agents if one["id"] == agent_id
        )
        return used

    def sandboxes(self, task_id: str) -> list[Path]:
        """The folders of a command task's runs, on whichever agents; `stdout` is in there."""
        pattern = f"agent-*/work/slaves/*/frameworks/*/executors/{task_id}/runs/latest"
        return sorted(self.run_dir.glob(pattern))

    def check_alive(self) -> None:
        """Raises ClusterError, with the end of its log, if a node ended that should not have."""
        for child in [*self._masters.values(), *self._agents.values()]:
            if child.name not in self._ended and not child.alive():
                raise ClusterError(f"{child.name} ended by itself:\n{child.log_tail()}")

    def wait_until(
        self, condition: Callable[[State], bool], what: str, deadline_s: float = 15.0
    ) -> State:
        """Polls `state()` until the condition holds and returns that state.

        Raises ClusterError that names `what` was waited for, after `deadline_s`.
        """
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                state = self.state()
                if condition(state):
                    return state
                seen = f"agents {state['activated_slaves']}, frameworks {len(state['frameworks'])}"
            except ASKING_FAILED as error:
                seen = repr(error)
            if time.monotonic() > deadline:
                raise ClusterError(f"waited {deadline_s:g} s for {what}; last seen: {seen}")
            time.sleep(POLL_INTERVAL_S)

    # ---- what can happen to it ----------------------------------------------------------------

    def kill_master(self, index: int | None = None) -> int:
        """Kills a master (SIGKILL), the leading one if none is named; returns its index."""
        chosen = self.leader() if index is None else index
        self._end(self._masters[chosen])
        return chosen

    def restart_master(self, index: int = 0) -> None:
        """Starts a killed master and returns when every living agent is registered again."""
        self._end(self._masters[index])
        self._start_master(index)
        self._wait_for_agents()

    def kill_agent(self, index: int) -> None:
        """Kills an agent (SIGKILL); what it started lives on."""
        self._end(self._agents[index])

    def stop_agent(self, index: int) -> None:
        """Shuts an agent down for good (SIGUSR1): the master drops it, and its tasks end.

        Our agent program does not end with the agent inside it, so the rest is killed.
        """
        child, endpoint = self._agents[index], self._claimed.agent(index)
        child.send(signal.SIGUSR1)
        self.wait_until(lambda state: _agent_in(state, endpoint) is None, f"{child.name} to go")
        self._end(child)
        kill_strays(self.run_dir / child.name)

    def restart_agent(self, index: int, fresh: bool = False) -> None:
        """Starts an agent again and returns when it is registered.

        With `fresh` it has lost its disk: what it ran is killed, and it returns as a new agent.
        """
        child = self._agents[index]
        self._end(child)
        if fresh:
            kill_strays(self.run_dir / child.name)
            shutil.rmtree(self.run_dir / child.name)
        self._start_agent(index)
        self._wait_for_agents()

    def reserve(self, index: int, *resources: State) -> None:
        """An operator reserves resources of agent `index`; they are given as they will be."""
        agent_id = {"value": self._agent(index)["id"]}
        reserved = {"agent_id": agent_id, "resources": list(resources)}
        call = {"type": "RESERVE_RESOURCES", "reserve_resources": reserved}
        self._http.call(self._claimed.master(self.leader()), call)

    def lend(self, index: int, **resources: float) -> None:
        """Agent `index` has so much to spare, as revocable resources besides its own, until it
        registers again."""
        agent = self._agent(index)
        oversubscription.lend(self._claimed.master(self.leader()), agent, resources)

    def preempt(self, index: int, framework_id: str, task_id: str) -> None:
        """Agent `index` says that it ended the task, to have what it lent back."""
        endpoint = self._claimed.agent(index)
        oversubscription.preempt(endpoint, self._agent(index), framework_id, task_id)

    def pause_agent(self, index: int) -> None:
        """Freezes an agent (SIGSTOP): it answers nothing, its tasks run on."""
        self._agents[index].pause()

    def resume_agent(self, index: int) -> None:
        """Lets a paused agent go on."""
        self._agents[index].resume()

    def start_zookeeper(self) -> None:
        """Starts ZooKeeper, or starts it again; its data are kept."""
        self._zookeeper = self._spawn(zookeeper_node(self.run_dir, self._claimed.zookeeper()))

    def kill_zookeeper(self) -> None:
        """Kills ZooKeeper (SIGKILL)."""
        if self._zookeeper is None:
            raise ClusterError("the cluster has no ZooKeeper")
        self._end(self._zookeeper)

    # ---- how ----------------------------------------------------------------------------------

    @property
    def _claimed(self) -> PortBlock:
        if self._ports is None:
            raise ClusterError("the cluster is not started")
        return self._ports

    @property
    def _required(self) -> ClusterOptions:
        if self._options is None:
            raise ClusterError("the cluster is not started")
        return self._options

    def _url(self, endpoint: Endpoint) -> str:
        return f"{'https' if self._required.tls else 'http'}://{endpoint}"

    def _agent(self, index: int) -> State:
        agent = self.agent(index)
        if agent is None:
            raise ClusterError(f"agent {index} is not registered")
        return agent

    def _start_master(self, index: int) -> None:
        node = nodes.master_node(self._build, self.run_dir, self._claimed, self._required, index)
        self._masters[index] = self._spawn(node)

    def _start_agent(self, index: int) -> None:
        node = nodes.agent_node(self._build, self.run_dir, self._claimed, self._required, index)
        self._agents[index] = self._spawn(node)

    def _spawn(self, node: nodes.Node) -> Child:
        (self.run_dir / node.name).mkdir(exist_ok=True)
        self._ended.discard(node.name)
        return Child(node.name, node.command, node.environment, self.run_dir)

    def _end(self, child: Child) -> None:
        self._ended.add(child.name)
        child.kill()

    def _wait_for_agents(self) -> None:
        """Returns when each agent that runs has registered since it was started.

        The master lists an agent that was killed a moment ago as active, so the time counts.
        """
        running = {
            self._claimed.agent(index): child.started_at
            for index, child in self._agents.items()
            if child.alive() and not child.paused
        }

        def registered(state: State) -> bool:
            return all(
                _registered_at(_agent_in(state, endpoint)) > started_at
                for endpoint, started_at in running.items()
            )

        self.wait_until(registered, f"{len(running)} agents to register", START_DEADLINE_S)

    def _find_leader(self) -> int | None:
        for index, child in self._masters.items():
            if not child.alive():
                continue
            endpoint = self._claimed.master(index)
            try:
                state = self._http.get(endpoint, "/state")
            except ASKING_FAILED:
                continue
            if state.get("leader") == f"master@{endpoint}":
                return index
        return None


def _agent_in(state: State, endpoint: Endpoint) -> State | None:
    agents: list[State] = state["slaves"]
    return next((agent for agent in agents if agent["pid"] == f"slave(1)@{endpoint}"), None)


def _registered_at(agent: State | None) -> float:
    """When an active agent last registered with this master; 0 if it has not."""
    if agent is None or not agent["active"]:
        return 0.0
    return float(agent.get("reregistered_time") or agent["registered_time"])
