"""What a resource estimator and a QoS controller make an agent say, said in its name.

They are modules of the agent; the build here has none. What the agent sends for them are two plain
libprocess messages (Mesos, src/messages/messages.proto), and nobody checks who sent them: so
masters, offers, accounting and the agent's update stream are the real ones.
"""

import contextlib
import struct
import time
import uuid
from collections.abc import Mapping

from scheduler.mesos.proto import mesos_v1_pb2 as wire
from tests.real_mesos.operator_http import REQUEST_DEADLINE_S, State, connect
from tests.real_mesos.ports import Endpoint

VARINT, FIXED_64, BYTES = 0, 1, 2


def lend(master: Endpoint, agent: State, resources: Mapping[str, float]) -> None:
    """The agent has so much to spare besides its own."""
    body = _bytes(1, wire.AgentID(value=agent["id"]).SerializeToString())
    for name, amount in resources.items():
        resource = wire.Resource(name=name, type=wire.Value.SCALAR, scalar={"value": amount})
        resource.revocable.SetInParent()
        body += _bytes(2, resource.SerializeToString())
    body += bytes([5 << 3 | VARINT, True])  # update_oversubscribed_resources
    _send(master, "master", "UpdateSlaveMessage", agent["pid"], body)


def preempt(agent_endpoint: Endpoint, agent: State, framework_id: str, task_id: str) -> None:
    """The agent ends the task as it wants its resources back."""
    now = time.time()
    update_uuid = uuid.uuid4().bytes
    status = wire.TaskStatus(
        task_id={"value": task_id},
        state=wire.TASK_GONE,
        reason=wire.TaskStatus.REASON_CONTAINER_PREEMPTED,
        message="Container preempted by QoS correction",
        agent_id={"value": agent["id"]},
        timestamp=now,
        uuid=update_uuid,
    )
    update = (
        _bytes(1, wire.FrameworkID(value=framework_id).SerializeToString())
        + _bytes(2, wire.ExecutorID(value=task_id).SerializeToString())
        + _bytes(3, wire.AgentID(value=agent["id"]).SerializeToString())
        + _bytes(4, status.SerializeToString())
        + bytes([5 << 3 | FIXED_64])
        + struct.pack("<d", now)
        + _bytes(6, update_uuid)
    )
    _send(agent_endpoint, "slave(1)", "StatusUpdateMessage", agent["pid"], _bytes(1, update))


def _send(to: Endpoint, process: str, name: str, sender: str, body: bytes) -> None:
    connection = connect(to.address, to.port, REQUEST_DEADLINE_S, None)
    with contextlib.closing(connection):
        path = f"/{process}/mesos.internal.{name}"
        connection.request("POST", path, body, {"User-Agent": f"libprocess/{sender}"})
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 202, f"{path}: {response.status} {answer!r}"


def _bytes(number: int, data: bytes) -> bytes:
    """A field of a protobuf message, of less than 128 bytes or more."""
    length = len(data)
    size = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    return bytes([number << 3 | BYTES]) + size + data
