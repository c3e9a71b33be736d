"""The messages on the wire: names, numbers and defaults."""

import pytest
from google.protobuf import json_format
from google.protobuf.message import EncodeError, Message

from scheduler.mesos.proto import (
    agent_pb2,
    executor_pb2,
    maintenance_pb2,
    master_pb2,
    mesos_v1_pb2,
    quota_pb2,
    scheduler_pb2,
)
from tests.mesos.wire_examples import CALLS, EVENTS, FRAMEWORK, Json

EXAMPLES = [
    *((scheduler_pb2.Event, event) for event in EVENTS),
    *((scheduler_pb2.Call, {"framework_id": FRAMEWORK, **call}) for call in CALLS),
]


def _comparable(value: Json) -> Json:
    """The value without what JSON leaves open: 1 or 1.0, 64-bit integers as text, empty lists."""
    match value:
        case dict():
            return {key: _comparable(item) for key, item in value.items() if item != []}
        case list():
            return [_comparable(item) for item in value]
        case str() if value.isdecimal():
            return float(value)
        case int() if not isinstance(value, bool):
            return float(value)
        case _:
            return value


@pytest.mark.parametrize(
    ("kind", "example"), EXAMPLES, ids=[str(example["type"]) for _, example in EXAMPLES]
)
def test_an_example_survives_json_and_the_wire(
    kind: type[Message], example: dict[str, Json]
) -> None:
    message = json_format.ParseDict(example, kind())
    again = kind.FromString(message.SerializeToString())
    assert again == message
    written = json_format.MessageToDict(again, preserving_proto_field_name=True)
    assert _comparable(written) == _comparable(example)


def test_a_task_id_is_one_string_field() -> None:
    task_id = mesos_v1_pb2.TaskID(value="t-1")
    assert task_id.SerializeToString() == b"\x0a\x03t-1"


def test_an_acknowledge_call_has_the_numbers_of_the_wire() -> None:
    call = scheduler_pb2.Call(
        framework_id=mesos_v1_pb2.FrameworkID(value="F"),
        type=scheduler_pb2.Call.ACKNOWLEDGE,
        acknowledge=scheduler_pb2.Call.Acknowledge(
            agent_id=mesos_v1_pb2.AgentID(value="S"),
            task_id=mesos_v1_pb2.TaskID(value="T"),
            uuid=b"\x00\xff",
        ),
    )
    payload = b"\x0a\x03\x0a\x01S" + b"\x12\x03\x0a\x01T" + b"\x1a\x02\x00\xff"
    assert call.SerializeToString() == (
        b"\x0a\x03\x0a\x01F"  # 1: framework_id
        b"\x10\x08"  # 2: type
        b"\x42\x0e" + payload  # 8: acknowledge
    )


def test_a_field_number_above_fifteen_takes_two_bytes() -> None:
    call = scheduler_pb2.Call(reconcile_operations=scheduler_pb2.Call.ReconcileOperations())
    assert call.SerializeToString() == b"\x92\x01\x00"  # 18 << 3 | 2 as a varint


def test_repeated_numbers_are_written_unpacked() -> None:
    capabilities = mesos_v1_pb2.CapabilityInfo(
        capabilities=[mesos_v1_pb2.CapabilityInfo.CHOWN, mesos_v1_pb2.CapabilityInfo.KILL]
    )
    # 1: 1000, then 1: 1005
    assert capabilities.SerializeToString() == b"\x08\xe8\x07\x08\xed\x07"


def test_a_map_entry_has_its_key_first() -> None:
    task = mesos_v1_pb2.TaskInfo()
    task.limits["mem"].value = 1.0
    entry = b"\x0a\x03mem" + b"\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
    assert task.SerializePartialToString() == b"\x7a\x10" + entry


def test_a_master_capability_without_a_name_is_kept_and_harmless() -> None:
    """The 1.11 master also sends capability 3, which the v1 enum lacks."""
    wire = b"\x0a\x01m\x10\x01\x18\xba\x27" + b"\x4a\x02\x08\x02" + b"\x4a\x02\x08\x03"
    master = mesos_v1_pb2.MasterInfo.FromString(wire)
    assert [capability.HasField("type") for capability in master.capabilities] == [True, False]
    assert master.capabilities[1].type == mesos_v1_pb2.MasterInfo.Capability.UNKNOWN
    assert master.SerializeToString() == wire


def test_an_unset_field_reads_as_its_default_but_is_not_present() -> None:
    assert mesos_v1_pb2.Filters().refuse_seconds == 5.0
    assert not mesos_v1_pb2.Filters().HasField("refuse_seconds")
    assert mesos_v1_pb2.CommandInfo().shell
    assert mesos_v1_pb2.Resource().role == "*"
    assert mesos_v1_pb2.AgentInfo().port == 5051
    assert mesos_v1_pb2.TaskStatus().state == mesos_v1_pb2.TASK_STAGING


def test_a_missing_required_field_cannot_be_sent() -> None:
    with pytest.raises(EncodeError):
        scheduler_pb2.Call(kill=scheduler_pb2.Call.Kill()).SerializeToString()


def test_a_selector_names_one_attribute_only() -> None:
    selector = scheduler_pb2.AttributeConstraint.Selector(attribute_name="rack")
    selector.pseudoattribute_type = scheduler_pb2.AttributeConstraint.Selector.ZONE
    assert selector.WhichOneof("selector") == "pseudoattribute_type"
    assert not selector.HasField("attribute_name")


def test_the_packages_are_those_of_the_wire() -> None:
    full_names = [
        kind.DESCRIPTOR.full_name
        for kind in (
            mesos_v1_pb2.TaskInfo,
            executor_pb2.Event,
            master_pb2.Call,
            agent_pb2.Response,
            maintenance_pb2.Schedule,
            quota_pb2.QuotaConfig,
        )
    ]
    assert full_names == [
        "mesos.v1.TaskInfo",
        "mesos.v1.executor.Event",
        "mesos.v1.master.Call",
        "mesos.v1.agent.Response",
        "mesos.v1.maintenance.Schedule",
        "mesos.v1.quota.QuotaConfig",
    ]
