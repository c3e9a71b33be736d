"""An emulated cluster on real sockets: the model, its clock, its HTTP servers.

    async with EmulatedCluster(EmulatorOptions(agents=3, simulate=True)) as cluster:
        ... f"http://{cluster.host}:{cluster.port}" ...

`main` runs one in a process of its own. One event loop, one thread. It only wires: what a task or
an offer is, it does not know.
"""

import os
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from scheduler.emulator.http.agent_pages import AgentPages
from scheduler.emulator.http.master_server import MasterServer
from scheduler.emulator.http.place import Place
from scheduler.emulator.http.pulse import Pulse
from scheduler.emulator.model.agent import AgentDescription
from scheduler.emulator.model.bundle import REVOCABLE, Bundle, bundle
from scheduler.emulator.model.judge import TaskRecord
from scheduler.emulator.model.records import MasterOptions
from scheduler.emulator.model.timeline import Timeline
from scheduler.emulator.model.world import World, WorldOptions
from scheduler.emulator.options import EmulatorOptions
from scheduler.emulator.runner import RunnerFactory, RunnerStatus, TaskRunner
from scheduler.emulator.simulate import SimulatedTasks, SimulateOptions
from scheduler.mesos.proto.mesos_v1_pb2 import Attribute, Value

SHUTDOWN_S = 1.0


class EmulatedCluster:
    """`port` is known after `start`. Without `runners` the tasks are simulated."""

    def __init__(self, options: EmulatorOptions, runners: RunnerFactory | None = None) -> None:
        self.options = options
        self.host = options.host
        self.port = options.port
        self._runners = runners
        self._sockets: list[socket.socket] = []
        self._master: MasterServer | None = None
        self._servers: list[web.AppRunner] = []
        self._place: Place | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Raises `OSError` if the port is taken."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        """Binds first (a master tells its port, an agent its own), then serves."""
        options = self.options
        master_socket = self._listen(options.port)
        self.port = master_socket.getsockname()[1]
        shared = self._runners is None
        agent_sockets = [self._listen(0) for _ in range(1 if shared else options.agents)]
        ports = [one.getsockname()[1] for one in agent_sockets]
        timeline = Timeline(time.time())
        pulse = Pulse(timeline)
        world = self._world(timeline, pulse, ports * options.agents if shared else ports)
        place = Place(world, pulse, options.frameworks, options.operators, options.leader)
        self._place = place
        self._master = MasterServer(place)
        await self._master.start(master_socket)
        for index, agent_socket in enumerate(agent_sockets):
            agent = None if shared else world.agents[index]
            await self._serve_agent(agent_socket, AgentPages(place, agent).routes())
        pulse.kick()

    async def stop(self) -> None:
        """Ends streams, servers and tasks; safe to call twice."""
        place, self._place = self._place, None
        if place is not None:
            place.pulse.stop()
        master, self._master = self._master, None
        if master is not None:
            await master.stop()
        servers, self._servers = self._servers, []
        for server in servers:
            await server.cleanup()
        while self._sockets:
            self._sockets.pop().close()
        if place is not None:
            for agent in place.world.agents:
                if agent.runner is not None:
                    await agent.runner.close()

    # -- faults

    def lose_agent(self, index: int, *, process_died: bool = True) -> None:
        """See `World.lose_agent`."""
        self._change(lambda world: world.lose_agent(index, process_died=process_died))

    def return_agent(self, index: int) -> None:
        self._change(lambda world: world.return_agent(index))

    def replace_agent(self, index: int) -> None:
        """See `World.replace_agent`."""
        self._change(lambda world: world.replace_agent(index))

    def preempt(self, index: int) -> None:
        """See `World.preempt`."""
        self._change(lambda world: world.preempt(index))

    def fail_over(self, recovering_s: float = 0.0) -> None:
        """See `World.fail_over`; the new master has the same address."""
        self._change(lambda world: world.fail_over(recovering_s))

    def drop_streams(self) -> None:
        self._change(World.drop_streams)

    def tasks(self) -> dict[str, TaskRecord]:
        """The judge's account, by task id."""
        return dict(self._running().world.judge.tasks)

    # -- wiring

    def _change(self, change: Callable[[World], object]) -> None:
        place = self._running()
        place.pulse.catch_up()
        change(place.world)
        place.pulse.kick()

    def _running(self) -> Place:
        if self._place is None:
            raise RuntimeError("the emulated cluster is not running")
        return self._place

    def _world(self, timeline: Timeline, pulse: Pulse, ports: list[int]) -> World:
        options = self.options
        factory = self._runners

        def runners(index: int, on_status: Callable[[RunnerStatus], None]) -> TaskRunner:
            if factory is None:
                return SimulatedTasks(timeline, _simulation(options), on_status)

            def report(status: RunnerStatus) -> None:
                pulse.catch_up()
                on_status(status)
                pulse.kick()

            return factory(index, report)

        seed = int.from_bytes(os.urandom(8)) if options.seed is None else options.seed
        world = WorldOptions(
            master=_master(options, self.port),
            agents=tuple(_agent(options, index, ports[index]) for index in range(options.agents)),
            update_retry_s=options.update_retry_s,
            agent_return_s_max=options.agent_return_s_max,
            seed=seed,
        )
        return World(world, timeline, runners)

    def _listen(self, port: int) -> socket.socket:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(listening)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self.host, port))
        listening.setblocking(False)
        return listening

    async def _serve_agent(
        self, listening: socket.socket, routes: list[web.AbstractRouteDef]
    ) -> None:
        application = web.Application()
        application.add_routes(routes)
        server = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self._servers.append(server)
        await server.setup()
        await web.SockSite(server, listening).start()


