"""Reads the scheduler API out of recorded bytes: calls, what the master answered, and its events.

Only what the judge asks for. Bytes that are cut off in the middle are no call: the master cannot
have acted on them.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from scheduler.mesos.proto.scheduler_pb2 import Call, Event
from tests.faults.taps import Chunk

_PATH: Final = b"/api/v1/scheduler"
_END: Final = b"\r\n\r\n"


class Called(NamedTuple):
    """`at` is when its last byte had come from the daemon."""

    at: float
    call: Call


class Told(NamedTuple):
    """`at` is just before its last byte was given to the daemon."""

    at: float
    event: Event


def calls(chunks: Iterable[Chunk]) -> Iterator[Called]:
    """The scheduler calls of one connection; other requests are passed over."""
    waiting = bytearray()
    for chunk in chunks:
        if not chunk.outwards:
            continue
        waiting += chunk.data
        while (end := waiting.find(_END)) >= 0:
            head = bytes(waiting[:end])
            whole = end + len(_END) + int(_header(head, b"content-length") or b"0")
            if len(waiting) < whole:
                break
            if head.split(b" ", 2)[1].endswith(_PATH):
                yield Called(chunk.at, Call.FromString(bytes(waiting[end + len(_END) : whole])))
            del waiting[:whole]


def events(chunks: Iterable[Chunk]) -> Iterator[Told]:
    """The events of a connection whose answer is an event stream; none of any other."""
    head = bytearray()
    stream: _Stream | None = None
    for chunk in chunks:
        if chunk.outwards:
            continue
        data = chunk.data
        if stream is None:
            head += data
            begun, end, rest = bytes(head).partition(_END)
            if not end:
                continue
            if _header(begun, b"mesos-stream-id") is None:
                return
            stream, data = _Stream(), rest
        for record in stream.feed(data):
            yield Told(chunk.at, Event.FromString(record))


class _Stream:
    """RecordIO inside HTTP/1.1 chunks."""

    def __init__(self) -> None:
        self._chunked = bytearray()
        self._plain = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._chunked += data
        while (line := self._chunked.find(b"\r\n")) >= 0:
            begin = line + 2
            end = begin + int(self._chunked[:line], 16)
            if len(self._chunked) < end + 2:
                break
            self._plain += self._chunked[begin:end]
            del self._chunked[: end + 2]
        while (line := self._plain.find(b"\n")) >= 0:
            end = line + 1 + int(self._plain[:line])
            if len(self._plain) < end:
                break
            yield bytes(self._plain[line + 1 : end])
            del self._plain[:end]


def _header(head: bytes, wanted: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == wanted:
            return value.strip()
    return None
