"""One stream of one watch: reads answers, and asks for a sign of life when none come.

A connection can be dead while nothing says so, and a member can hang with its connection alive.
A watch of a quiet prefix would wait for ever on both.
"""

import asyncio
from typing import Final

import grpc
import grpc.aio

from scheduler.etcd3.calls import Metadata
from scheduler.etcd3.failures import Kind, read_failure
from scheduler.etcd3.members import Member
from scheduler.etcd3.methods import WATCH
from scheduler.etcd3.proto import etcd_pb2 as pb

# Silence is counted in ticks in which we did wait, not by the clock: when this process was stopped,
# or its reader was elsewhere for a while, the member is not to blame.
TICKS_UNTIL_ASKED: Final = 2
TICKS_UNTIL_BROKEN: Final = 5
WRITE_S: Final = 1.0

_PROGRESS: Final = pb.WatchRequest(progress_request=pb.WatchProgressRequest())


class StreamBroken(Exception):  # not of the tree: never leaves this package
    """This stream gives no more; another one may."""


class TokenRefused(StreamBroken):
    """The stream was refused for its token."""


class WatchStream:
    def __init__(self, member: Member, metadata: Metadata, silence_s: float) -> None:
        self._call = member.stream(WATCH)(metadata=metadata)
        self._reading: asyncio.Task[pb.WatchResponse] | None = None
        self._tick_s = silence_s / TICKS_UNTIL_BROKEN
        self._silent_ticks = 0

    async def create(self, request: pb.WatchCreateRequest) -> None:
        await self._write(pb.WatchRequest(create_request=request))

    async def response(self) -> pb.WatchResponse:
        """The next answer. Raises StreamBroken when the stream ended or is silent."""
        while True:
            if self._reading is None:
                # A cancelled read takes its call along, so one read waits through many ticks.
                self._reading = asyncio.ensure_future(self._read())
            done, _ = await asyncio.wait({self._reading}, timeout=self._tick_s)
            if done:
                reading, self._reading = self._reading, None
                self._silent_ticks = 0
                return reading.result()
            self._silent_ticks += 1
            if self._silent_ticks >= TICKS_UNTIL_BROKEN:
                raise StreamBroken("no answer, and none to a progress request")
            if self._silent_ticks == TICKS_UNTIL_ASKED:
                await self._write(_PROGRESS)

    async def aclose(self) -> None:
        self._call.cancel()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})
            # Its outcome is of no interest any more, but has to be looked at.
            _ = reading.cancelled() or reading.exception()

    async def _read(self) -> pb.WatchResponse:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _broken(error) from error
        except asyncio.CancelledError as error:
            # The call was cancelled, or nobody waits for this task any more (see `aclose`).
            raise StreamBroken("the connection was closed") from error
        if isinstance(response, pb.WatchResponse):
            return response
        raise StreamBroken("ended by the member")

    async def _write(self, request: pb.WatchRequest) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._call.write(request)
        except TimeoutError as error:
            raise StreamBroken("nothing can be written") from error
        except grpc.aio.AioRpcError as error:
            raise _broken(error) from error
        except asyncio.InvalidStateError as error:
            raise StreamBroken("ended by the member") from error


def _broken(error: grpc.aio.AioRpcError) -> StreamBroken:
    failure = read_failure(error.code(), error.details())
    return TokenRefused(failure.text) if failure.kind is Kind.TOKEN else StreamBroken(failure.text)
