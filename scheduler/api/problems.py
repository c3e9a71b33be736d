"""Errors as RFC 9457 problem details: one shape for everything that is not a success.

A handler raises `Problem`; what aiohttp itself refuses is turned into the same shape by
`middlewares`. Details are sentences for people and never hold a secret.
"""

import http
from collections.abc import Mapping, Sequence

import orjson
from aiohttp import web

from scheduler.core.effects import Answer, Verdict

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
"""What a client is told to wait: overload and changes of leadership pass within seconds."""

_STATUS_OF = {
    Verdict.NOT_FOUND: http.HTTPStatus.NOT_FOUND,
    Verdict.CONFLICT: http.HTTPStatus.CONFLICT,
    Verdict.INVALID: http.HTTPStatus.BAD_REQUEST,
    Verdict.UNAVAILABLE: http.HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(web.HTTPException):
    """`{"type": "about:blank", "title", "status", "detail", "errors"?}`.

    `errors` lists what is wrong with a body, each `{"path", "message", "line"?}`.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str | int]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = status
        self.detail = detail
        document: dict[str, object] = {
            "type": "about:blank",
            "title": http.HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        }
        if errors:
            document["errors"] = list(errors)
        text = orjson.dumps(document).decode()
        super().__init__(text=text, content_type=CONTENT_TYPE, headers=headers)


def bad_request(detail: str) -> Problem:
    return Problem(http.HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> Problem:
    return Problem(http.HTTPStatus.NOT_FOUND, detail)


def unavailable(detail: str) -> Problem:
    """503: the same request may go through later, or at another instance."""
    return Problem(
        http.HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER_S)}
    )


def too_many(detail: str) -> Problem:
    return Problem(
        http.HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(RETRY_AFTER_S)}
    )


def refusal(answer: Answer) -> Problem | None:
    """The problem that an answer stands for; None when the request was carried out."""
    if answer.verdict in (Verdict.DONE, Verdict.UNCHANGED):
        return None
    detail = answer.detail or "The request was not carried out."
    if answer.verdict is Verdict.UNAVAILABLE:
        return unavailable(detail)
    return Problem(_STATUS_OF[answer.verdict], detail)
