"""Asks etcd itself, past the proxies: who leads, and everything that ever happened below a prefix.

A plain blocking gRPC client of its own, not offerd's.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import grpc
import pytest
from google.protobuf.message import Message

from scheduler.etcd3.proto import etcd_pb2 as pb
from tests.faults.evidence import Change

DEADLINE_S: Final = 2.0
HISTORY_S: Final = 60.0
JUNK: Final = "/junk/"
JUNK_BYTES: Final = 1 << 20
JUNK_MAX: Final = 1000
_BYTES_MAX: Final = ("grpc.max_receive_message_length", 256 << 20)

T = TypeVar("T")


class EtcdWitness:
    def __init__(self, endpoints: Sequence[str], prefix: str) -> None:
        self.prefix = prefix
        self._endpoints = endpoints
        self._changes: list[Change] = []
        self._next = 1

    def leader(self) -> tuple[str, int] | None:
        """Who leads, by its name, and the term. Raises grpc.RpcError."""
        request = pb.RangeRequest(key=f"{self.prefix}leader".encode())
        answer = self._ask(lambda channel: _range(channel, request))
        if not answer.kvs:
            return None
        (found,) = answer.kvs
        return json.loads(found.value)["instance"], found.create_revision

    def history(self) -> list[Change]:
        """All changes until now. To be asked before a compaction, for what that forgets."""
        now = self._ask(lambda channel: _range(channel, pb.RangeRequest(key=b"\0"))).header.revision
        if now >= self._next:
            self._changes += self._ask(lambda channel: list(self._watch(channel, now)))
            self._next = now + 1
        return self._changes

    def fill(self) -> None:
        """Puts junk beside the prefix until etcd takes no more."""
        put = pb.PutRequest(value=bytes(JUNK_BYTES))
        with pytest.raises(grpc.RpcError, match="database space exceeded"):
            for number in range(JUNK_MAX):
                put.key = f"{JUNK}{number}".encode()
                self._ask(lambda channel: _call(channel, "KV/Put", put, pb.PutResponse))

    def forget(self) -> None:
        """Removes the junk, and all history up to now from etcd; here it is kept."""
        end = JUNK[:-1] + chr(ord(JUNK[-1]) + 1)
        request = pb.DeleteRangeRequest(key=JUNK.encode(), range_end=end.encode())
        self._ask(lambda channel: _call(channel, "KV/DeleteRange", request, pb.DeleteRangeResponse))
        self.history()
        compact = pb.CompactionRequest(revision=self._next - 1, physical=True)
        self._ask(lambda channel: _call(channel, "KV/Compact", compact, pb.CompactionResponse))

    def _watch(self, channel: grpc.Channel, until: int) -> Iterator[Change]:
        watch = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        # Everything, so that the last revision, whatever it changed, ends it.
        begin = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=self._next)
        answers = watch(iter([pb.WatchRequest(create_request=begin)]), timeout=HISTORY_S)
        for answer in answers:
            assert not answer.compact_revision, f"compacted up to {answer.compact_revision}"
            for event in answer.events:
                if event.kv.mod_revision > until:
                    answers.cancel()
                    return
                key = event.kv.key.decode(errors="replace")
                if key.startswith(self.prefix):
                    value = None if event.type == pb.Event.DELETE else event.kv.value
                    yield Change(event.kv.mod_revision, key, value, event.kv.create_revision)
            if answer.events and answer.events[-1].kv.mod_revision >= until:
                answers.cancel()
                return

    def _ask(self, call: Callable[[grpc.Channel], T]) -> T:
        """The answer of the first member that gives one."""
        failed: grpc.RpcError | None = None
        for endpoint in self._endpoints:
            with grpc.insecure_channel(endpoint, options=[_BYTES_MAX]) as channel:
                try:
                    return call(channel)
                except grpc.RpcError as error:
                    failed = error
        assert failed is not None
        raise failed


def _range(channel: grpc.Channel, request: pb.RangeRequest) -> Any:
    return _call(channel, "KV/Range", request, pb.RangeResponse)


def _call(channel: grpc.Channel, method: str, request: Message, response: type[Message]) -> Any:
    ask = channel.unary_unary(
        f"/etcdserverpb.{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    return ask(request, timeout=DEADLINE_S, metadata=(("hasleader", "true"),))
