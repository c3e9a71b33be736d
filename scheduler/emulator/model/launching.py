"""ACCEPT and DECLINE: what a framework makes of its offers.

Of the operations only LAUNCH is carried out. The others end as the master ends what it cannot do:
OPERATION_ERROR if feedback is asked for, silence if not; the tasks of a LAUNCH_GROUP as
TASK_ERROR.
"""

from collections.abc import Iterable

from scheduler.emulator.model import bundle, statuses, task_rules
from scheduler.emulator.model.bundle import EMPTY, Bundle
from scheduler.emulator.model.offers import Offers
from scheduler.emulator.model.records import AgentEntry, Framework, Offer, Tables, Task
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import HealthCheck, TaskInfo, TaskState, TaskStatus
from scheduler.mesos.proto.scheduler_pb2 import Call, Event

Operation = mesos.Offer.Operation

DROPPED = mesos.TASK_DROPPED
ERROR = mesos.TASK_ERROR


class Launching:
    def __init__(self, tables: Tables, offers: Offers) -> None:
        self._tables = tables
        self._offers = offers

    def decline(self, framework: Framework, call: Call.Decline) -> None:
        """ "Ids that are unknown are skipped, others handled; the owner is not checked.\""""
        for offer_id in call.offer_ids:
            offer = self._tables.offers.get(offer_id.value)
            if offer is None:
                continue
            framework.counts["offers/declined"] += 1
            self._offers.discard(offer)
            owner = self._tables.frameworks.get(offer.framework_id, framework)
            self._offers.refuse(owner, offer.role, offer.agent_id, offer.bundle, call.filters)

    def accept(self, framework: Framework, call: Call.Accept) -> None:
        offer_ids = [offer_id.value for offer_id in call.offer_ids]
        offers = [self._tables.offers[one] for one in offer_ids if one in self._tables.offers]
        if not self._pool_is_good(framework, offer_ids, offers):
            self._refuse(framework, call, offers)
            return
        framework.counts["offers/accepted"] += len(offers)
        for offer in offers:
            self._offers.take(offer)
        agent = self._tables.agents[offers[0].agent_id]
        role = offers[0].role
        left = bundle.total(offer.bundle for offer in offers)
        for operation in call.operations:
            if operation.type == Operation.LAUNCH:
                left = self._launch(framework, operation, agent, role, left)
            else:
                self._not_carried_out(framework, operation, agent)
        self._offers.free(framework, role, agent, left)
        self._offers.refuse(framework, role, agent.agent_id, left, call.filters)

    def _pool_is_good(
        self, framework: Framework, offer_ids: list[str], offers: list[Offer]
    ) -> bool:
        """No duplicate ids; all outstanding; of the caller; one allocation role; one agent."""
        return (
            bool(offer_ids)
            and len(set(offer_ids)) == len(offer_ids) == len(offers)
            and all(offer.framework_id == framework.framework_id for offer in offers)
            and len({(offer.role, offer.agent_id) for offer in offers}) == 1
            and offers[0].agent_id in self._tables.agents
        )

    def _refuse(self, framework: Framework, call: Call.Accept, offers: list[Offer]) -> None:
        """ "The whole call fails; its still valid offers are taken back without filter.\""""
        for offer in {offer.offer_id: offer for offer in offers}.values():
            self._offers.discard(offer)
        for operation in call.operations:
            for task in _tasks_of(operation):
                self._say(
                    framework, task, DROPPED, TaskStatus.REASON_INVALID_OFFERS, "offers not valid"
                )
            self._operation_error(framework, operation)

    def _launch(
        self,
        framework: Framework,
        operation: Operation,
        agent: AgentEntry,
        role: str,
        left: Bundle,
    ) -> Bundle:
        """Starts what is valid; returns what the offers still hold."""
        tasks = operation.launch.task_infos
        whole = "an operation id on LAUNCH" if operation.HasField("id") else None
        for task in tasks:
            whole = whole or bundle.problem([*task.resources, *task.executor.resources])
        for task in tasks:
            known = task_rules.Known(
                agent_id=agent.agent_id,
                framework_id=framework.framework_id,
                role=role,
                left=left,
                in_use=framework.tasks.__contains__,
                unreachable=framework.unreachable.__contains__,
            )
            found = whole or task_rules.problem(task, known)
            if found:
                self._say(framework, task, ERROR, TaskStatus.REASON_TASK_INVALID, found)
                continue
            taken = task_rules.amounts(task) or EMPTY
            left = left - taken
            self._start(framework, task, agent, role, taken)
        return left

    def _start(
        self, framework: Framework, asked: TaskInfo, agent: AgentEntry, role: str, taken: Bundle
    ) -> None:
        """The task is known as TASK_STAGING from here on."""
        info = TaskInfo()
        info.CopyFrom(asked)
        for resource in info.resources:
            resource.allocation_info.role = role
        if info.HasField("health_check") and not info.health_check.HasField("type"):
            by_command = info.health_check.HasField("command")
            info.health_check.type = HealthCheck.COMMAND if by_command else HealthCheck.HTTP
        user = (
            info.command.user or info.executor.command.user or framework.info.user
        )  # "task command user > executor command user > framework user"
        task = Task(
            info=info,
            framework_id=framework.framework_id,
            agent_id=agent.agent_id,
            role=role,
            bundle=taken,
            state=mesos.TASK_STAGING,
            user=user,
        )
        framework.tasks[task.task_id] = task
        agent.tasks[framework.framework_id, task.task_id] = task
        self._tables.judge.accepted(framework.framework_id, agent.agent_id, task.task_id)
        self._tables.counts["messages_launch_tasks"] += 1
        link, told = agent.link, framework.info

        def deliver() -> None:
            if link.online:
                link.launch(told, info, role, taken, user)

        self._tables.timeline.soon(deliver)

    def _not_carried_out(
        self, framework: Framework, operation: Operation, agent: AgentEntry
    ) -> None:
        for task in operation.launch_group.task_group.tasks:
            reason = TaskStatus.REASON_TASK_GROUP_INVALID
            self._say(framework, task, ERROR, reason, "task groups are not emulated")
        self._operation_error(framework, operation)

    def _operation_error(self, framework: Framework, operation: Operation) -> None:
        if not operation.HasField("id") or _tasks_of(operation):
            return
        event = Event(type=Event.UPDATE_OPERATION_STATUS)
        status = event.update_operation_status.status
        status.operation_id.CopyFrom(operation.id)
        status.state = mesos.OPERATION_ERROR
        status.message = "the operation is not valid here"
        framework.send(event)

    def _say(
        self,
        framework: Framework,
        task: TaskInfo,
        state: TaskState,
        reason: TaskStatus.Reason,
        message: str,
    ) -> None:
        status = statuses.by_master(
            framework,
            task.task_id.value,
            task.agent_id.value,
            state,
            reason,
            self._tables.timeline.wall(),
            message,
        )
        self._tables.counts[f"tasks/{TaskState.Name(status.state)}"] += 1
        framework.send(statuses.update(status))


def _tasks_of(operation: Operation) -> list[TaskInfo]:
    groups: tuple[Iterable[TaskInfo], ...] = (
        operation.launch.task_infos,
        operation.launch_group.task_group.tasks,
    )
    return [task for group in groups for task in group]
