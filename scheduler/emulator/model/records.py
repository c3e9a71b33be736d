"""What the emulated master keeps: frameworks, tasks, offers, agents, and its registry.

Plain mutable records; the rooms of ``master`` change them, the HTTP pages read them. The registry
is what outlives a master ("master restart keeps only the registry").
"""

import random
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scheduler.emulator.model.bundle import EMPTY, REVOCABLE, Bundle
from scheduler.emulator.model.judge import Judge
from scheduler.emulator.model.timeline import Timeline, Timer
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import (
    AgentInfo,
    FrameworkInfo,
    MasterInfo,
    TaskInfo,
    TaskState,
    TaskStatus,
)
from scheduler.mesos.proto.scheduler_pb2 import Event

if TYPE_CHECKING:
    from scheduler.emulator.model.agent import Agent

COMPLETED_FRAMEWORKS_MAX = 50
COMPLETED_TASKS_MAX = 1000
UNREACHABLE_TASKS_MAX = 1000

Capability = FrameworkInfo.Capability

TERMINAL = frozenset(
    {
        mesos.TASK_FINISHED,
        mesos.TASK_FAILED,
        mesos.TASK_KILLED,
        mesos.TASK_ERROR,
        mesos.TASK_LOST,
        mesos.TASK_DROPPED,
        mesos.TASK_GONE,
        mesos.TASK_GONE_BY_OPERATOR,
    }
)


class EventSink(Protocol):
    """One framework's event stream, seen from the master."""

    stream_id: str

    def send(self, event: Event) -> None:
        """Queues one event; a stream that the peer has closed loses it silently."""

    def close(self) -> None:
        """Ends the stream after what is queued; its connection may be used on."""

    def cut(self) -> None:
        """Breaks the connection: what is queued may be lost."""


@dataclass(frozen=True, slots=True)
class MasterOptions:
    """The flags of the master that can be felt from outside; times in seconds."""

    allocation_interval_s: float = 1.0
    heartbeat_interval_s: float = 15.0
    offer_timeout_s: float | None = None
    agent_ping_timeout_s: float = 15.0
    agent_pings_max: int = 5
    agent_reregister_timeout_s: float = 600.0
    min_allocatable: tuple[Bundle, ...] = (
        Bundle(scalars=(("cpus", 10),)),
        Bundle(scalars=(("mem", 32_000),)),
    )
    hostname: str = "localhost"
    ip: str = "127.0.0.1"
    port: int = 5050


@dataclass(slots=True)
class Filter:
    """What was refused, and until when; blocks offers that are no more than it."""

    refused: Bundle
    until: float


@dataclass(slots=True)
class Task:
    """The master's record of a task. `state` is the newest that the agent knows;
    `forwarded` the last status that went to the framework."""

    info: TaskInfo
    framework_id: str
    agent_id: str
    role: str
    bundle: Bundle
    state: TaskState
    user: str
    statuses: list[TaskStatus] = field(default_factory=list)
    forwarded: TaskStatus | None = None
    released: bool = False
    kill_wanted: bool = False
    kill_grace_s: float | None = None

    @property
    def task_id(self) -> str:
        return self.info.task_id.value

    def visible_state(self) -> TaskState:
        """What reconciliation says: the latest state *forwarded to the framework*."""
        return self.forwarded.state if self.forwarded is not None else self.state

    def store(self, status: TaskStatus) -> None:
        """Keeps a forwarded status; one of the same state as the last replaces it."""
        self.forwarded = kept = status
        if status.HasField("data"):
            kept = TaskStatus()
            kept.CopyFrom(status)
            kept.ClearField("data")
        if self.statuses and self.statuses[-1].state == status.state:
            self.statuses[-1] = kept
        else:
            self.statuses.append(kept)


@dataclass(slots=True)
class Offer:
    offer_id: str
    framework_id: str
    agent_id: str
    role: str
    bundle: Bundle
    timer: Timer | None = None


