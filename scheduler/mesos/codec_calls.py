"""From the core's calls to the bytes of a scheduler.Call, for one framework id.

One codec lives as long as a stream: the framework id is known when the stream stands. It only
renders; the order of the calls is the outbox's, and what a call means the core's.
"""

from typing import Final

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Kill,
    Reconcile,
    Revive,
    Suppress,
    UpdateFramework,
)
from scheduler.core.model.ids import FrameworkId
from scheduler.mesos.codec_framework import FrameworkSettings, fill_constraints, framework_info
from scheduler.mesos.codec_tasks import TaskRenderer, nanoseconds
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2

_Call: Final = scheduler_pb2.Call


class CallCodec:
    """Renders the calls of one framework. `tasks` may be shared by codecs that follow each other:
    it keeps the rendered templates."""

    def __init__(
        self,
        framework_id: FrameworkId,
        settings: FrameworkSettings,
        tasks: TaskRenderer | None = None,
    ) -> None:
        self._framework_id = framework_id
        self._settings = settings
        self._tasks = tasks or TaskRenderer()
        # The call sent most, kept with what all of them share.
        self._acknowledgement = _Call(type=_Call.ACKNOWLEDGE)
        self._acknowledgement.framework_id.value = framework_id

    def encode(self, call: Call) -> bytes:
        """Raises `ValueError` or `TypeError` for a call that the wire has no form for: a number
        out of range, text that is not Unicode, a launch that does not fit its template."""
        if isinstance(call, Acknowledge):
            return self._encode_acknowledge(call)
        message = _Call()
        message.framework_id.value = self._framework_id
        match call:
            case Accept():
                message.type = _Call.ACCEPT
                self._fill_accept(message.accept, call)
            case Decline():
                message.type = _Call.DECLINE
                for offer_id in call.offer_ids:
                    message.decline.offer_ids.add(value=offer_id)
                message.decline.filters.refuse_seconds = call.refuse_s
            case Kill():
                message.type = _Call.KILL
                _fill_kill(message.kill, call)
            case Reconcile():
                message.type = _Call.RECONCILE
                _fill_reconcile(message.reconcile, call)
            case Suppress():
                message.type = _Call.SUPPRESS
                message.suppress.roles.extend(call.roles)
            case Revive():
                message.type = _Call.REVIVE
                message.revive.roles.extend(call.roles)
            case UpdateFramework():
                message.type = _Call.UPDATE_FRAMEWORK
                self._fill_update(message.update_framework, call)
        return message.SerializeToString()

    def _encode_acknowledge(self, call: Acknowledge) -> bytes:
        acknowledge = self._acknowledgement.acknowledge
        acknowledge.agent_id.value = call.agent_id
        acknowledge.task_id.value = call.task_id
        acknowledge.uuid = call.uuid
        return self._acknowledgement.SerializeToString()

    def _fill_accept(self, accept: scheduler_pb2.Call.Accept, call: Accept) -> None:
        for offer_id in call.offer_ids:
            accept.offer_ids.add(value=offer_id)
        # Absent filters would mean five seconds, not none.
        accept.filters.refuse_seconds = call.refuse_s
        if not call.launches:
            return
        # One operation for all: a task that is not valid does not stop the next of its LAUNCH.
        operation = accept.operations.add(type=wire.Offer.Operation.LAUNCH)
        add = operation.launch.task_infos.add
        for launch in call.launches:
            self._tasks.fill(add(), launch)

    def _fill_update(
        self, update: scheduler_pb2.Call.UpdateFramework, call: UpdateFramework
    ) -> None:
        update.framework_info.CopyFrom(
            framework_info(self._settings, self._framework_id, call.wanted)
        )
        update.suppressed_roles.extend(call.wanted.suppressed)
        fill_constraints(call.wanted, lambda: update.offer_constraints)


def _fill_kill(kill: scheduler_pb2.Call.Kill, call: Kill) -> None:
    kill.task_id.value = call.task_id
    if call.agent_id:
        # With a wrong agent id the KILL is ignored, so none is better than an empty one.
        kill.agent_id.value = call.agent_id
    kill.kill_policy.grace_period.nanoseconds = nanoseconds(call.grace_s)


def _fill_reconcile(reconcile: scheduler_pb2.Call.Reconcile, call: Reconcile) -> None:
    # Set even when there are no tasks: that is how implicit reconciliation is asked for.
    reconcile.SetInParent()
    for task_id, agent_id in call.tasks:
        task = reconcile.tasks.add()
        task.task_id.value = task_id
        if agent_id:
            task.agent_id.value = agent_id
