"""Connections to the members: one sticky channel each, one member in use at a time.

A set of members is made for each purpose (calls, one watch, one lease), so that a page of ten
thousand keys never stands before a keepalive. Moving on to the next member is the callers' word:
they see what fails. Balancing over all members would go on picking one that hangs.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

import grpc
import grpc.aio

from scheduler.errors import EtcdUnavailable, SettingsError
from scheduler.etcd3.methods import STATUS, Method, Request, Response
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.settings import TlsFiles

ANSWER_BYTES_MAX: Final = 64 << 20
REQUEST_BYTES_MAX: Final = 16 << 20
# How often a channel is asked whether it is connected yet, and the rest when no member is.
LOOK_S: Final = 0.01
REST_S: Final = 0.1
PROBLEM_S: Final = 0.2

_OPTIONS: Final[Sequence[tuple[str, int]]] = (
    # etcd ends connections that ping more often than every 5 s, or with no call open.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # What really limits the wait for a ping's answer; unset it is a minute, whatever the keepalive
    # timeout says, and a member that hangs is not noticed.
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Else channels to the same address share one connection, whatever their purpose.
    ("grpc.use_local_subchannel_pool", 1),
    # One try is one try: what is sent again is decided in `calls`.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # The proxy variables of the environment are not meant for a cluster's own store.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.max_send_message_length", REQUEST_BYTES_MAX),
)


class Access:
    """Endpoints and TLS material, read once. Makes sets of members."""

    def __init__(self, endpoints: Sequence[str], tls: TlsFiles | None, connect_s: float) -> None:
        """Raises SettingsError when there is no endpoint or a file cannot be read."""
        if not endpoints:
            raise SettingsError("etcd: no endpoint given")
        self.endpoints: Final = tuple(endpoints)
        self._connect_s = connect_s
        self._credentials = None if tls is None else _read_tls(tls)

    def members(self) -> "Members":
        return Members([Member(at, self._credentials) for at in self.endpoints], self._connect_s)


class Member:
    """One endpoint, as host:port, and the channel to it."""

    def __init__(self, endpoint: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.endpoint: Final = endpoint
        self._channel = (
            grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)
        )
        self._unary: dict[Method[Any, Any], Any] = {}

    def unary(
        self, method: Method[Request, Response]
    ) -> "grpc.aio.UnaryUnaryMultiCallable[Request, Response]":
        made = self._unary.get(method)
        if made is None:
            made = self._unary[method] = self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return cast("grpc.aio.UnaryUnaryMultiCallable[Request, Response]", made)

    def stream(
        self, method: Method[Request, Response]
    ) -> "grpc.aio.StreamStreamMultiCallable[Request, Response]":
        return self._channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def connected(self) -> bool:
        """Starts to connect where it isn't."""
        state = self._channel.get_state(try_to_connect=True)
        return state is grpc.ChannelConnectivity.READY

    async def connect(self, within_s: float) -> bool:
        """Whether there is a connection now. A refused one is known at once.

        Looked at in short steps: waiting for a change of state cannot be called off.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while not self.connected():
            state = self._channel.get_state()
            failed = state is grpc.ChannelConnectivity.TRANSIENT_FAILURE
            if failed or loop.time() >= end:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def problem(self) -> str:
        """Why there is no connection. A state has no words, but a call that fails for it has."""
        try:
            await self.unary(STATUS)(pb.StatusRequest(), timeout=PROBLEM_S)
        except grpc.aio.AioRpcError as error:
            return f"{self.endpoint}: {error.details()}"
        return f"{self.endpoint}: connected just now"

    async def aclose(self) -> None:
        await self._channel.close()


class Members:
    """All members, one of which is in use."""

    def __init__(self, members: Sequence[Member], connect_s: float) -> None:
        self.all: Final = tuple(members)
        self._connect_s = connect_s
        self._index = 0
        self._closed = False

    async def ready(self, deadline: float) -> Member:
        """The member in use, connected; another one where that can't be, by `deadline` (loop time).

        Raises EtcdUnavailable when there is none.
        """
        member = self.all[self._index]
        if not self._closed and member.connected():
            return member
        loop = asyncio.get_running_loop()
        while not self._closed:
            for _ in self.all:
                member = self.all[self._index]
                left_s = deadline - loop.time()
                if await member.connect(min(self._connect_s, left_s)):
                    return member
                self.leave(member)
                if left_s <= 0.0:
                    raise EtcdUnavailable(f"none of {self} is connected: {await member.problem()}")
            await asyncio.sleep(REST_S)
        raise EtcdUnavailable(f"the connections to {self} are closed")

    def leave(self, member: Member) -> None:
        """This one failed: the next is used from now on. Many callers may say so of one failure."""
        if self.all[self._index] is member:
            self._index = (self._index + 1) % len(self.all)

    async def aclose(self) -> None:
        self._closed = True
        for member in self.all:
            await member.aclose()

    def __str__(self) -> str:
        return ", ".join(member.endpoint for member in self.all)


def _read_tls(tls: TlsFiles) -> grpc.ChannelCredentials:
    if (tls.certificate is None) is not (tls.key is None):
        raise SettingsError("etcd: a client certificate needs its key, and a key its certificate")
    try:
        return grpc.ssl_channel_credentials(
            tls.authority.read_bytes(),
            None if tls.key is None else tls.key.read_bytes(),
            None if tls.certificate is None else tls.certificate.read_bytes(),
        )
    except OSError as error:
        raise SettingsError(f"etcd: {error.filename}: {error.strerror}") from error
