"""Small rounds beside what peers can be built here; both forms of the wire say the same."""

from collections.abc import Callable

import pytest

from benchmarks import against_peers
from benchmarks.values import Figures, Load
from benchmarks.wire import JSON, PROTOBUF, wire_of
from scheduler.mesos.proto import mesos_v1_pb2
from scheduler.mesos.proto.scheduler_pb2 import Call, Event
from scheduler.mesos.recordio import Decoder
from tests.support.etcd_cluster import ensure_etcd

LOAD = Load(agents=10, tasks=200)


@pytest.mark.slow
@pytest.mark.timeout(300, func_only=True)  # the peers may have to be built
@pytest.mark.parametrize("run", [against_peers.launch, against_peers.storm])
@pytest.mark.xdist_group("peers")
def test_a_small_round_compares_what_is_here(run: Callable[[Load], Figures]) -> None:
    ensure_etcd()
    figures = run(LOAD)
    assert all(value >= 0.0 for value in figures.values.values())
    assert any(name.startswith("etcd: ") for name in figures.values)


def test_both_wires_carry_the_same_event() -> None:
    event = Event(type=Event.UPDATE)
    event.update.status.state = mesos_v1_pb2.TASK_RUNNING
    event.update.status.task_id.value = "load.1"
    event.update.status.uuid = b"\x00\x01"
    records = [Decoder().feed(wire.encode(event))[0] for wire in (PROTOBUF, JSON)]
    assert Event.FromString(records[0]) == event
    assert b'"load.1"' in records[1]


def test_a_call_is_read_by_its_content_type() -> None:
    call = Call(type=Call.REVIVE)
    assert wire_of(b"application/json").decode(b'{"type": "REVIVE"}') == call
    assert wire_of(b"application/x-protobuf").decode(call.SerializeToString()) == call
