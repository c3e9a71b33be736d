"""Asks etcd itself, past the proxies: who leads, and everything that ever happened below a prefix.

A plain blocking gRPC client of its own, not offerd's.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import grpc

from scheduler.etcd3.proto import etcd_pb2 as pb
from tests.faults.evidence import Change

DEADLINE_S: Final = 2.0
HISTORY_S: Final = 60.0
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
    ask = channel.unary_unary(
        "/etcdserverpb.KV/Range",
        request_serializer=pb.RangeRequest.SerializeToString,
        response_deserializer=pb.RangeResponse.FromString,
    )
    return ask(request, timeout=DEADLINE_S, metadata=(("hasleader", "true"),))
