"""One emulated master, from its election to its end: routes calls to its rooms.

Calls come with who makes them; what they cause leaves as events through each framework's
`EventSink` and as messages to the agents. It must not know HTTP: an answer is a status number and
a short text.
"""

import random
import socket
import struct
import uuid
from dataclasses import dataclass

from scheduler.emulator.model.agents import Agents
from scheduler.emulator.model.allocator import Allocator
from scheduler.emulator.model.judge import Judge
from scheduler.emulator.model.launching import Launching
from scheduler.emulator.model.offers import Offers
from scheduler.emulator.model.records import (
    EventSink,
    Framework,
    MasterOptions,
    Registry,
    Tables,
)
from scheduler.emulator.model.subscriptions import Subscriptions
from scheduler.emulator.model.tasks import Tasks
from scheduler.emulator.model.timeline import Timeline
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import MasterInfo
from scheduler.mesos.proto.scheduler_pb2 import Call, Event

VERSION = "1.11.0"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str = ""


ACCEPTED = Answer(202)


class Master:
    def __init__(
        self,
        options: MasterOptions,
        timeline: Timeline,
        randomness: random.Random,
        registry: Registry,
        judge: Judge,
    ) -> None:
        master_id = str(uuid.UUID(bytes=randomness.randbytes(16), version=4))
        self.tables = Tables(
            options=options,
            timeline=timeline,
            random=randomness,
            registry=registry,
            info=_master_info(master_id, options),
            judge=judge,
            started_wall_s=timeline.wall(),
        )
        offers = Offers(self.tables)
        self.allocator = Allocator(self.tables, offers)
        self.tasks = Tasks(self.tables, offers)
        self.agents = Agents(self.tables, offers, self.allocator, self.tasks)
        self.subscriptions = Subscriptions(self.tables, offers, self.allocator, self.tasks)
        self._launching = Launching(self.tables, offers)

    def subscribe(self, call: Call, sink: EventSink, principal: str | None = None) -> None:
        self.subscriptions.subscribe(call.subscribe, sink, principal)

    def call(self, call: Call, stream_id: str | None, principal: str | None = None) -> Answer:
        """Carries out a call other than SUBSCRIBE if its sender may make it: a known, connected
        framework, its principal, the current stream."""
        framework = self.tables.frameworks.get(call.framework_id.value)
        if framework is None:
            return Answer(400, "Framework cannot be found")
        if framework.principal != principal:
            return Answer(400, "The principal is not the framework's")
        if framework.sink is None:
            return Answer(403, "Framework is not subscribed")
        if stream_id is None:
            return Answer(400, "All calls after SUBSCRIBE need the header 'Mesos-Stream-Id'")
        if stream_id != framework.sink.stream_id:
            return Answer(400, "The stream id is not the current one")
        if call.type == Call.UNKNOWN:
            return Answer(501, "Unknown call")
        framework.counts["calls"] += 1
        framework.counts[f"calls/{Call.Type.Name(call.type).lower()}"] += 1
        if call.type == Call.UPDATE_FRAMEWORK:
            refusal = self.subscriptions.update(framework, call.update_framework)
            return Answer(200) if refusal is None else Answer(400, refusal)
        self._carry_out(framework, call)
        return ACCEPTED

    def retire(self) -> None:
        """The master process ends: streams break, nothing is said."""
        self.tables.retired = True
        for framework in self.tables.frameworks.values():
            if framework.sink is not None:
                framework.sink.cut()
                framework.sink = None

    def _carry_out(self, framework: Framework, call: Call) -> None:
        match call.type:
            case Call.ACCEPT:
                self._launching.accept(framework, call.accept)
            case Call.DECLINE:
                self._launching.decline(framework, call.decline)
            case Call.ACKNOWLEDGE:
                self.tasks.acknowledge(framework, call.acknowledge)
            case Call.KILL:
                self.tasks.kill(framework, call.kill)
            case Call.RECONCILE:
                self.tasks.reconcile(framework, call.reconcile)
            case Call.REVIVE:
                self.subscriptions.revive(framework, call.revive.roles)
            case Call.SUPPRESS:
                self.subscriptions.suppress(framework, call.suppress.roles)
            case Call.TEARDOWN:
                self.subscriptions.remove(framework)
            case Call.RECONCILE_OPERATIONS:
                self._reconcile_operations(framework, call.reconcile_operations)
            case _:
                # REQUEST is ignored by the real master too. SHUTDOWN and MESSAGE are for custom
                # executors, the rest for operations and inverse offers: none exists here.
                pass

    def _reconcile_operations(self, framework: Framework, call: Call.ReconcileOperations) -> None:
        """No operation is ever known here: so only the agent decides the answer."""
        tables = self.tables
        for asked in call.operations:
            agent_id = asked.agent_id.value if asked.HasField("agent_id") else None
            if agent_id in tables.recovered or (agent_id is None and tables.recovered):
                state = mesos.OPERATION_RECOVERING
            elif agent_id in tables.registry.unreachable:
                state = mesos.OPERATION_UNREACHABLE
            elif agent_id in tables.registry.gone:
                state = mesos.OPERATION_GONE_BY_OPERATOR
            else:
                state = mesos.OPERATION_UNKNOWN
            event = Event(type=Event.UPDATE_OPERATION_STATUS)
            status = event.update_operation_status.status
            status.operation_id.CopyFrom(asked.operation_id)
            status.state = state
            if agent_id is not None:
                status.agent_id.value = agent_id
            framework.send(event)


def _master_info(master_id: str, options: MasterOptions) -> MasterInfo:
    info = MasterInfo(
        id=master_id,
        ip=struct.unpack("<I", socket.inet_aton(options.ip))[0],
        port=options.port,
        pid=f"master@{options.ip}:{options.port}",
        hostname=options.hostname,
        version=VERSION,
    )
    info.address.hostname = options.hostname
    info.address.ip = options.ip
    info.address.port = options.port
    for capability in (MasterInfo.Capability.AGENT_UPDATE, MasterInfo.Capability.AGENT_DRAINING):
        info.capabilities.add().type = capability
    # A third one has a number that v1 lacks (QUOTA_V2): a client must not stumble over it.
    info.capabilities.add().MergeFromString(b"\x08\x03")
    return info
