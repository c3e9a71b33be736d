"""What an instance that does not lead does with requests that only the leader can answer: changes,
reads of what only the leader has, and reads that must not be old (`Cache-Control: no-cache`).

A middleware, so that no route needs to know of it. Neighbours: `leader_client` (carries them).
"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from scheduler.api.leader_client import PASSED_ON, LeaderClient, PassedRequest
from scheduler.api.problems import unavailable
from scheduler.api.requests import not_leading, read_raw
from scheduler.api.waiting_routes import EXPLAIN, QUEUE
from scheduler.runtime.protocols import Front, LeaderInfo

AGE: Final = "Offerd-Age"
LEADERS_READS: Final = frozenset({EXPLAIN, QUEUE})
_API: Final = "/v1/"
OnPrepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def passing_on(front: Front, leader_client: LeaderClient) -> Middleware:
    """Requests that their route would answer here where this instance leads go on to the leader."""

    @web.middleware
    async def pass_on(request: web.Request, handler: Handler) -> web.StreamResponse:
        # What no route takes is refused here as well as there.
        nowhere = request.match_info.http_exception is not None
        if nowhere or front.leading or not _is_for_leader(request):
            return await handler(request)
        leader = _leader_for(front, request)
        content_type = request.headers.get("Content-Type")
        body = await read_raw(request) if request.can_read_body else b""
        target = request.rel_url.raw_path_qs
        asked_by = request.remote or ""
        passed = PassedRequest(request.method, target, content_type, body, asked_by)
        answer = await leader_client.ask(leader, passed)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    return pass_on


def says_age(front: Front) -> OnPrepare:
    """Reads say how old they are; an answer of the leader that was passed back has said it."""

    async def add_age(request: web.Request, response: web.StreamResponse) -> None:
        age_s = front.age_s
        if request.method == "GET" and request.path.startswith(_API) and age_s is not None:
            response.headers.setdefault(AGE, f"{age_s:.3f}")

    return add_age


def _is_for_leader(request: web.Request) -> bool:
    if not request.path.startswith(_API):
        return False
    resource = request.match_info.route.resource
    if resource is not None and resource.canonical in LEADERS_READS:
        return True
    return request.method != "GET" or "no-cache" in request.headers.get("Cache-Control", "")


def _leader_for(front: Front, request: web.Request) -> LeaderInfo:
    """Whom to ask; 503 where that is nobody, or where it would go round in a circle."""
    if PASSED_ON in request.headers:
        raise not_leading(front)
    leader = front.leader
    if leader is None or leader.instance == front.instance:
        raise not_leading(front)
    if not leader.advertise:
        detail = f"{front.instance} does not lead; {leader.instance} does, but `advertise` is not"
        raise unavailable(f"{detail} set there: ask it at its own address")
    return leader
