"""Which scheduler.Call is acceptable as such, before anything is known of its framework.

What fails here is a 400, whoever asks.
"""

from scheduler.mesos.proto.scheduler_pb2 import Call

# TEARDOWN has no payload; REVIVE and SUPPRESS may omit theirs.
_WITHOUT_PAYLOAD = frozenset({Call.UNKNOWN, Call.TEARDOWN, Call.REVIVE, Call.SUPPRESS})


def problem(call: Call) -> str | None:
    """Why the call is answered with 400, or None."""
    if not call.HasField("type"):
        return "Expecting 'type' to be present"
    name = Call.Type.Name(call.type).lower()
    if call.type not in _WITHOUT_PAYLOAD and not call.HasField(name):
        return f"Expecting '{name}' to be present"
    if call.type == Call.SUBSCRIBE:
        info = call.subscribe.framework_info
        if call.framework_id.value != info.id.value:
            return "'framework_id' differs from 'subscribe.framework_info.id'"
        return None
    if not call.HasField("framework_id"):
        return "Expecting 'framework_id' to be present"
    return _payload_problem(call)


def _payload_problem(call: Call) -> str | None:
    if call.type == Call.ACKNOWLEDGE and len(call.acknowledge.uuid) != 16:
        return "'acknowledge.uuid' is not a uuid"
    if call.type == Call.ACKNOWLEDGE_OPERATION_STATUS:
        if len(call.acknowledge_operation_status.uuid) != 16:
            return "'acknowledge_operation_status.uuid' is not a uuid"
        if not call.acknowledge_operation_status.HasField("agent_id"):
            return "Expecting 'acknowledge_operation_status.agent_id' to be present"
    if call.type == Call.UPDATE_FRAMEWORK:
        info = call.update_framework.framework_info
        if info.id.value != call.framework_id.value:
            return "'framework_id' differs from 'update_framework.framework_info.id'"
    return None
