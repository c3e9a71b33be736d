"""Reads gRPC out of recorded bytes: HTTP/2 frames, the path of each stream, whole messages.

Enough of RFC 9113 for what a grpc channel without TLS says; anything else fails loudly, since a
judge that passes over what it cannot read proves nothing.
"""

import enum
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import hpack

from tests.faults.taps import Chunk

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD: Final = 9
_MESSAGE_HEAD: Final = 5
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20


class Frame(enum.IntEnum):
    """The types of frames that say something here; the others are about the connection."""

    DATA = 0
    HEADERS = 1
    PUSH_PROMISE = 5
    CONTINUATION = 9


class Message(NamedTuple):
    """`at` is the time of its last byte, `path` the method that it belongs to."""

    at: float
    outwards: bool
    path: str
    data: bytes


def messages(chunks: Iterable[Chunk]) -> Iterator[Message]:
    """All whole messages of one connection, in the order in which they went by."""
    paths: dict[int, str] = {}
    client, server = _Side(paths, reads_paths=True), _Side(paths, reads_paths=False)
    for chunk in chunks:
        side = client if chunk.outwards else server
        for path, data in side.feed(chunk.data):
            yield Message(chunk.at, chunk.outwards, path, data)


class _Side:
    """One direction of a connection. `paths` is shared: the client's headers fill it."""

    def __init__(self, paths: dict[int, str], *, reads_paths: bool) -> None:
        self._paths = paths
        self._decoder = hpack.Decoder() if reads_paths else None
        self._preface_left = len(PREFACE) if reads_paths else 0
        self._bytes = bytearray()
        self._headers = bytearray()
        self._bodies: dict[int, bytearray] = {}

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        self._bytes += data
        if self._preface_left:
            if len(self._bytes) < self._preface_left:
                return
            assert self._bytes.startswith(PREFACE), "no HTTP/2"
            del self._bytes[: self._preface_left]
            self._preface_left = 0
        while len(self._bytes) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(self._bytes[:3], "big")
            if len(self._bytes) < end:
                return
            kind, flags = self._bytes[3], self._bytes[4]
            stream = int.from_bytes(self._bytes[5:9], "big") & 0x7FFFFFFF
            payload = bytes(self._bytes[_FRAME_HEAD:end])
            del self._bytes[:end]
            yield from self._frame(kind, flags, stream, payload)

    def _frame(
        self, kind: int, flags: int, stream: int, payload: bytes
    ) -> Iterator[tuple[str, bytes]]:
        match kind:
            case Frame.DATA:
                yield from self._data(stream, _unpadded(flags, payload))
            case Frame.HEADERS:
                payload = _unpadded(flags, payload)
                self._header_block(flags, stream, payload[5 if flags & _PRIORITY else 0 :])
            case Frame.CONTINUATION:
                self._header_block(flags, stream, payload)
            case Frame.PUSH_PROMISE:
                raise AssertionError("a push promise: this is no gRPC")
            case _:
                return

    def _header_block(self, flags: int, stream: int, payload: bytes) -> None:
        if self._decoder is None:
            return
        self._headers += payload
        if not flags & _END_HEADERS:
            return
        for name, value in self._decoder.decode(bytes(self._headers), raw=True):
            if name == b":path":
                self._paths[stream] = value.decode()
        self._headers.clear()

    def _data(self, stream: int, payload: bytes) -> Iterator[tuple[str, bytes]]:
        body = self._bodies.setdefault(stream, bytearray())
        body += payload
        while len(body) >= _MESSAGE_HEAD:
            end = _MESSAGE_HEAD + int.from_bytes(body[1:5], "big")
            if len(body) < end:
                return
            assert body[0] == 0, "a compressed message"
            yield self._paths[stream], bytes(body[_MESSAGE_HEAD:end])
            del body[:end]


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
