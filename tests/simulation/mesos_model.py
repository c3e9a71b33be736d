"""A small, slow Mesos in virtual time: one master and its agents, as a framework sees them.

It knows which tasks really run, loses what Mesos may lose, and answers as the documents say
(reconciliation table, status updates with acknowledgements, filters). It knows nothing of the
scheduler but its calls.
"""

import enum
from collections import deque
from dataclasses import dataclass, field
from random import Random

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Kill,
    Launch,
    Reconcile,
    Revive,
    Suppress,
    UpdateFramework,
    Wanted,
)
from scheduler.core.events import (
    Event,
    OfferRescinded,
    OffersMade,
    StatusUpdated,
    Subscribed,
    TaskState,
)
from scheduler.core.model.ids import AgentId, FrameworkId, MasterId, OfferId, Role, TaskId
from scheduler.core.model.needs import Needs
from scheduler.core.model.offer import Offer
from tests.builders import an_agent, an_offer

ENDED = frozenset({TaskState.FINISHED, TaskState.FAILED, TaskState.KILLED, TaskState.DROPPED})
UNREACHABLE_AFTER_S = 80.0
REFUSES_NEEDS = 0.3
REREGISTER_TIMEOUT_S = 600.0
RESEND_S = 10.0


class Standing(enum.Enum):
    """What the master thinks of an agent."""

    REGISTERED = "registered"
    RECOVERED = "recovered"
    UNREACHABLE = "unreachable"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass
class Task:
    """What really is. `updates` are those not acknowledged, oldest first."""

    launch: Launch
    state: TaskState
    next_at: float
    runs_s: float | None
    updates: deque[tuple[TaskState, bytes, str]] = field(default_factory=deque)
    resend_at: float = 0.0
    killed_at: float | None = None
    ends_as: TaskState = TaskState.FINISHED

    @property
    def live(self) -> bool:
        return self.state not in ENDED


@dataclass
class Agent:
    agent_id: AgentId
    hostname: str
    cpus: int
    linked: bool = True
    dead: bool = False
    standing: Standing = Standing.REGISTERED
    cut_at: float = 0.0
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    kills: set[TaskId] = field(default_factory=set)

    @property
    def talks(self) -> bool:
        return self.linked and not self.dead and self.standing is Standing.REGISTERED


