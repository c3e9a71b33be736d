"""From recorded bytes to what the judge is given: calls, updates, and answered transactions."""

from collections.abc import Iterable, Iterator

from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState
from scheduler.mesos.proto.scheduler_pb2 import Call, Event
from tests.faults import grpc_wire, mesos_wire
from tests.faults.evidence import Answered, Said, Update
from tests.faults.taps import Connection, Tap


def connections(taps: Iterable[Tap]) -> list[Connection]:
    return [one for tap in taps for one in tap.connections]


def said_on(connection: Connection) -> Iterator[Said]:
    for at, call in mesos_wire.calls(connection.chunks):
        kind = Call.Type.Name(call.type)
        match call.type:
            case Call.ACCEPT:
                tasks = [
                    task.task_id.value
                    for operation in call.accept.operations
                    for task in operation.launch.task_infos
                ]
                yield Said(at, connection.daemon, kind, tuple(tasks))
            case Call.ACKNOWLEDGE:
                task = call.acknowledge.task_id.value
                yield Said(at, connection.daemon, kind, (task,), call.acknowledge.uuid)
            case Call.KILL:
                yield Said(at, connection.daemon, kind, (call.kill.task_id.value,))
            case _:
                yield Said(at, connection.daemon, kind)


def updates_on(connection: Connection) -> Iterator[Update]:
    for at, event in mesos_wire.events(connection.chunks):
        if event.type == Event.UPDATE:
            status = event.update.status
            yield Update(at, status.task_id.value, status.uuid, TaskState.Name(status.state))


def answers_on(connection: Connection) -> Iterator[Answered]:
    """Transactions that were committed; also one whose repetition found its own mark, or our own
    leadership, at the revision of the first try."""
    for message in grpc_wire.messages(connection.chunks):
        if message.outwards or message.path != "/etcdserverpb.KV/Txn":
            continue
        answer = pb.TxnResponse.FromString(message.data)
        if answer.succeeded:
            yield Answered(message.at, connection.daemon, answer.header.revision)
            continue
        for response in answer.responses:
            for found in response.response_range.kvs:
                yield Answered(message.at, connection.daemon, found.mod_revision)
