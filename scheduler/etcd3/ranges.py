"""Keys under a prefix, page by page, all as of one revision."""

from collections.abc import AsyncGenerator
from typing import Final

from scheduler.errors import EtcdRefusal, EtcdRefused
from scheduler.etcd3.calls import Calls
from scheduler.etcd3.methods import RANGE
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.values import KeyValue, Page

# etcd 3.4 counts what is left for every page, so small pages make a long listing quadratic.
PAGE_SIZE: Final = 10_000


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all those that begin with `prefix`; etcd's word for none is b"\\0"."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def key_value(wire: pb.KeyValue) -> KeyValue:
    return KeyValue(
        wire.key, wire.value, wire.create_revision, wire.mod_revision, wire.version, wire.lease
    )


async def pages(calls: Calls, prefix: bytes, page_size: int) -> AsyncGenerator[Page, None]:
    """One page at least. Raises Compacted when history was compacted meanwhile: begin anew.

    A page that is too large for one answer is asked for at half its size.
    """
    # An empty prefix means all keys; etcd asks for a key to begin with.
    request = pb.RangeRequest(key=prefix or b"\0", range_end=prefix_end(prefix), limit=page_size)
    while True:
        try:
            response = await calls.read(RANGE, request)
        except EtcdRefused as refused:
            if refused.reason is not EtcdRefusal.TOO_LARGE or request.limit <= 1:
                raise
            request.limit //= 2
            continue
        items = [key_value(wire) for wire in response.kvs]
        request.revision = request.revision or response.header.revision
        yield Page(items, request.revision)
        if not response.more:
            return
        request.key = items[-1].key + b"\0"