class MesosModel:
    """`events` wait to be read by the framework; a cut stream loses them."""

    def __init__(self, agents: int, cpus: int, seed: int, role: Role) -> None:
        self.random = Random(seed)
        self.role = role
        self.now = 0.0
        self.agents: dict[AgentId, Agent] = {}
        self.cpus = cpus
        self._numbers = 0
        for _ in range(agents):
            self.add_agent()
        self.known: dict[TaskId, tuple[AgentId, TaskState]] = {}
        self.events: list[Event] = []
        self.connected = False
        self.framework_id: FrameworkId | None = None
        self.failover_timeout_s = 0.0
        self.suppressed = True
        self.needs = Needs()
        self.refuses_needs = False
        self.filters: dict[AgentId, tuple[float, int]] = {}
        self.outstanding: dict[OfferId, tuple[AgentId, int]] = {}
        self.ever_launched: set[TaskId] = set()
        self.service_failures = 0.0
        self.launches_lost = 0.0

    def add_agent(self) -> None:
        self._numbers += 1
        name = f"h{self._numbers}"
        agent_id = an_agent(name).agent_id
        self.agents[agent_id] = Agent(agent_id, name, self.cpus)

    # --- the framework's stream ------------------------------------------------------------------

    def subscribe(self, wanted: Wanted, framework_id: FrameworkId | None) -> None:
        if wanted.needs and self.refuses_needs:
            return  # an ERROR, and the end of the stream
        if self.connected:
            self.cut()
        if self.framework_id is None or framework_id != self.framework_id:
            assert framework_id is None, "a framework id from nowhere"
            assert not self.live_tasks(), "the framework id was lost while tasks run"
            self._numbers += 1
            self.framework_id = FrameworkId(f"F-{self._numbers}")
        self.connected = True
        self.failover_timeout_s = wanted.failover_timeout_s
        self.suppressed = self.role in wanted.suppressed
        self.needs = wanted.needs_of(self.role)
        self.events = [
            Subscribed(self.framework_id, MasterId("M"), "http://127.0.0.1:5050", "1.11.0")
        ]
        for agent in self.agents.values():
            if agent.talks:
                self._resend_all(agent)

    def cut(self) -> None:
        """The stream breaks: what was on its way is lost, and every offer is void."""
        self.connected = False
        self.events = []
        self.outstanding.clear()
        if self.failover_timeout_s == 0.0 and self.framework_id is not None:
            assert not self.live_tasks(), "tasks were launched before the real timeout was set"
            self.framework_id = None

    def fail_over(self) -> None:
        """Another master: it knows of agents only that they are in the registry."""
        self.cut()
        self.known.clear()
        self.filters.clear()
        self.refuses_needs = self.random.random() < REFUSES_NEEDS
        for agent in self.agents.values():
            if agent.standing is Standing.REGISTERED:
                agent.standing = Standing.RECOVERED
                agent.cut_at = self.now
                agent.kills.clear()

    def call(self, call: Call) -> bool:
        """False: it is refused."""
        if isinstance(call, UpdateFramework) and call.wanted.needs and self.refuses_needs:
            return False
        self._take(call)
        return True

    def _take(self, call: Call) -> None:
        match call:
            case Accept():
                self._accept(call)
            case Decline():
                for offer_id in call.offer_ids:
                    self._refuse(offer_id, call.refuse_s)
            case Acknowledge():
                self._acknowledge(call)
            case Kill():
                self._kill(call)
            case Reconcile():
                self._reconcile(call)
            case Suppress():
                self.suppressed = True
            case Revive():
                self.suppressed = False
                self.filters.clear()
            case UpdateFramework(wanted=wanted):
                self.failover_timeout_s = wanted.failover_timeout_s
                self.suppressed = self.role in wanted.suppressed
                self.needs = wanted.needs_of(self.role)

    # --- calls -----------------------------------------------------------------------------------

    def _accept(self, call: Accept) -> None:
        for launch in call.launches:
            assert launch.task_id not in self.ever_launched, f"{launch.task_id} is used twice"
            self.ever_launched.add(launch.task_id)
        held = [self.outstanding.get(offer_id) for offer_id in call.offer_ids]
        free = sum(offer[1] for offer in held if offer is not None)
        wanted = sum(launch.template.amounts.cpus for launch in call.launches)
        valid = all(offer is not None for offer in held)
        assert not valid or wanted <= free, "more launched than was offered"
        for offer_id in call.offer_ids:
            self._refuse(offer_id, call.refuse_s)
        for launch in call.launches:
            if not valid or not self.agents[launch.agent_id].talks:
                self._say(
                    launch.task_id, TaskState.DROPPED, launch.agent_id, reason="invalid_offers"
                )
                continue
            self.known[launch.task_id] = (launch.agent_id, TaskState.STAGING)
            if self.random.random() >= self.launches_lost:
                batch = launch.job.startswith("batch")
                self.agents[launch.agent_id].tasks[launch.task_id] = Task(
                    launch=launch,
                    state=TaskState.STAGING,
                    next_at=self.now + self.random.uniform(0.0, 4.0),
                    runs_s=self.random.uniform(1.0, 60.0) if batch else None,
                )

    def _refuse(self, offer_id: OfferId, refuse_s: float) -> None:
        offer = self.outstanding.pop(offer_id, None)
        if offer is not None:
            self.filters[offer[0]] = (self.now + refuse_s, self._free(self.agents[offer[0]]))

    def _acknowledge(self, call: Acknowledge) -> None:
        agent = self.agents.get(call.agent_id)
        task = agent.tasks.get(call.task_id) if agent is not None and agent.talks else None
        if agent is None or task is None or not task.updates or task.updates[0][1] != call.uuid:
            return
        state = task.updates.popleft()[0]
        if state in ENDED:
            del agent.tasks[call.task_id]
            self.known.pop(call.task_id, None)
        elif task.updates:
            self._forward(agent, call.task_id, task)

    def _kill(self, call: Kill) -> None:
        known = self.known.get(call.task_id)
        agent = self.agents.get(call.agent_id)
        if known is None or agent is None:
            self._answer(call.task_id, call.agent_id)
        elif agent.talks:
            self._kill_there(agent, call.task_id)
        else:
            agent.kills.add(call.task_id)

    def _kill_there(self, agent: Agent, task_id: TaskId) -> None:
        task = agent.tasks.get(task_id)
        if task is None:
            self._lost_launch(agent, task_id, "executor_terminated")
        elif task.state is TaskState.STAGING:
            self._becomes(agent, task_id, task, TaskState.KILLED, "task_killed_during_launch")
        elif task.live and task.killed_at is None:
            task.killed_at = self.now + self.random.uniform(0.0, 3.0)
            self._becomes(agent, task_id, task, TaskState.KILLING)

    def _reconcile(self, call: Reconcile) -> None:
        if not call.tasks:
            for task_id, (agent_id, state) in self.known.items():
                self._say(task_id, state, agent_id, reason="reconciliation")
        for task_id, agent_id in call.tasks:
            self._answer(task_id, agent_id)

    def _answer(self, task_id: TaskId, agent_id: AgentId) -> None:
        """The table of explicit reconciliation; first matching row."""
        known = self.known.get(task_id)
        agent = self.agents.get(agent_id)
        standing = agent.standing if agent is not None else Standing.UNKNOWN
        if known is not None:
            self._say(task_id, known[1], known[0], reason="reconciliation")
            return
        state = {
            Standing.REGISTERED: TaskState.GONE,
            Standing.UNREACHABLE: TaskState.UNREACHABLE,
            Standing.GONE: TaskState.GONE_BY_OPERATOR,
            Standing.UNKNOWN: TaskState.UNKNOWN,
        }.get(standing)
        if state is not None:
            self._say(task_id, state, agent_id, reason="reconciliation")

    # --- what goes wrong -------------------------------------------------------------------------

    def part(self, agent: Agent) -> None:
        if agent.linked:
            agent.linked = False
            agent.cut_at = self.now

    def rejoin(self, agent: Agent) -> None:
        agent.linked = True
        if agent.standing is Standing.REGISTERED and not agent.dead:
            for task_id, (agent_id, _) in list(self.known.items()):
                if agent_id == agent.agent_id and task_id not in agent.tasks:
                    self._lost_launch(agent, task_id, "reconciliation")
            self._resend_all(agent)

    def die(self, agent: Agent) -> None:
        """The machine is lost with all that ran on it; the master will find out."""
        if not agent.dead:
            self.part(agent)
            agent.dead = True
            agent.tasks.clear()

    def reboot(self, agent: Agent) -> None:
        for task_id, task in list(agent.tasks.items()):
            if task.live:
                self._becomes(agent, task_id, task, TaskState.FAILED, "executor_terminated")

    def remove(self, agent: Agent) -> None:
        """The agent unregisters: its tasks are lost, and it never comes back under this id."""
        if agent.standing is Standing.REGISTERED:
            agent.dead = True
            agent.tasks.clear()
            self._leave(agent, Standing.UNKNOWN, TaskState.LOST, "agent_removed")

    def mark_gone(self, agent: Agent) -> None:
        """An operator says so. The agent, if it lives, is told to shut down when it comes."""
        if agent.standing is not Standing.GONE:
            self._leave(agent, Standing.GONE, TaskState.GONE_BY_OPERATOR, "agent_removed")
            agent.dead = True
            agent.tasks.clear()

    def prune(self, agent: Agent) -> None:
        if agent.standing is Standing.UNREACHABLE:
            agent.standing = Standing.UNKNOWN

    def fail_task(self, task_id: TaskId) -> None:
        for agent in self.agents.values():
            task = agent.tasks.get(task_id)
            if task is not None and task.live:
                self._becomes(agent, task_id, task, TaskState.FAILED)

    def rescind(self, offer_id: OfferId) -> None:
        if self.outstanding.pop(offer_id, None) is not None:
            self._event(OfferRescinded(offer_id))

    def repeat(self, task_id: TaskId) -> None:
        """An update is sent again before its time."""
        for agent in self.agents.values():
            task = agent.tasks.get(task_id)
            if task is not None and task.updates and agent.talks:
                self._forward(agent, task_id, task)

    # --- time ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self.now = now
        for agent in list(self.agents.values()):
            if not agent.dead:
                for task_id, task in list(agent.tasks.items()):
                    self._progress(agent, task_id, task)
            self._watch(agent)
        self._allocate()

    def _progress(self, agent: Agent, task_id: TaskId, task: Task) -> None:
        if task.killed_at is not None and task.live and self.now >= task.killed_at:
            self._becomes(agent, task_id, task, TaskState.KILLED)
        elif self.now >= task.next_at:
            if task.state is TaskState.STAGING:
                task.next_at = self.now + self.random.uniform(0.0, 2.0)
                self._becomes(agent, task_id, task, TaskState.STARTING)
            elif task.state is TaskState.STARTING:
                if task.runs_s is None and self.random.random() < self.service_failures:
                    task.runs_s = self.random.uniform(1.0, 300.0)
                    task.ends_as = TaskState.FAILED
                task.next_at = float("inf") if task.runs_s is None else self.now + task.runs_s
                self._becomes(agent, task_id, task, TaskState.RUNNING)
            elif task.state is TaskState.RUNNING:
                self._becomes(agent, task_id, task, task.ends_as)
        if task.updates and agent.talks and self.now >= task.resend_at:
            self._forward(agent, task_id, task)

    def _watch(self, agent: Agent) -> None:
        """Pings, and registering again."""
        away = not agent.linked or agent.dead
        if agent.standing is Standing.REGISTERED and away:
            if self.now >= agent.cut_at + UNREACHABLE_AFTER_S:
                self._leave(agent, Standing.UNREACHABLE, TaskState.UNREACHABLE, "agent_removed")
        elif agent.standing is Standing.RECOVERED and away:
            if self.now >= agent.cut_at + REREGISTER_TIMEOUT_S:
                agent.standing = Standing.UNREACHABLE
        elif not away and agent.standing not in (Standing.REGISTERED, Standing.GONE):
            self._reregister(agent)
        elif agent.talks and agent.kills:
            kills, agent.kills = agent.kills, set()
            for task_id in sorted(kills):
                self._kill_there(agent, task_id)

    def _leave(self, agent: Agent, standing: Standing, state: TaskState, reason: str) -> None:
        agent.standing = standing
        agent.kills.clear()
        for task_id, (agent_id, _) in list(self.known.items()):
            if agent_id == agent.agent_id:
                del self.known[task_id]
                self._say(task_id, state, agent_id, reason=reason)
        for offer_id, (agent_id, _) in list(self.outstanding.items()):
            if agent_id == agent.agent_id:
                self.rescind(offer_id)

    def _reregister(self, agent: Agent) -> None:
        was = agent.standing
        agent.standing = Standing.REGISTERED
        for task_id, task in agent.tasks.items():
            state = task.updates[0][0] if task.updates else task.state
            self.known[task_id] = (agent.agent_id, state)
            if was is not Standing.RECOVERED and task.live:
                self._say(task_id, task.state, agent.agent_id, reason="agent_reregistered")
        self._resend_all(agent)

    def _resend_all(self, agent: Agent) -> None:
        for task_id, task in agent.tasks.items():
            if task.updates:
                self._forward(agent, task_id, task)

    # --- updates ---------------------------------------------------------------------------------

    def _becomes(
        self, agent: Agent, task_id: TaskId, task: Task, state: TaskState, reason: str = ""
    ) -> None:
        task.state = state
        self._numbers += 1
        task.updates.append((state, self._numbers.to_bytes(16, "big"), reason))
        if len(task.updates) == 1 and agent.talks:
            self._forward(agent, task_id, task)

    def _lost_launch(self, agent: Agent, task_id: TaskId, reason: str) -> None:
        """The agent never heard of the task, and says so as soon as it is asked."""
        if task_id in self.known:
            del self.known[task_id]
            self._say(task_id, TaskState.DROPPED, agent.agent_id, reason=reason)

    def _forward(self, agent: Agent, task_id: TaskId, task: Task) -> None:
        state, uuid, reason = task.updates[0]
        task.resend_at = self.now + RESEND_S
        self.known[task_id] = (agent.agent_id, state)
        self._say(task_id, state, agent.agent_id, uuid=uuid, reason=reason)

    def _say(
        self,
        task_id: TaskId,
        state: TaskState,
        agent_id: AgentId,
        *,
        uuid: bytes = b"",
        reason: str = "",
    ) -> None:
        self._event(
            StatusUpdated(
                task_id=task_id,
                state=state,
                agent_id=agent_id,
                timestamp=self.now,
                uuid=uuid,
                source="executor" if uuid else "master",
                reason=reason,
            )
        )

    def _event(self, event: Event) -> None:
        if self.connected:
            self.events.append(event)

    # --- offers ----------------------------------------------------------------------------------

    def _free(self, agent: Agent) -> int:
        """What is known to be used, or really is; whichever is more careful."""
        used = sum(t.launch.template.amounts.cpus for t in agent.tasks.values() if t.live)
        return agent.cpus - used

    def _allocate(self) -> None:
        if not self.connected or self.suppressed:
            return
        offered = {agent_id for agent_id, _ in self.outstanding.values()}
        made: list[Offer] = []
        for agent in self.agents.values():
            free = self._free(agent)
            until, refused = self.filters.get(agent.agent_id, (0.0, 0))
            filtered = self.now < until and free <= refused
            if not agent.talks or agent.agent_id in offered or free <= 0 or filtered:
                continue
            if self.needs.minimums and not any(one.cpus <= free for one in self.needs.minimums):
                continue
            self._numbers += 1
            offer_id = OfferId(f"O{self._numbers}")
            self.outstanding[offer_id] = (agent.agent_id, free)
            made.append(
                an_offer(offer_id, an_agent(agent.hostname), role=self.role, cpus=free, mem=10**9)
            )
        if made:
            self._event(OffersMade(tuple(made)))

    # --- looking ---------------------------------------------------------------------------------

    def live_tasks(self) -> dict[TaskId, Task]:
        """What really runs, or is about to, reachable or not."""
        return {
            task_id: task
            for agent in self.agents.values()
            for task_id, task in agent.tasks.items()
            if task.live
        }

    def unacknowledged(self) -> list[TaskId]:
        return [
            task_id
            for agent in self.agents.values()
            for task_id, task in agent.tasks.items()
            if task.updates
        ]
