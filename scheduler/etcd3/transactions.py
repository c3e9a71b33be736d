"""What a transaction compares and what it does, and their way to and from the wire.

`transaction([create(leader, 17), mod(lane, 4)], [put(lane, b"5"), put(key, value)], [get(lane)])`
does the first list of operations if all compares hold, else the second; all of one list, or none.
"""

from collections.abc import Sequence
from enum import Enum
from typing import assert_never

import msgspec

from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.ranges import key_value
from scheduler.etcd3.values import Deleted, Got, OperationResult, PutDone, TransactionResult


class Is(Enum):
    EQUAL = pb.Compare.EQUAL
    GREATER = pb.Compare.GREATER
    LESS = pb.Compare.LESS
    DIFFERENT = pb.Compare.NOT_EQUAL


class Target(Enum):
    VERSION = pb.Compare.VERSION
    CREATE = pb.Compare.CREATE
    MOD = pb.Compare.MOD
    VALUE = pb.Compare.VALUE


class Compare(msgspec.Struct, frozen=True):
    """Made by `value`, `version`, `create` and `mod`."""

    target: Target
    key: bytes
    operand: int | bytes
    relation: Is


def value(key: bytes, operand: bytes, relation: Is = Is.EQUAL) -> Compare:
    """Compares the key's value. Never holds for a key that does not exist."""
    return Compare(Target.VALUE, key, operand, relation)


def version(key: bytes, operand: int, relation: Is = Is.EQUAL) -> Compare:
    """Compares how often the key was written since it was created; 0: it does not exist."""
    return Compare(Target.VERSION, key, operand, relation)


def create(key: bytes, operand: int, relation: Is = Is.EQUAL) -> Compare:
    """Compares the revision that created the key; 0: it does not exist."""
    return Compare(Target.CREATE, key, operand, relation)


def mod(key: bytes, operand: int, relation: Is = Is.EQUAL) -> Compare:
    """Compares the revision that last changed the key; 0: it does not exist."""
    return Compare(Target.MOD, key, operand, relation)


class Put(msgspec.Struct, frozen=True, gc=False):
    key: bytes
    value: bytes
    lease_id: int = 0


class Get(msgspec.Struct, frozen=True, gc=False):
    key: bytes


class Delete(msgspec.Struct, frozen=True, gc=False):
    key: bytes


Operation = Put | Get | Delete


def put(key: bytes, value: bytes, lease_id: int = 0) -> Put:
    return Put(key, value, lease_id)


def get(key: bytes) -> Get:
    return Get(key)


def delete(key: bytes) -> Delete:
    return Delete(key)


def to_wire(
    compare: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation]
) -> pb.TxnRequest:
    request = pb.TxnRequest(compare=[_compare(one) for one in compare])
    for operations, target in ((success, request.success), (failure, request.failure)):
        for operation in operations:
            match operation:
                case Put():
                    written = target.add().request_put
                    written.key = operation.key
                    written.value = operation.value
                    if operation.lease_id:
                        written.lease = operation.lease_id
                case Get():
                    target.add().request_range.key = operation.key
                case Delete():
                    target.add().request_delete_range.key = operation.key
                case _:
                    assert_never(operation)
    return request


def from_wire(
    response: pb.TxnResponse, success: Sequence[Operation], failure: Sequence[Operation]
) -> TransactionResult:
    """The answer to a transaction of these. What it says of a put, of which there may be very many,
    is not looked at: it says nothing."""
    operations = success if response.succeeded else failure
    results = [
        _PUT_DONE if isinstance(one, Put) else _result(one, response.responses[index])
        for index, one in enumerate(operations)
    ]
    return TransactionResult(response.succeeded, response.header.revision, results)


_PUT_DONE = PutDone()


def _result(operation: Get | Delete, response: pb.ResponseOp) -> OperationResult:
    match operation:
        case Get():
            found = response.response_range.kvs
            return Got(key_value(found[0]) if found else None)
        case Delete():
            return Deleted(response.response_delete_range.deleted)


def _compare(one: Compare) -> pb.Compare:
    wire = pb.Compare(result=one.relation.value, target=one.target.value, key=one.key)
    match one:
        case Compare(Target.VALUE, _, bytes() as operand):
            wire.value = operand
        case Compare(Target.VERSION, _, int() as operand):
            wire.version = operand
        case Compare(Target.CREATE, _, int() as operand):
            wire.create_revision = operand
        case Compare(Target.MOD, _, int() as operand):
            wire.mod_revision = operand
        case _:
            raise TypeError(f"{one.target} is not compared with {type(one.operand).__name__}")
    return wire
