"""What the master does with tasks that it has: updates, acknowledgements, kills, reconciliation.

How they come to be is ``launching``, how they are lost ``agents``.
"""

from scheduler.emulator.model import statuses
from scheduler.emulator.model.agent import Agent
from scheduler.emulator.model.offers import Offers
from scheduler.emulator.model.records import TERMINAL, Framework, Tables, Task
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState, TaskStatus
from scheduler.mesos.proto.scheduler_pb2 import Call


class Tasks:
    def __init__(self, tables: Tables, offers: Offers) -> None:
        self._tables = tables
        self._offers = offers

    def update(
        self, agent: Agent, framework_id: str, status: TaskStatus, latest: TaskState
    ) -> None:
        """An agent forwards an update. "From an unregistered agent: dropped."; "updates for a
        disconnected or unknown framework: dropped, not acknowledged"."""
        self._tables.counts["messages_status_update"] += 1
        entry = self._tables.agents.get(agent.agent_id)
        framework = self._tables.frameworks.get(framework_id)
        if entry is None or framework is None:
            self._tables.counts["invalid_status_updates"] += 1
            return
        self._tables.counts["valid_status_updates"] += 1
        task = framework.tasks.get(status.task_id.value)
        if task is not None:
            self._advance(framework, task, latest)
        if not framework.connected:
            return
        shown = status
        seen = statuses.for_framework(framework, status.state)
        if seen != status.state:
            shown = TaskStatus()
            shown.CopyFrom(status)
            shown.state = seen
        if task is not None:
            task.store(shown)
        if status.state in TERMINAL:
            self._tables.judge.delivered(status)
        framework.send(statuses.update(shown))

    def acknowledge(self, framework: Framework, call: Call.Acknowledge) -> None:
        self._tables.counts["messages_status_update_acknowledgement"] += 1
        task_id, update_uuid = call.task_id.value, call.uuid
        entry = self._tables.agents.get(call.agent_id.value)
        if entry is None or not entry.connected:
            return  # "ACK to a disconnected/unknown agent is dropped: the update comes again"
        task = framework.tasks.get(task_id)
        last = task.forwarded if task is not None else None
        ended = last is not None and last.state in TERMINAL and last.uuid == update_uuid
        if task is not None and ended:
            self.remove(framework, task)
        link, framework_id = entry.link, framework.framework_id

        def deliver() -> None:
            if link.online:
                link.acknowledge(framework_id, task_id, update_uuid)

        self._tables.timeline.soon(deliver)

    def kill(self, framework: Framework, call: Call.Kill) -> None:
        self._tables.counts["messages_kill_task"] += 1
        task = framework.tasks.get(call.task_id.value)
        if task is None:
            agent_id = call.agent_id.value if call.HasField("agent_id") else None
            self._answer(framework, call.task_id.value, agent_id)
            return
        if call.HasField("agent_id") and call.agent_id.value != task.agent_id:
            return
        grace_s = None
        if call.kill_policy.HasField("grace_period"):
            grace_s = call.kill_policy.grace_period.nanoseconds / 1e9
        task.kill_wanted, task.kill_grace_s = True, grace_s
        self.send_kill(task)

    def send_kill(self, task: Task) -> None:
        """To a connected agent; "disconnected → remembered, sent when it re-registers"."""
        entry = self._tables.agents.get(task.agent_id)
        if entry is None or not entry.connected:
            return
        link, framework_id = entry.link, task.framework_id
        task_id, grace_s = task.task_id, task.kill_grace_s

        def deliver() -> None:
            if link.online:
                link.kill(framework_id, task_id, grace_s)

        self._tables.timeline.soon(deliver)

    def reconcile(self, framework: Framework, call: Call.Reconcile) -> None:
        self._tables.counts["messages_reconcile_tasks"] += 1
        if call.tasks:
            for asked in call.tasks:
                agent_id = asked.agent_id.value if asked.HasField("agent_id") else None
                self._answer(framework, asked.task_id.value, agent_id)
            return
        for task in list(framework.tasks.values()):
            self._answer(framework, task.task_id, task.agent_id)

    def remove(self, framework: Framework, task: Task) -> None:
        """The task is history: its terminal update has been acknowledged, or it is lost."""
        self._offers.release(framework, task)
        framework.end(task)
        entry = self._tables.agents.get(task.agent_id)
        if entry is not None:
            entry.tasks.pop((task.framework_id, task.task_id), None)

    def _advance(self, framework: Framework, task: Task, latest: TaskState) -> None:
        """ "Terminal in latest state: resources are released at once.\""""
        if task.state in TERMINAL:
            return
        task.state = latest
        if latest in TERMINAL:
            self._tables.counts[f"tasks/{TaskState.Name(latest)}"] += 1
            self._offers.release(framework, task)

    def _answer(self, framework: Framework, task_id: str, agent_id: str | None) -> None:
        """The first that holds: known, in transition, by what is known of the agent."""
        tables, wall_s = self._tables, self._tables.timeline.wall()
        reason = TaskStatus.REASON_RECONCILIATION
        task = framework.tasks.get(task_id)
        if task is not None:
            status = statuses.of_known_task(framework, task, reason, wall_s)
            status.message = "Reconciliation: the latest state of the task"
            framework.send(statuses.update(status))
            return
        in_transition = tables.recovered if agent_id is None else agent_id in tables.recovered
        if in_transition:
            return
        if agent_id in tables.agents:
            state, what = mesos.TASK_GONE, "the agent does not know the task"
        elif agent_id in tables.registry.unreachable:
            state, what = mesos.TASK_UNREACHABLE, "the agent is unreachable"
        elif agent_id in tables.registry.gone:
            state, what = mesos.TASK_GONE_BY_OPERATOR, "the agent is gone"
        else:
            state, what = mesos.TASK_UNKNOWN, "nothing is known of the task"
        message = f"Reconciliation: {what}"
        status = statuses.by_master(framework, task_id, agent_id, state, reason, wall_s, message)
        if agent_id is not None and agent_id in tables.registry.unreachable:
            since_s = tables.registry.unreachable[agent_id]
            status.unreachable_time.nanoseconds = int(since_s * 1e9)
        framework.send(statuses.update(status))
