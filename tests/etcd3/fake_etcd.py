"""A server that speaks etcd's API and says what a test wants it to, right or wrong.

Each watch and each keepalive stream is a `Stream` that the test talks through.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from scheduler.etcd3.methods import LEASE_KEEP_ALIVE, WATCH, Method
from scheduler.etcd3.proto import etcd_pb2 as pb

HOST: Final = "127.77.30.200"
DEADLINE_S: Final = 10.0

Asked = TypeVar("Asked", bound=Message)
Told = TypeVar("Told", bound=Message)
Context = Any  # of grpc.aio's server, one for each call
Answer = Callable[[Any, Context], Awaitable[Message]]


class Stream(Generic[Asked, Told]):
    """The server's end of one stream of the client under test."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.metadata: list[tuple[str, str]] = list(context.invocation_metadata())
        self._end = asyncio.Event()
        self._problem: tuple[grpc.StatusCode, str] | None = None

    async def asked(self) -> Asked:
        async with asyncio.timeout(DEADLINE_S):
            request: Asked = await self._context.read()
        return request

    async def tell(self, response: Told) -> None:
        await self._context.write(response)

    def end(self, code: grpc.StatusCode | None = None, text: str = "") -> None:
        """Without a code it ends well, as far as gRPC is concerned."""
        self._problem = None if code is None else (code, text)
        self._end.set()

    async def live(self) -> None:
        await self._end.wait()
        if self._problem is not None:
            await self._context.abort(*self._problem)


WatchSide = Stream[pb.WatchRequest, pb.WatchResponse]
KeepaliveSide = Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]


class FakeEtcd:
    def __init__(self) -> None:
        self.endpoint = ""
        self.streams = 0  # how many were opened
        self.unary: dict[Method[Any, Any], Answer] = {}
        self._watches: asyncio.Queue[WatchSide] = asyncio.Queue()
        self._keepalives: asyncio.Queue[KeepaliveSide] = asyncio.Queue()

    async def watch(self) -> WatchSide:
        """The next stream that a watch opens."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._watches.get()

    async def keepalives(self) -> KeepaliveSide:
        async with asyncio.timeout(DEADLINE_S):
            return await self._keepalives.get()

    async def created_watch(self) -> tuple[WatchSide, int]:
        """The same, after it was told that it is created; and the revision that it begins at."""
        stream = await self.watch()
        start = (await stream.asked()).create_request.start_revision
        await stream.tell(pb.WatchResponse(header=header(100), created=True))
        return stream, start

    def handler(self, path: str) -> "grpc.RpcMethodHandler[Any, Any] | None":
        streams: dict[str, tuple[Method[Any, Any], asyncio.Queue[Any]]] = {
            WATCH.path: (WATCH, self._watches),
            LEASE_KEEP_ALIVE.path: (LEASE_KEEP_ALIVE, self._keepalives),
        }
        if path in streams:
            method, queue = streams[path]

            async def serve(_: object, context: Context) -> None:
                stream: Stream[Any, Any] = Stream(context)
                self.streams += 1
                queue.put_nowait(stream)
                await stream.live()

            return grpc.stream_stream_rpc_method_handler(
                serve,
                request_deserializer=method.request.FromString,
                response_serializer=method.response.SerializeToString,
            )
        for method, answer in self.unary.items():
            if method.path == path:
                return grpc.unary_unary_rpc_method_handler(
                    answer,
                    request_deserializer=method.request.FromString,
                    response_serializer=method.response.SerializeToString,
                )
        return None


class _Services(grpc.GenericRpcHandler):
    def __init__(self, fake: FakeEtcd) -> None:
        self._fake = fake

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._fake.handler(handler_call_details.method)


@contextlib.asynccontextmanager
async def fake_etcd() -> AsyncIterator[FakeEtcd]:
    fake = FakeEtcd()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_Services(fake),))
    fake.endpoint = f"{HOST}:{server.add_insecure_port(f'{HOST}:0')}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(grace=0)


def header(revision: int) -> pb.ResponseHeader:
    return pb.ResponseHeader(cluster_id=1, member_id=1, revision=revision, raft_term=1)


def events(*revisions: int) -> list[pb.Event]:
    """One put at each."""
    return [
        pb.Event(kv=pb.KeyValue(key=b"/k", value=b"%d" % one, create_revision=1, mod_revision=one))
        for one in revisions
    ]
