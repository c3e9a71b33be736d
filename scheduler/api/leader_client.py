"""Carries a request to the instance that leads, and brings its answer back.

One try a request: whatever was sent may have happened. It knows no route; `passing_on` says which
requests go this way.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

import aiohttp
import structlog
from yarl import URL

from scheduler.api.problems import Problem, unavailable
from scheduler.runtime.protocols import LeaderInfo

PASSED_ON: Final = "Offerd-Passed-On"
"""Names the instance that passed a request on. Who does not lead and finds it passes nothing on."""
ASKED_BY: Final = "Offerd-Asked-By"
"""The address that a request came from before it was passed on, for the leader's log."""
TOKEN_REFUSED: Final = 502
"""What a user is answered where the leader does not accept this instance's token."""
CONNECT_S: Final = 2.0
ANSWER_S: Final = 15.0
"""The leader gives a change 10 s to become durable, then says that it could not."""
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
_KEPT: Final = ("Content-Type", "Retry-After", "Offerd-Age", "Offerd-Offset", "Offerd-Next")

log = structlog.get_logger("api")


class PassedRequest(NamedTuple):
    """`target` is path and query as they were sent, `asked_by` the address they came from."""

    method: str
    target: str
    content_type: str | None
    body: bytes
    asked_by: str


class LeaderAnswer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class LeaderClient:
    """`token` proves to the leader that an instance asks; None where none is needed."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        instance: str,
        token: str | None,
        answer_s: float = ANSWER_S,
    ) -> None:
        """The session belongs to whoever made it, and should keep no connection open: one that the
        leader has closed meanwhile looks like a request that was lost."""
        self._session = session
        self._headers = {PASSED_ON: instance}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._answer_s = answer_s

    async def ask(self, leader: LeaderInfo, request: PassedRequest) -> LeaderAnswer:
        """The leader's answer, whatever it is. Raises Problem where there is none."""
        headers = self._headers | {ASKED_BY: request.asked_by}
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        try:
            url = URL(leader.advertise.rstrip("/") + request.target, encoded=True)
            async with (
                asyncio.timeout(self._answer_s),
                self._session.request(
                    request.method,
                    url,
                    data=request.body or None,
                    headers=headers,
                    skip_auto_headers=("Content-Type", "Accept-Encoding"),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(connect=CONNECT_S, sock_connect=CONNECT_S),
                    middlewares=(_once,),
                ) as response,
            ):
                return await self._answer_of(leader, response)
        except aiohttp.ClientConnectorCertificateError as error:
            why = f"its certificate is not trusted: {_why_not(error)}; see peer_tls"
            raise _unreachable(leader, why) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _unreachable(leader, type(error).__name__) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError) as error:
            raise _unreachable(leader, "its `advertise` is no URL") from error
        except TimeoutError as error:
            raise _unanswered(leader, f"within {self._answer_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _unanswered(leader, "whole") from error

    async def _answer_of(
        self, leader: LeaderInfo, response: aiohttp.ClientResponse
    ) -> LeaderAnswer:
        if response.status == 401:
            detail = (
                f"the leader {leader.instance} at {leader.advertise} does not accept this "
                "instance's peer token: peer_token_file must hold the same one everywhere"
            )
            raise Problem(TOKEN_REFUSED, detail)
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise _unanswered(leader, "in a bearable length")
        headers = {name: response.headers[name] for name in _KEPT if name in response.headers}
        return LeaderAnswer(response.status, headers, bytes(body))


class _Unanswered(aiohttp.ClientError):
    """The connection broke after something was sent on it."""


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp sends what is idempotent by its method a second time when a connection breaks; but a
    second DELETE may meet a job that somebody has declared anew."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except aiohttp.ClientConnectionError as error:
        raise _Unanswered(str(error)) from error


def _why_not(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return str(getattr(cause, "verify_message", "") or type(cause).__name__)


def _unreachable(leader: LeaderInfo, why: str) -> Problem:
    log.warning("api.leader_unreachable", leader=leader.instance, reason=why)
    return unavailable(
        f"the leader {leader.instance} at {leader.advertise} cannot be reached ({why}); "
        "nothing was changed"
    )


def _unanswered(leader: LeaderInfo, how: str) -> Problem:
    log.warning("api.leader_unanswered", leader=leader.instance, how=how)
    return unavailable(
        f"the leader {leader.instance} at {leader.advertise} did not answer {how}; a change may "
        "still take effect"
    )