def _simulation(options: EmulatorOptions) -> SimulateOptions:
    return SimulateOptions(
        start_s=options.simulate_start_s,
        run_s=options.simulate_run_s,
        kill_s=options.simulate_kill_s,
    )


def _master(options: EmulatorOptions, port: int) -> MasterOptions:
    return MasterOptions(
        allocation_interval_s=options.allocation_interval_s,
        heartbeat_interval_s=options.heartbeat_interval_s,
        offer_timeout_s=options.offer_timeout_s,
        agent_ping_timeout_s=options.agent_ping_timeout_s,
        agent_pings_max=options.agent_pings_max,
        agent_reregister_timeout_s=options.agent_reregister_timeout_s,
        hostname=options.host,
        ip=options.host,
        port=port,
    )


def _agent(options: EmulatorOptions, index: int, port: int) -> AgentDescription:
    texts = dict(options.attributes)
    if options.racks:
        texts["rack"] = f"r{index % options.racks}"
    if options.zones:
        texts["zone"] = f"z{index % options.zones}"
    return AgentDescription(
        # A name of its own, as rules like "hostname unique" need; clients connect to the ip.
        hostname=f"agent-{index}",
        ip=options.host,
        port=port,
        total=_resources(options, index),
        attributes=tuple(
            Attribute(name=name, type=Value.TEXT, text=Value.Text(value=text))
            for name, text in texts.items()
        ),
    )


def _resources(options: EmulatorOptions, index: int) -> Bundle:
    first, last = options.ports
    if not options.simulate:
        # Real tasks of all agents share one host: no two agents may offer the same port.
        each = (last - first + 1) // options.agents
        first, last = first + index * each, first + (index + 1) * each - 1
    scalars = {
        "cpus": round(options.cpus * 1000),
        "mem": round(options.mem_mb * 1000),
        "disk": round(options.disk_mb * 1000),
        "gpus": options.gpus * 1000,
        f"cpus{REVOCABLE}": round(options.revocable_cpus * 1000),
    }
    return bundle(scalars, {"ports": ((first, last),) if first <= last else ()})
