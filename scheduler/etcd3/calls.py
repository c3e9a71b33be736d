"""One call of etcd: with a deadline, at one member after another, with a token that is renewed.

Reads are tried again wherever that helps. A write is sent once: it is tried again only where it
certainly did nothing, and if no answer comes, its outcome is unknown and the caller decides.
"""

import asyncio
from typing import Final

import grpc
import grpc.aio

from scheduler.errors import (
    Compacted,
    EtcdError,
    EtcdNotSent,
    EtcdRefusal,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnknownOutcome,
)
from scheduler.etcd3.failures import Failure, Kind, read_failure
from scheduler.etcd3.members import Access, Member, Members
from scheduler.etcd3.methods import AUTHENTICATE, Method, Request, Response
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.settings import Credentials, Timeouts

Metadata = tuple[tuple[str, str], ...]
# A member without a leader says so at once instead of keeping the call.
NEED_LEADER: Final[Metadata] = (("hasleader", "true"),)
TOKENS_A_CALL: Final = 2
REST_S: Final = 0.05


class Calls:
    """Calls over one set of members. Many may be in flight."""

    def __init__(self, access: Access, credentials: Credentials | None, timeouts: Timeouts) -> None:
        self.access: Final = access
        self.timeouts: Final = timeouts
        self.members: Final[Members] = access.members()
        self._credentials = credentials
        self._metadata: Metadata | None = NEED_LEADER if credentials is None else None
        self._authenticating = asyncio.Lock()

    async def read(self, method: Method[Request, Response], request: Request) -> Response:
        """Also for what may be done twice. Raises EtcdUnavailable, EtcdRefused, Compacted."""
        return await self._tries(method, request, repeatable=True)

    async def write(self, method: Method[Request, Response], request: Request) -> Response:
        """Raises EtcdNotSent, EtcdUnknownOutcome, EtcdRefused."""
        try:
            return await self._tries(method, request, repeatable=False)
        except EtcdUnavailable as error:
            raise EtcdNotSent(str(error)) from error

    @property
    def has_credentials(self) -> bool:
        return self._credentials is not None

    async def metadata(self) -> Metadata:
        """What goes with each call; the first token is asked for when it is needed."""
        if self._metadata is None:
            await self.renew_token(None)
        assert self._metadata is not None
        return self._metadata

    async def renew_token(self, stale: Metadata | None) -> None:
        """Another token than that of `stale`; one request for however many callers."""
        async with self._authenticating:
            if self._metadata is not stale or self._credentials is None:
                return
            request = pb.AuthenticateRequest(
                name=self._credentials.user, password=self._credentials.password
            )
            try:
                answer = await self._tries(
                    AUTHENTICATE, request, repeatable=True, metadata=NEED_LEADER
                )
            except EtcdRefused as refused:
                if "authentication is not enabled" not in refused.detail:
                    raise
                self._metadata = NEED_LEADER
            else:
                self._metadata = (*NEED_LEADER, ("token", answer.token))

    async def aclose(self) -> None:
        """What is in flight ends as unavailable or of unknown outcome."""
        await self.members.aclose()

    async def _tries(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        repeatable: bool,
        metadata: Metadata | None = None,
    ) -> Response:
        loop = asyncio.get_running_loop()
        answer_s = self.timeouts.answer_s
        end = loop.time() + self.timeouts.call_s
        tokens = tries = 0
        while True:
            # The last member that can still be connected to has its whole time to answer.
            member = await self.members.ready(end - answer_s)
            sent_with = metadata or self._metadata or await self.metadata()
            result = await attempt(member, method, request, answer_s, sent_with)
            if not isinstance(result, Failure):
                return result
            if result.kind is Kind.TOKEN and metadata is None and tokens < TOKENS_A_CALL:
                tokens += 1
                await self._renew_refused_token(sent_with, result)
                continue
            if result.elsewhere:
                self.members.leave(member)
            again = result.elsewhere and (repeatable or result.kind is Kind.NOT_DONE)
            if not again or loop.time() >= end - answer_s:
                raise _as_error(result, member, repeatable=repeatable)
            tries += 1
            if tries % len(self.members.all) == 0:
                await asyncio.sleep(REST_S)

    async def _renew_refused_token(self, stale: Metadata, failure: Failure) -> None:
        if self._credentials is None:
            raise EtcdRefused(EtcdRefusal.CREDENTIALS, f"{failure.text} (no user is set)")
        await self.renew_token(stale)


async def attempt(
    member: Member,
    method: Method[Request, Response],
    request: Request,
    within_s: float,
    metadata: Metadata,
) -> Response | Failure:
    """Sends it once to a member that is connected."""
    try:
        return await member.unary(method)(request, timeout=within_s, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return read_failure(error.code(), error.details())
    except asyncio.CancelledError:
        if ourselves_cancelled():
            raise
        # A channel that is closed cancels its calls: nobody meant the task that waits for one.
        return Failure(Kind.UNKNOWN, "the connection was closed")


def ourselves_cancelled() -> bool:
    """Tells a cancelled task from a cancelled call, which look the same to who awaits the call."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _as_error(failure: Failure, member: Member, *, repeatable: bool) -> EtcdError:
    match failure.kind:
        case Kind.COMPACTED:
            return Compacted(0)
        case Kind.REFUSED | Kind.TOKEN:
            return EtcdRefused(failure.reason, failure.text)
        case Kind.NOT_DONE:
            return EtcdUnavailable(f"{member.endpoint}: {failure.text}")
        case Kind.UNKNOWN if repeatable and not failure.elsewhere:
            return EtcdRefused(failure.reason, failure.text)
        case Kind.UNKNOWN if repeatable:
            return EtcdUnavailable(f"{member.endpoint}: {failure.text}")
        case Kind.UNKNOWN:
            return EtcdUnknownOutcome(f"{member.endpoint}: {failure.text}")
