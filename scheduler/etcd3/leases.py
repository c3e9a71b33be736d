"""Keeps one lease alive, and knows until when it certainly is.

The deadline is counted from when a keepalive was *sent*, on a clock that runs on while the machine
sleeps: whatever happened to the answer on its way, etcd cannot have started the new term earlier.
"""

import asyncio
import time
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from scheduler.errors import EtcdUnavailable
from scheduler.etcd3.calls import Calls, ourselves_cancelled
from scheduler.etcd3.failures import Kind, read_failure
from scheduler.etcd3.members import Member
from scheduler.etcd3.methods import LEASE_KEEP_ALIVE
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.values import Lease, LeaseEnd

# Shares of the granted time. With 3 s, the least that lasts through an election of etcd's own
# leader (1 to 2 s, in which no keepalive is answered), what is left when that begins is 2.5 s; and
# after a keepalive without an answer there is room for one at each of two other members.
INTERVAL_SHARE: Final = 1 / 6
ANSWER_SHARE: Final = 1 / 5
PAUSE_S: Final = 0.05

log = structlog.get_logger()

Stream = "grpc.aio.StreamStreamCall[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]"


def boot_time_s() -> float:
    """CLOCK_BOOTTIME: steady, and it counts the time that the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseKeeper:
    """Keeps `lease` while `keep` runs."""

    def __init__(self, calls: Calls, lease: Lease) -> None:
        """`calls` is for this lease alone."""
        self.lease: Final = lease
        self._calls = calls
        self._deadline_s = lease.deadline_s
        self._answer_s = lease.ttl_s * ANSWER_SHARE
        self._stream: Any = None
        self._member: Member | None = None

    @property
    def deadline_s(self) -> float:
        """Before this (see `boot_time_s`) the lease has not expired."""
        return self._deadline_s

    async def keep(self) -> LeaseEnd:
        """Runs until the lease has ended, or may have: the deadline passed. It is not revoked."""
        try:
            return await self._keep()
        finally:
            self._drop_stream()
            await self._calls.aclose()

    async def _keep(self) -> LeaseEnd:
        while boot_time_s() < self._deadline_s:
            try:
                ttl_s = await self._renew()
            except (_KeepaliveFailed, EtcdUnavailable) as error:
                self._leave(str(error))
                ttl_s = None
            if ttl_s is not None and ttl_s <= 0:
                return LeaseEnd.EXPIRED
            pause_s = PAUSE_S if ttl_s is None else self.lease.ttl_s * INTERVAL_SHARE
            await asyncio.sleep(pause_s)
        return LeaseEnd.DEADLINE_PASSED

    async def _renew(self) -> int:
        """One keepalive; gives the seconds granted, 0 where the lease is gone."""
        try:
            async with asyncio.timeout(self._answer_s):
                stream = self._stream or await self._open()
                sent_s = boot_time_s()
                await stream.write(pb.LeaseKeepAliveRequest(id=self.lease.lease_id))
                response = await stream.read()
        except TimeoutError as error:
            raise _KeepaliveFailed("no answer in time") from error
        except grpc.aio.AioRpcError as error:
            failure = read_failure(error.code(), error.details())
            if failure.kind is Kind.TOKEN:
                await self._calls.renew_token(await self._calls.metadata())
            raise _KeepaliveFailed(failure.text) from error
        except asyncio.InvalidStateError as error:
            raise _KeepaliveFailed("ended by the member") from error
        except asyncio.CancelledError as error:
            if ourselves_cancelled():
                raise
            raise _KeepaliveFailed("the connection was closed") from error
        if not isinstance(response, pb.LeaseKeepAliveResponse):
            raise _KeepaliveFailed("ended by the member")
        if response.ttl > 0:
            self._deadline_s = max(self._deadline_s, sent_s + response.ttl)
        return response.ttl

    async def _open(self) -> Any:
        metadata = await self._calls.metadata()
        loop = asyncio.get_running_loop()
        self._member = await self._calls.members.ready(loop.time() + self._answer_s)
        self._stream = self._member.stream(LEASE_KEEP_ALIVE)(metadata=metadata)
        return self._stream

    def _leave(self, reason: str) -> None:
        log.info(
            "etcd.keepalive_failed",
            endpoint=None if self._member is None else self._member.endpoint,
            lease_id=self.lease.lease_id,
            left_s=round(self._deadline_s - boot_time_s(), 3),
            reason=reason,
        )
        self._drop_stream()
        if self._member is not None:
            self._calls.members.leave(self._member)
            self._member = None

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()


class _KeepaliveFailed(Exception):
    pass
