"""How records look at rest: a path of text for the key, and for the value one byte of schema
number followed by msgpack. The same in every store.

Compatible changes need no new number: fields are stored by name, unknown ones are passed over and
missing ones take their default, so an optional field may be added at the end. Any other change
gets the next schema number and a reader in `_READERS`; version n reads what version n-1 wrote.

What cannot be read is named and refused, never guessed at and never skipped: a daemon that lost
sight of an instance would start it a second time. Neighbours: `core/records.py` says what is kept.
"""

from collections.abc import Callable, Mapping

import msgspec

from scheduler.core.model.ids import AgentId, AgentKey, InstanceKey, JobId, dotted
from scheduler.core.model.instance import Instance
from scheduler.core.records import (
    FRAMEWORK,
    AgentRecord,
    FrameworkKey,
    FrameworkRecord,
    JobRecord,
    Put,
    Record,
    RecordKey,
    Remove,
    Write,
    key_of,
)
from scheduler.errors import StoreUnreadable

SCHEMA = 1
"""The schema number that is written."""

_SCHEMA_BYTE = bytes([SCHEMA])
_encoder = msgspec.msgpack.Encoder()

Reader = Callable[[bytes], Record]
Row = tuple[str, bytes]
"""A record at rest: its path and its value."""

_READERS: Mapping[int, Mapping[str, Reader]] = {
    1: {
        "framework": msgspec.msgpack.Decoder(FrameworkRecord).decode,
        "jobs": msgspec.msgpack.Decoder(JobRecord).decode,
        "tasks": msgspec.msgpack.Decoder(Instance).decode,
        "agents": msgspec.msgpack.Decoder(AgentRecord).decode,
    },
}
"""By schema number, then by the first piece of the path."""


def encode(record: Record) -> bytes:
    return _SCHEMA_BYTE + _encoder.encode(record)


def decode(path: str, value: bytes) -> Record:
    """The record kept under `path`. Raises `StoreUnreadable`, with the path, for every value that
    is not a whole record of that key in a schema that this version knows."""
    reader = _reader_of(path, value)
    try:
        record = reader(value[1:])
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        # Bytes that are no text raise UnicodeDecodeError, a ValueError.
        raise _unreadable(path, f"it is damaged ({error})") from error
    if path_of(key_of(record)) != path:
        raise _unreadable(path, f"it holds the record of {path_of(key_of(record))!r}")
    return record


def _reader_of(path: str, value: bytes) -> Reader:
    if not value:
        raise _unreadable(path, "it is empty")
    schema = value[0]
    if schema > SCHEMA:
        raise _unreadable(path, f"schema {schema} is not known; a newer offerd may have written it")
    readers = _READERS.get(schema)
    if readers is None:
        raise _unreadable(path, f"schema {schema} is not known; this offerd writes {SCHEMA}")
    reader = readers.get(path.partition("/")[0])
    if reader is None:
        raise _unreadable(path, "no record of ours has such a key")
    return reader


def _unreadable(path: str, why: str) -> StoreUnreadable:
    return StoreUnreadable(
        f"the record {path!r} cannot be read: {why}. Nothing was changed. Start the version that "
        "wrote it, or restore a backup, or take this one record out of the store by hand"
    )


def path_of(key: RecordKey) -> str:
    """The key as text: `framework`, `jobs/<dotted job>`, `tasks/<dotted job>/<instance>` or
    `agents/<id>`."""
    # Called for each write: patterns with captures, or a call of `dotted`, would double its cost.
    match key:
        case InstanceKey():
            return f"tasks/{key.job.replace('/', '.')}/{key.instance}"
        case str():
            return f"jobs/{dotted(key)}"
        case AgentKey():
            return f"agents/{key.agent}"
        case FrameworkKey():
            return "framework"


def key_from_path(path: str) -> RecordKey:
    """The key that `path_of` made this path from; raises `StoreUnreadable` for any other path."""
    match path.split("/"):
        case ["framework"]:
            return FRAMEWORK
        case ["agents", agent_id] if agent_id:
            return AgentKey(AgentId(agent_id))
        case ["jobs", name] if name:
            return JobId(name.replace(".", "/"))
        case ["tasks", name, index] if name and index.isascii() and index.isdigit():
            return InstanceKey(JobId(name.replace(".", "/")), int(index))
        case _:
            raise _unreadable(path, "no record of ours has such a key")


def row_of(write: Write) -> tuple[str, bytes | None]:
    """A write as a store keeps it: the path and the value, or None to remove it."""
    match write:
        case Put():
            return path_of(key_of(write.record)), encode(write.record)
        case Remove():
            return path_of(write.key), None
