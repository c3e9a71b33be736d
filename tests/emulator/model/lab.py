"""An emulated cluster in virtual time, and frameworks that only listen and say what they are told.

`Lab.run(seconds)` moves time; nothing else does.
"""

from scheduler.emulator.model.agent import AgentDescription
from scheduler.emulator.model.bundle import Bundle
from scheduler.emulator.model.master import Answer, Master
from scheduler.emulator.model.records import AgentEntry, MasterOptions
from scheduler.emulator.model.timeline import Timeline
from scheduler.emulator.model.world import World, WorldOptions
from scheduler.emulator.simulate import SimulatedTasks, SimulateOptions
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import (
    Attribute,
    FrameworkInfo,
    Offer,
    Resource,
    TaskInfo,
    TaskState,
    TaskStatus,
    Value,
)
from scheduler.mesos.proto.scheduler_pb2 import Call, Event

AGENT = Bundle(
    scalars=(("cpus", 4_000), ("mem", 8_192_000)), ranges=(("ports", ((31_000, 31_099),)),)
)
CAPABILITIES = (
    FrameworkInfo.Capability.MULTI_ROLE,
    FrameworkInfo.Capability.PARTITION_AWARE,
    FrameworkInfo.Capability.RESERVATION_REFINEMENT,
    FrameworkInfo.Capability.TASK_KILLING_STATE,
)


class Lab:
    """`agents` of one size each; `totals` overrides the sizes one by one."""

    def __init__(
        self,
        agents: int = 1,
        options: MasterOptions | None = None,
        simulate: SimulateOptions | None = None,
        totals: tuple[Bundle, ...] = (),
    ) -> None:
        self.timeline = Timeline()
        sizes = totals or (AGENT,) * agents
        descriptions = tuple(_description(index, size) for index, size in enumerate(sizes))
        self.world = World(
            WorldOptions(options or MasterOptions(), descriptions),
            self.timeline,
            lambda _, on_status: SimulatedTasks(
                self.timeline, simulate or SimulateOptions(), on_status
            ),
        )
        self.run(0.0)

    @property
    def master(self) -> Master:
        assert self.world.master is not None
        return self.world.master

    def agent_id(self, index: int = 0) -> str:
        return self.world.agents[index].agent_id

    def entry(self, index: int = 0) -> AgentEntry:
        return self.master.tables.agents[self.agent_id(index)]

    def run(self, seconds: float) -> None:
        self.timeline.run(self.timeline.now + seconds)

    def framework(
        self,
        roles: tuple[str, ...] = ("web",),
        *,
        suppressed: tuple[str, ...] = (),
        capabilities: tuple[FrameworkInfo.Capability.Type, ...] = CAPABILITIES,
        failover_timeout_s: float = 3600.0,
        checkpoint: bool = True,
        framework_id: str = "",
    ) -> "ListeningFramework":
        info = FrameworkInfo(
            user="root", name="test", failover_timeout=failover_timeout_s, checkpoint=checkpoint
        )
        for capability in capabilities:
            info.capabilities.add().type = capability
        if FrameworkInfo.Capability.MULTI_ROLE in capabilities:
            info.roles.extend(roles)
        if framework_id:
            info.id.value = framework_id
        framework = ListeningFramework(self, info)
        framework.subscribe(suppressed)
        return framework


