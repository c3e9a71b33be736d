"""What a request says: its query, its body, and who must answer it. Anything odd is a `Problem`.

It knows no route and asks nothing of the engine. Neighbours: `problems` (refusals), `documents`
(a body that is a job).
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from scheduler.api.problems import Problem, bad_request, unavailable
from scheduler.core.views import Page, Views
from scheduler.runtime.protocols import Front

PAGE_LIMIT_DEFAULT: Final = 200
PAGE_LIMIT_MAX: Final = 1000
BODY_BYTES_MAX: Final = 1024 * 1024
JSON_TYPES: Final = frozenset({"application/json"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """`in_flight_max` requests are answered at a time; a body must arrive within `body_read_s`."""

    in_flight_max: int = 256
    body_read_s: float = 10.0


LIMITS: Final = web.AppKey("limits", Limits)


def views_of(front: Front) -> Views:
    """The reads of the engine, also of one that follows; 503 where there is nothing to see yet."""
    if front.age_s is None:
        raise unavailable(f"{front.instance} neither leads nor follows a leader now; ask again")
    return front.views


def require_leading(front: Front) -> None:
    """Changes come here where this instance leads; it may have stopped to since."""
    if not front.leading:
        raise not_leading(front)


def not_leading(front: Front) -> Problem:
    """Nothing was done here; says who leads, as far as is known."""
    leader = front.leader
    if leader is None:
        who = "does not lead, and knows no leader now"
    elif leader.instance == front.instance:
        who = "is about to lead, or to end"
    else:
        who = f"does not lead, {leader.instance} does ({leader.advertise or 'address unknown'})"
    return unavailable(f"{front.instance} {who}; nothing was changed, ask again")


class Paging(NamedTuple):
    after: str
    limit: int


class Query:
    """The query parameters of a request, each allowed once and only where the route knows it."""

    def __init__(self, request: web.Request, known: Collection[str] = ()) -> None:
        for name in request.query:
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                raise bad_request(f'unknown query parameter "{_short(name)}" (allowed: {names})')
            if len(request.query.getall(name)) > 1:
                raise bad_request(f'the query parameter "{name}" is given more than once')
        self._values = request.query

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, default)

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        text = self._values.get(name)
        if text is None:
            return default
        digits = text.removeprefix("-")
        value = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
        if value is None or not least <= value <= most:
            raise bad_request(f"{name} must be a whole number from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        text = self._values.get(name, "false")
        if text not in ("true", "false"):
            raise bad_request(f"{name} must be true or false")
        return text == "true"

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        text = self._values.get(name, default)
        if text not in allowed:
            raise bad_request(f"{name} must be one of: {', '.join(allowed)}")
        return text

    def words(self, name: str, allowed: Collection[str]) -> tuple[str, ...]:
        """A list with commas, each word one of `allowed`."""
        words = tuple(word for word in self._values.get(name, "").split(",") if word)
        for word in words:
            if word not in allowed:
                names = ", ".join(allowed)
                raise bad_request(f'{name}: "{_short(word)}" is not one of: {names}')
        return words

    def paging(self) -> Paging:
        limit = self.whole("limit", PAGE_LIMIT_DEFAULT, least=1, most=PAGE_LIMIT_MAX)
        return Paging(self.text("after"), limit)


def page_of(read: Callable[[], Page[T]]) -> Page[T]:
    """A page of the views; 400 for an `after` that no page ever gave."""
    try:
        return read()
    except ValueError as error:
        raise bad_request("after must be the `next` of the page before") from error


async def read_body(request: web.Request, content_types: Collection[str]) -> bytes:
    """The body, at most `BODY_BYTES_MAX` long.

    The content type is required: a page of another site cannot send these types without asking
    first, and it is never told yes.
    """
    if request.content_type not in content_types or "Content-Type" not in request.headers:
        allowed = ", ".join(sorted(content_types))
        raise Problem(415, f"the body must have one of these content types: {allowed}")
    return await read_raw(request)


async def read_raw(request: web.Request) -> bytes:
    """The body, whatever it is, at most `BODY_BYTES_MAX` long."""
    if "Content-Encoding" in request.headers:
        raise Problem(415, "compressed bodies are not taken")
    deadline_s = request.app[LIMITS].body_read_s
    try:
        async with asyncio.timeout(deadline_s):
            return await request.read()
    except TimeoutError as error:
        raise Problem(408, f"the body did not arrive within {deadline_s:g} s") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise bad_request("the body did not arrive whole") from error


async def read_struct(request: web.Request, shape: type[T]) -> T:
    """A JSON body of a fixed shape; an empty body counts as `{}`."""
    if not request.can_read_body:
        data = b"{}"
    else:
        data = await read_body(request, JSON_TYPES)
    try:
        return msgspec.json.decode(data or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise bad_request(f"the body is not as expected: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not JSON: {error}") from error


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