@dataclass(slots=True)
class Framework:
    info: FrameworkInfo
    registered_wall_s: float
    principal: str | None = None
    suppressed: set[str] = field(default_factory=set)
    sink: EventSink | None = None
    recovered: bool = False
    reregistered_wall_s: float | None = None
    unregistered_wall_s: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    unreachable: OrderedDict[str, Task] = field(default_factory=OrderedDict)
    completed: deque[Task] = field(default_factory=lambda: deque(maxlen=COMPLETED_TASKS_MAX))
    offer_ids: set[str] = field(default_factory=set)
    filters: dict[tuple[str, str], list[Filter]] = field(default_factory=dict)
    # Scalars held by tasks and offers, by role: what the sorter compares.
    allocated: dict[str, Counter[str]] = field(default_factory=dict)
    offers_made: Counter[str] = field(default_factory=Counter)
    failover_timer: Timer | None = None
    heartbeat_timer: Timer | None = None
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def framework_id(self) -> str:
        return self.info.id.value

    @property
    def connected(self) -> bool:
        return self.sink is not None

    def can(self, capability: Capability.Type) -> bool:
        return any(one.type == capability for one in self.info.capabilities)

    @property
    def partition_aware(self) -> bool:
        return self.can(Capability.PARTITION_AWARE)

    @property
    def roles(self) -> tuple[str, ...]:
        if self.can(Capability.MULTI_ROLE):
            return tuple(self.info.roles)
        return (self.info.role,)

    def send(self, event: Event) -> None:
        """To the framework if it is there; else lost, as the real master loses it."""
        if self.sink is not None:
            self.counts["events"] += 1
            self.counts[f"events/{Event.Type.Name(event.type).lower()}"] += 1
            self.sink.send(event)

    def end(self, task: Task) -> None:
        self.tasks.pop(task.task_id, None)
        self.completed.append(task)


@dataclass(slots=True)
class AgentEntry:
    """A registered agent: connected, or lost but not yet counted as unreachable."""

    info: AgentInfo
    link: "Agent"
    total: Bundle
    registered_wall_s: float
    free: Bundle = EMPTY
    reregistered_wall_s: float | None = None
    connected: bool = True
    silent_since: float | None = None
    unreachable_timer: Timer | None = None
    offer_ids: set[str] = field(default_factory=set)
    # Framework and task ids of what it runs.
    tasks: dict[tuple[str, str], Task] = field(default_factory=dict)

    @property
    def agent_id(self) -> str:
        return self.info.id.value


@dataclass(slots=True)
class Registry:
    """Agents admitted, unreachable (since when, wall seconds) and gone."""

    admitted: dict[str, AgentInfo] = field(default_factory=dict)
    unreachable: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Tables:
    """All that one master knows; shared by its rooms."""

    options: MasterOptions
    timeline: Timeline
    random: random.Random
    registry: Registry
    info: MasterInfo
    judge: Judge
    started_wall_s: float
    frameworks: dict[str, Framework] = field(default_factory=dict)
    completed: OrderedDict[str, Framework] = field(default_factory=OrderedDict)
    agents: dict[str, AgentEntry] = field(default_factory=dict)
    recovered: dict[str, AgentInfo] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    # A master that has been replaced does nothing more, whatever timers it still has.
    retired: bool = False

    def next_number(self, kind: str) -> int:
        number = self.counts[kind]
        self.counts[kind] += 1
        return number

    def connected_frameworks(self) -> Iterator[Framework]:
        return (one for one in self.frameworks.values() if one.connected)


def scalars_of(bundles: Iterable[Bundle]) -> Counter[str]:
    """Summed by name, revocable or not, as the sorter counts."""
    counted: Counter[str] = Counter()
    for one in bundles:
        for name, amount in one.scalars:
            counted[name.removesuffix(REVOCABLE)] += amount
    return counted