class ListeningFramework:
    """Keeps every event of its current stream; an `EventSink`."""

    def __init__(self, lab: Lab, info: FrameworkInfo) -> None:
        self.lab = lab
        self.info = info
        self.events: list[Event] = []
        self.closed = False
        self.stream_id = ""

    # -- the sink

    def send(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True

    def cut(self) -> None:
        self.closed = True

    # -- what it heard

    @property
    def framework_id(self) -> str:
        return self.info.id.value

    def kinds(self) -> list[str]:
        return [Event.Type.Name(event.type) for event in self.events]

    def offers(self) -> list[Offer]:
        """All offers made on this stream."""
        return [one for event in self.events for one in event.offers.offers]

    def new_offers(self) -> list[Offer]:
        """Those since this was last asked."""
        self.events, events = [e for e in self.events if e.type != Event.OFFERS], self.events
        return [one for event in events for one in event.offers.offers]

    def statuses(self) -> list[TaskStatus]:
        return [event.update.status for event in self.events if event.type == Event.UPDATE]

    def states(self) -> list[str]:
        return [TaskState.Name(status.state) for status in self.statuses()]

    def new_statuses(self) -> list[TaskStatus]:
        statuses = self.statuses()
        self.events = [event for event in self.events if event.type != Event.UPDATE]
        return statuses

    def rescinded(self) -> list[str]:
        rescinds = [event for event in self.events if event.type == Event.RESCIND]
        return [event.rescind.offer_id.value for event in rescinds]

    # -- what it says

    def subscribe(self, suppressed: tuple[str, ...] = ()) -> None:
        call = Call(type=Call.SUBSCRIBE)
        call.subscribe.framework_info.CopyFrom(self.info)
        call.subscribe.suppressed_roles.extend(suppressed)
        self.events, self.closed = [], False
        self.stream_id = self.lab.world.new_stream_id()
        self.lab.master.subscribe(call, self)
        if self.events[0].type == Event.SUBSCRIBED:
            self.info.id.CopyFrom(self.events[0].subscribed.framework_id)
        self.lab.run(0.0)

    def disconnect(self) -> None:
        self.lab.master.subscriptions.disconnected(self)
        self.lab.run(0.0)

    def call(self, call: Call) -> Answer:
        call.framework_id.value = self.framework_id
        answer = self.lab.master.call(call, self.stream_id)
        self.lab.run(0.0)
        return answer

    def accept(
        self, offers: list[Offer], tasks: list[TaskInfo], refuse_s: float | None = None
    ) -> None:
        call = Call(type=Call.ACCEPT)
        call.accept.offer_ids.extend(offer.id for offer in offers)
        operation = call.accept.operations.add()
        operation.type = Offer.Operation.LAUNCH
        operation.launch.task_infos.extend(tasks)
        if refuse_s is not None:
            call.accept.filters.refuse_seconds = refuse_s
        self.call(call)

    def launch(self, *tasks: TaskInfo, refuse_s: float = 0.0) -> None:
        """On the newest offer."""
        self.accept(self.new_offers()[-1:], list(tasks), refuse_s)

    def decline(self, offers: list[Offer], refuse_s: float | None = None) -> None:
        call = Call(type=Call.DECLINE)
        call.decline.offer_ids.extend(offer.id for offer in offers)
        if refuse_s is not None:
            call.decline.filters.refuse_seconds = refuse_s
        self.call(call)

    def acknowledge(self, status: TaskStatus) -> None:
        call = Call(type=Call.ACKNOWLEDGE)
        call.acknowledge.agent_id.CopyFrom(status.agent_id)
        call.acknowledge.task_id.CopyFrom(status.task_id)
        call.acknowledge.uuid = status.uuid
        self.call(call)

    def acknowledge_all(self) -> list[str]:
        """Acknowledges until nothing new comes; says the states that came, in order."""
        states: list[str] = []
        while statuses := self.new_statuses():
            for status in statuses:
                states.append(TaskState.Name(status.state))
                if status.HasField("uuid"):
                    self.acknowledge(status)
        return states

    def kill(self, task_id: str, agent_id: str = "") -> None:
        call = Call(type=Call.KILL)
        call.kill.task_id.value = task_id
        if agent_id:
            call.kill.agent_id.value = agent_id
        self.call(call)

    def reconcile(self, *asked: tuple[str, str]) -> list[TaskStatus]:
        """Explicit with (task id, agent id or "") pairs, implicit without; the answers."""
        call = Call(type=Call.RECONCILE)
        call.reconcile.SetInParent()
        for task_id, agent_id in asked:
            one = call.reconcile.tasks.add()
            one.task_id.value = task_id
            if agent_id:
                one.agent_id.value = agent_id
        self.new_statuses()
        self.call(call)
        return self.new_statuses()

    def suppress(self, *roles: str) -> None:
        call = Call(type=Call.SUPPRESS)
        call.suppress.roles.extend(roles)
        self.call(call)

    def revive(self, *roles: str) -> None:
        call = Call(type=Call.REVIVE)
        call.revive.roles.extend(roles)
        self.call(call)


def a_task(
    lab: Lab, task_id: str = "t", command: str = "serve", cpus: float = 1.0, agent: int = 0
) -> TaskInfo:
    """Runs until it is killed, unless the command says something else."""
    task = TaskInfo(name=task_id)
    task.task_id.value = task_id
    task.agent_id.value = lab.agent_id(agent)
    task.resources.append(scalar("cpus", cpus))
    task.command.value = command
    return task


def scalar(name: str, value: float) -> Resource:
    return Resource(name=name, type=Value.SCALAR, scalar=Value.Scalar(value=value))


def amounts(offer: Offer) -> dict[str, float]:
    return {one.name: one.scalar.value for one in offer.resources if one.type == Value.SCALAR}


def state(name: str) -> TaskState:
    return getattr(mesos, f"TASK_{name}")  # type: ignore[no-any-return]


def _description(index: int, size: Bundle) -> AgentDescription:
    rack = Attribute(name="rack", type=Value.TEXT, text=Value.Text(value=f"r{index}"))
    return AgentDescription(f"agent-{index}", "127.0.0.1", 5051 + index, size, (rack,))
