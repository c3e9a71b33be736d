"""The two forms of events and calls: protobuf, and JSON for a peer that speaks nothing else."""

from collections.abc import Callable
from typing import Final, NamedTuple

from google.protobuf import json_format

from scheduler.mesos.proto.scheduler_pb2 import Call, Event
from scheduler.mesos.recordio import encode


class Wire(NamedTuple):
    """`encode` gives a whole RecordIO record."""

    content_type: bytes
    encode: Callable[[Event], bytes]
    decode: Callable[[bytes], Call]


def _event_to_json(event: Event) -> bytes:
    text = json_format.MessageToJson(event, preserving_proto_field_name=True, indent=None)
    return encode(text.encode())


PROTOBUF: Final = Wire(
    b"application/x-protobuf",
    lambda event: encode(event.SerializeToString()),
    Call.FromString,
)
JSON: Final = Wire(
    b"application/json",
    _event_to_json,
    lambda body: json_format.Parse(body, Call(), ignore_unknown_fields=True),
)


def wire_of(content_type: bytes) -> Wire:
    return JSON if content_type.startswith(JSON.content_type) else PROTOBUF
