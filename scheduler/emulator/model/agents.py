"""How the master gains and loses agents.

A lost agent stays registered, without offers, until five pings went unanswered; then its tasks
are unreachable. It may come back at any time, unless an operator has declared it gone.
"""

import math

from scheduler.emulator.model import statuses
from scheduler.emulator.model.agent import Agent, frameworks_of
from scheduler.emulator.model.allocator import Allocator
from scheduler.emulator.model.bundle import EMPTY
from scheduler.emulator.model.offers import Offers
from scheduler.emulator.model.records import (
    TERMINAL,
    UNREACHABLE_TASKS_MAX,
    AgentEntry,
    Framework,
    Tables,
    Task,
)
from scheduler.emulator.model.tasks import Tasks
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo, TaskState, TaskStatus

Reason = TaskStatus.Reason
LOST = mesos.TASK_LOST


class Agents:
    def __init__(self, tables: Tables, offers: Offers, allocator: Allocator, tasks: Tasks) -> None:
        self._tables = tables
        self._offers = offers
        self._allocator = allocator
        self._tasks = tasks
        self._recover()

    def register(self, link: Agent) -> None:
        """An agent registers, or registers again with its tasks."""
        tables = self._tables
        if link.agent_id in tables.registry.gone:
            link.shutdown()
            return
        if not link.agent_id:
            link.agent_id = f"{tables.info.id}-S{tables.next_number('agents')}"
        link.online = True
        entry = tables.agents.get(link.agent_id)
        if entry is None:
            self._admit(link)
        else:
            self._reconnect(entry)
        link.resend()

    def link_broke(self, link: Agent) -> None:
        """The agent's connection broke: no offers of it, and at once the end of the tasks of
        frameworks that do not checkpoint."""
        entry = self._tables.agents.get(link.agent_id)
        if entry is None:
            return
        entry.connected = False
        self._offers.rescind_agent(entry)
        for task in list(entry.tasks.values()):
            framework = self._tables.frameworks.get(task.framework_id)
            if framework is not None and not framework.info.checkpoint:
                self._lose(framework, task, LOST, TaskStatus.REASON_AGENT_DISCONNECTED)
        self.silent(link)

    def silent(self, link: Agent) -> None:
        """The agent answers no ping from now on."""
        entry = self._tables.agents.get(link.agent_id)
        if entry is None or entry.silent_since is not None:
            return
        options, now = self._tables.options, self._tables.timeline.now
        entry.silent_since = now
        # Pings go every interval since the registration; the first that it misses counts too.
        interval_s = options.agent_ping_timeout_s
        first_s = math.ceil(now / interval_s) * interval_s
        due_s = first_s + options.agent_pings_max * interval_s
        entry.unreachable_timer = self._tables.timeline.after(
            due_s - now, lambda: self._unreachable(entry)
        )

    def mark_gone(self, agent_id: str) -> bool:
        """MARK_AGENT_GONE; False if nobody knows the agent."""
        tables = self._tables
        if agent_id in tables.registry.gone:
            return True
        if agent_id not in tables.registry.admitted:
            return False
        tables.registry.gone[agent_id] = tables.timeline.wall()
        tables.registry.unreachable.pop(agent_id, None)
        tables.recovered.pop(agent_id, None)
        entry = tables.agents.get(agent_id)
        if entry is not None:
            self._remove(
                entry,
                mesos.TASK_GONE_BY_OPERATOR,
                TaskStatus.REASON_AGENT_REMOVED_BY_OPERATOR,
            )
            tables.timeline.soon(entry.link.shutdown)
        return True

    def replaced(self, agent_id: str) -> None:
        """The agent at that address registers as a new one: its state is lost, and "the old agent
        is removed at once, TASK_LOST REASON_AGENT_REMOVED (even PA)"."""
        tables = self._tables
        tables.registry.admitted.pop(agent_id, None)
        tables.registry.unreachable.pop(agent_id, None)
        tables.recovered.pop(agent_id, None)
        entry = tables.agents.get(agent_id)
        if entry is not None:
            self._remove(entry, LOST, TaskStatus.REASON_AGENT_REMOVED)

    # -- arriving

    def _recover(self) -> None:
        """A new master knows its agents from the registry, and waits for them."""
        tables = self._tables
        for agent_id, info in tables.registry.admitted.items():
            if agent_id not in tables.registry.unreachable and agent_id not in tables.registry.gone:
                tables.recovered[agent_id] = info
        if tables.recovered:
            timeout_s = tables.options.agent_reregister_timeout_s
            tables.timeline.after(timeout_s, self._recovery_ended)

    def _recovery_ended(self) -> None:
        """Who did not come back counts as unreachable; this master never knew the tasks."""
        tables = self._tables
        if tables.retired:
            return
        for agent_id in tables.recovered:
            tables.registry.unreachable[agent_id] = tables.timeline.wall()
            self._failure(agent_id)
        tables.recovered.clear()

    def _admit(self, link: Agent) -> None:
        tables = self._tables
        agent_id, wall_s = link.agent_id, tables.timeline.wall()
        known = agent_id in tables.registry.admitted
        was_lost = agent_id in tables.registry.unreachable
        entry = AgentEntry(link.info(), link, link.description.total, wall_s)
        entry.free = entry.total
        if known:
            entry.reregistered_wall_s = wall_s
        tables.counts["slave_reregistrations" if known else "slave_registrations"] += 1
        tables.registry.admitted[agent_id] = entry.info
        tables.registry.unreachable.pop(agent_id, None)
        tables.recovered.pop(agent_id, None)
        tables.agents[agent_id] = entry
        self._take_tasks(entry, was_lost=was_lost)
        self._allocator.request({agent_id})

    def _reconnect(self, entry: AgentEntry) -> None:
        """Back before it was marked: "active, no statuses, new offers at next allocation"."""
        tables = self._tables
        tables.counts["slave_reregistrations"] += 1
        entry.connected = True
        entry.silent_since = None
        entry.reregistered_wall_s = tables.timeline.wall()
        if entry.unreachable_timer is not None:
            entry.unreachable_timer.cancel()
        self._take_tasks(entry, was_lost=False)
        for (framework_id, task_id), task in list(entry.tasks.items()):
            framework = tables.frameworks.get(framework_id)
            if (framework_id, task_id) not in entry.link.tasks and framework is not None:
                self._tell_unknown(entry, framework, task)
            elif task.kill_wanted:
                self._tasks.send_kill(task)

    def _tell_unknown(self, entry: AgentEntry, framework: Framework, task: Task) -> None:
        """The launch was lost on the way: the agent answers with its own DROPPED or LOST."""
        if task.state in TERMINAL:
            return
        state = statuses.for_framework(framework, mesos.TASK_DROPPED)
        link, info = entry.link, framework.info
        self._tables.timeline.soon(lambda: link.drop_unknown(info, task.info, state, task.bundle))

    def _take_tasks(self, entry: AgentEntry, *, was_lost: bool) -> None:
        """Takes over the tasks that the agent has and this master does not know."""
        tables = self._tables
        for framework_id, info in frameworks_of(entry.link.tasks.values()).items():
            if framework_id in tables.completed:
                tables.timeline.soon(
                    lambda gone=framework_id: entry.link.shutdown_framework(gone)  # type: ignore[misc]
                )
            elif framework_id not in tables.frameworks:
                tables.frameworks[framework_id] = self._recovered_framework(info)
        for key, held in entry.link.tasks.items():
            framework = tables.frameworks.get(key[0])
            if framework is None or key in entry.tasks:
                continue
            framework.unreachable.pop(key[1], None)
            task = Task(
                info=held.launch.task,
                framework_id=key[0],
                agent_id=entry.agent_id,
                role=held.role,
                bundle=held.bundle,
                state=held.latest,
                user=held.launch.user,
                forwarded=held.sent,
            )
            entry.tasks[key] = framework.tasks[key[1]] = task
            if task.state in TERMINAL:
                task.released = True
            else:
                self._offers.hold(framework, task.role, entry, task.bundle)
            if was_lost:
                reason = TaskStatus.REASON_AGENT_REREGISTERED
                wall_s = tables.timeline.wall()
                status = statuses.of_known_task(framework, task, reason, wall_s)
                status.message = "The agent is back"
                framework.send(statuses.update(status))

    def _recovered_framework(self, info: FrameworkInfo) -> Framework:
        kept = FrameworkInfo()
        kept.CopyFrom(info)
        return Framework(kept, self._tables.timeline.wall(), recovered=True)

    # -- leaving

    def _unreachable(self, entry: AgentEntry) -> None:
        tables = self._tables
        if tables.retired or tables.agents.get(entry.agent_id) is not entry:
            return
        entry.link.online = False
        tables.counts["slave_unreachable_completed"] += 1
        tables.registry.unreachable[entry.agent_id] = tables.timeline.wall()
        self._remove(entry, mesos.TASK_UNREACHABLE, TaskStatus.REASON_AGENT_REMOVED)

    def _remove(self, entry: AgentEntry, state: TaskState, reason: Reason) -> None:
        """In this order: task statuses, RESCINDs, FAILURE to every framework."""
        self._tables.counts["slave_removals"] += 1
        if entry.unreachable_timer is not None:
            entry.unreachable_timer.cancel()
        for task in list(entry.tasks.values()):
            framework = self._tables.frameworks.get(task.framework_id)
            if framework is not None:
                self._lose(framework, task, state, reason)
        self._offers.rescind_agent(entry)
        entry.free = EMPTY
        del self._tables.agents[entry.agent_id]
        for framework in self._tables.frameworks.values():
            for key in [key for key in framework.filters if key[1] == entry.agent_id]:
                del framework.filters[key]
        self._failure(entry.agent_id)

    def _lose(self, framework: Framework, task: Task, state: TaskState, reason: Reason) -> None:
        tables = self._tables
        if not framework.partition_aware and reason == TaskStatus.REASON_AGENT_REMOVED_BY_OPERATOR:
            reason = TaskStatus.REASON_AGENT_REMOVED
        wall_s = tables.timeline.wall()
        message = "The agent is lost"
        status = statuses.by_master(
            framework, task.task_id, task.agent_id, state, reason, wall_s, message
        )
        unreachable = state == mesos.TASK_UNREACHABLE
        if unreachable:
            status.unreachable_time.nanoseconds = int(wall_s * 1e9)
        ended = task.state in TERMINAL
        self._tasks.remove(framework, task)
        if unreachable and not ended:
            framework.completed.pop()
            framework.unreachable[task.task_id] = task
            while len(framework.unreachable) > UNREACHABLE_TASKS_MAX:
                framework.unreachable.popitem(last=False)
        task.state = status.state
        task.store(status)
        tables.counts[f"tasks/{TaskState.Name(status.state)}"] += 1
        framework.send(statuses.update(status))

    def _failure(self, agent_id: str) -> None:
        """ "Goes to every connected framework, with or without tasks there.\""""
        for framework in self._tables.connected_frameworks():
            framework.send(statuses.failure(agent_id))
