"""What every request passes, whatever its route: errors in one shape, access, limits.

No middleware knows a route but the two that ask for health. Neighbours: `app` orders them,
`problems` is what they answer.
"""

import asyncio
import hmac
import http
import ipaddress
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from scheduler.api.leader_client import ASKED_BY, PASSED_ON
from scheduler.api.problems import Problem, too_many, unavailable

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
CLAIM_LENGTH_MAX: Final = 100
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})

log = structlog.get_logger("api")


@web.middleware
async def errors_are_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost: whatever goes wrong leaves as problem details."""
    began = time.monotonic()
    status = 500
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as refused:
        status = refused.status
        raise _as_problem(request, refused) from refused
    except Exception as error:
        log.exception("api.request_broke", method=request.method, path=request.path)
        raise Problem(500, "offerd could not answer; its log says why") from error
    finally:
        tell = log.debug if request.method in _READING else log.info
        tell(
            "api.request",
            method=request.method,
            path=request.path,
            status=status,
            duration_ms=round((time.monotonic() - began) * 1000, 1),
            **_who_asked(request),
        )


def _who_asked(request: web.Request) -> dict[str, str]:
    """What headers say of it stands beside what is certain, `remote`: anybody may write them."""
    claims = (("passed_on_by", PASSED_ON), ("asked_by", ASKED_BY))
    said = {
        name: request.headers[header][:CLAIM_LENGTH_MAX]
        for name, header in claims
        if header in request.headers
    }
    return {"remote": request.remote or "", **said}


async def add_safe_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """For browsers: what tasks and jobs wrote is data, and belongs into no cache."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"


def _as_problem(request: web.Request, refused: web.HTTPException) -> Problem:
    match refused:
        case Problem():
            return refused
        case web.HTTPNotFound():
            return Problem(404, f"there is nothing at {request.path}")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(refused.allowed_methods))
            detail = f"{refused.method} is not possible here (allowed: {allowed})"
            return Problem(405, detail, headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "the body is too large (at most 1 MiB)")
        case _:
            return Problem(refused.status, refused.reason)


def access(token: str | None, peer_token: str | None) -> Middleware:
    """With a token: nothing without it or the peers' one, but for health. Without one: only this
    machine's own names, so that a foreign name that resolves to loopback (DNS rebinding) reaches
    nothing, but peers that prove to be some."""
    tokens = [given.encode() for given in (token, peer_token) if given is not None]

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS:
            _refuse_foreign_pages(request)
            if not _brings_one_of(tokens, request):
                if token is not None:
                    raise _no_token()
                _require_own_name(request)
        return await handler(request)

    return check


def _brings_one_of(tokens: Sequence[bytes], request: web.Request) -> bool:
    """Compared with each in constant time, and with all of them whichever fits."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    given_bytes = given.strip().encode("utf-8", "surrogateescape")
    fits = [hmac.compare_digest(given_bytes, token) for token in tokens]
    return scheme.lower() == "bearer" and any(fits)


def _no_token() -> Problem:
    return Problem(
        http.HTTPStatus.UNAUTHORIZED,
        "a bearer token is required (Authorization: Bearer …), and it must be the right one",
        headers={"WWW-Authenticate": 'Bearer realm="offerd"'},
    )


def _require_own_name(request: web.Request) -> None:
    if not _is_own_name(request.headers.get("Host", "")):
        detail = "without a token offerd answers only to localhost and to IP addresses"
        raise Problem(http.HTTPStatus.MISDIRECTED_REQUEST, detail)


def _is_own_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in _LOCAL_NAMES or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _refuse_foreign_pages(request: web.Request) -> None:
    """A browser says where a changing request comes from; another site's is not carried out."""
    origin = request.headers.get("Origin")
    if origin is None or request.method in _READING:
        return
    if origin.partition("://")[2] != request.headers.get("Host", ""):
        raise Problem(403, "requests from pages of another site are not carried out")


@web.middleware
async def only_who_waits(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A change whose sender has left is not begun. An instance that was held up finds such requests
    in its sockets when it goes on, and would undo what their senders have done elsewhere since."""
    if request.method not in _READING:
        await asyncio.sleep(0)  # that the sender left may have come right behind the request
        if request.transport is None or request.transport.is_closing():
            raise unavailable("who asked for this is gone; nothing was changed")
    return await handler(request)


def bounded_in_flight(most: int) -> Middleware:
    """Overload is said at once (429) instead of queueing without end."""
    in_flight = 0

    @web.middleware
    async def bound(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_flight
        if request.path in OPEN_PATHS:
            return await handler(request)
        if in_flight >= most:
            raise too_many(f"{most} requests are being answered already; try again")
        in_flight += 1
        try:
            return await handler(request)
        finally:
            in_flight -= 1

    return bound
