import math

import pytest

from scheduler.emulator.http import jsonform
from scheduler.emulator.http.jsonform import JsonProblem
from scheduler.mesos.proto.mesos_v1_pb2 import (
    FrameworkInfo,
    MasterInfo,
    TaskInfo,
    TaskStatus,
)
from scheduler.mesos.proto.scheduler_pb2 import Call

MINIMAL = '"user": "u", "name": "n"'


def info(members: str) -> FrameworkInfo:
    return jsonform.loads(f"{{{MINIMAL}, {members}}}".encode(), FrameworkInfo)


def test_defaults_are_printed_unless_deprecated() -> None:
    shown = jsonform.to_json(FrameworkInfo(user="u", name="n"))
    assert shown == {"user": "u", "name": "n", "failover_timeout": 0.0, "checkpoint": False}


def test_bytes_are_base64_and_64_bit_integers_are_numbers() -> None:
    status = TaskStatus(uuid=bytes(range(16)))
    status.unreachable_time.nanoseconds = 2**60
    shown = jsonform.dumps(status)
    assert b'"uuid":"AAECAwQFBgcICQoLDA0ODw=="' in shown
    assert b'"nanoseconds":1152921504606846976' in shown


def test_infinity_is_bare_on_the_way_out_and_quoted_on_the_way_in() -> None:
    assert b'"failover_timeout":Infinity' in jsonform.dumps(
        FrameworkInfo(user="u", name="n", failover_timeout=math.inf)
    )
    assert info('"failover_timeout": "-Infinity"').failover_timeout == -math.inf
    for text in ("Infinity", "NaN", '"NaN"'):
        with pytest.raises(JsonProblem):
            info(f'"failover_timeout": {text}')


def test_lone_values_quoted_numbers_and_nulls_are_understood() -> None:
    read = info('"roles": "web", "failover_timeout": "7", "checkpoint": "true", "hostname": null')
    assert list(read.roles) == ["web"]
    assert (read.failover_timeout, read.checkpoint) == (7.0, True)
    assert not read.HasField("hostname")


def test_unknown_members_are_passed_over_and_unknown_enum_names_leave_the_member_unset() -> None:
    read = info('"new": [{"x": 1}], "capabilities": [{"type": "TELEPATHY"}]')
    assert len(read.capabilities) == 1
    assert not read.capabilities[0].HasField("type")
    with pytest.raises(JsonProblem):
        jsonform.loads(b'{"task_id": {"value": "t"}, "state": "TASK_NEW"}', TaskStatus)


def test_maps_are_objects_both_ways() -> None:
    read = info('"offer_filters": {"web": {"min_allocatable_resources": {"quantities": []}}}')
    assert read.offer_filters["web"].HasField("min_allocatable_resources")
    printed = jsonform.dumps(read)
    assert b'"offer_filters":{"web":{"min_allocatable_resources":{}}}' in printed
    assert jsonform.dumps(jsonform.loads(printed, FrameworkInfo)) == printed


def test_an_empty_object_sets_a_message() -> None:
    call = jsonform.loads(b'{"type": "REVIVE", "revive": {}}', Call)
    assert call.HasField("revive")


def test_a_value_without_a_name_in_v1_leaves_the_entry_empty() -> None:
    master = MasterInfo(id="m", ip=1, port=2)
    master.capabilities.add().MergeFromString(b"\x08\x03")
    assert jsonform.to_json(master)["capabilities"] == [{}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'{"name": 1}',
        b'{"name": "n", "task_id": "t"}',
        b'{"resources": [1]}',
        b'{"data": "%%%"}',
        b'{"limits": []}',
        b'{"kill_policy": {"grace_period": {"nanoseconds": 1.5}}}',
        b'{"name": "only"}',
        b'{"resources": [{"name": "cpus", "type": 0}]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_does_not_fit_is_a_problem(body: bytes) -> None:
    with pytest.raises(JsonProblem):
        jsonform.loads(body, TaskInfo)
