"""The emulated cluster as a whole: one leading master at a time, its agents, and their faults.

Whoever drives it calls `timeline.run(until)`. It outlives masters: the registry, the agents with
their tasks, and the judge's account.
"""

import random
import uuid
from dataclasses import dataclass

from scheduler.emulator.model.agent import Agent, AgentDescription
from scheduler.emulator.model.judge import Judge
from scheduler.emulator.model.master import Master
from scheduler.emulator.model.records import MasterOptions, Registry
from scheduler.emulator.model.timeline import Timeline
from scheduler.emulator.runner import RunnerFactory
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState, TaskStatus


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """`agent_return_s_max`: after a master failover the agents come back spread over this time."""

    master: MasterOptions
    agents: tuple[AgentDescription, ...]
    update_retry_s: float = 10.0
    agent_return_s_max: float = 1.0
    seed: int = 0


class World:
    def __init__(self, options: WorldOptions, timeline: Timeline, runners: RunnerFactory) -> None:
        self.timeline = timeline
        self.judge = Judge(lambda: timeline.now)
        self.registry = Registry()
        self.agents: list[Agent] = []
        self.master: Master | None = None
        self.options = options
        self._random = random.Random(options.seed)
        for index, description in enumerate(options.agents):
            agent = Agent(
                description, timeline, self._random, self.judge, self, options.update_retry_s
            )
            agent.runner = runners(index, agent.on_status)
            self.agents.append(agent)
        self._lost: set[int] = set()
        self._elect()

    # -- what agents say

    def status_update(
        self, agent: Agent, framework_id: str, status: TaskStatus, latest: TaskState
    ) -> None:
        def deliver() -> None:
            if agent.online and self.master is not None:
                self.master.tasks.update(agent, framework_id, status, latest)

        self.timeline.soon(deliver)

    # -- faults

    def lose_agent(self, index: int, *, process_died: bool = True) -> None:
        """Cuts an agent off. With `process_died` its connection breaks at once, as when it is
        killed; without, the network swallows everything and only pings tell. Its tasks go on."""
        agent = self.agents[index]
        self._lost.add(index)
        agent.went_offline(process_died=process_died)
        if self.master is None:
            return
        if process_died:
            self.master.agents.link_broke(agent)
        else:
            self.master.agents.silent(agent)

    def return_agent(self, index: int) -> None:
        """The agent registers again, with the tasks that it has by now."""
        self._lost.discard(index)
        self._register(index)

    def replace_agent(self, index: int) -> None:
        """The agent loses all that it had, tasks included, and registers as a new one."""
        agent = self.agents[index]
        old_id = agent.agent_id
        agent.shutdown()
        agent.agent_id = ""
        if self.master is not None:
            self.master.agents.replaced(old_id)
        else:
            self.registry.admitted.pop(old_id, None)
        self.return_agent(index)

    def preempt(self, index: int) -> None:
        """The agent ends what runs on its revocable resources."""
        self.agents[index].preempt()

    def fail_over(self, recovering_s: float = 0.0) -> None:
        """The leading master dies; the next one starts after `recovering_s` with the registry
        alone, and the agents that are not lost come back to it."""
        if self.master is not None:
            self.master.retire()
            self.master = None
        for agent in self.agents:
            if agent.online:
                agent.went_offline(process_died=False)
        self.timeline.after(recovering_s, self._elect)

    def drop_streams(self) -> int:
        """Breaks every event stream, as a network does; says how many."""
        if self.master is None:
            return 0
        dropped = 0
        for framework in list(self.master.tables.frameworks.values()):
            if framework.sink is not None:
                sink = framework.sink
                self.master.subscriptions.disconnected(sink)
                sink.cut()
                dropped += 1
        return dropped

    def new_stream_id(self) -> str:
        return str(uuid.UUID(bytes=self._random.randbytes(16), version=4))

    def _elect(self) -> None:
        if self.master is not None:
            return
        first = not self.registry.admitted
        options = self.options
        self.master = Master(options.master, self.timeline, self._random, self.registry, self.judge)
        for index in range(len(self.agents)):
            if index in self._lost:
                continue
            delay_s = 0.0 if first else self._random.uniform(0.0, options.agent_return_s_max)
            if delay_s:
                self.timeline.after(delay_s, lambda index=index: self._register(index))  # type: ignore[misc]
            else:
                self._register(index)

    def _register(self, index: int) -> None:
        if self.master is not None and index not in self._lost:
            self.master.agents.register(self.agents[index])
