"""The views as JSON. Struct fields keep their names; amounts become numbers with units of Mesos.

Neighbours: `core.views` (the shapes), the route modules (who answer with them).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from scheduler.core.model.resources import MILLI, Amounts
from scheduler.core.views import AgentView, Page, StatusView


def json_answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def page_answer(items: Iterable[object], next_page: str | None) -> web.Response:
    return json_answer({"items": list(items), "next": next_page})


def fields_of(view: msgspec.Struct) -> dict[str, Any]:
    """A view's fields, to put others beside them."""
    return msgspec.structs.asdict(view)


def amounts_fields(amounts: Amounts | None) -> dict[str, float] | None:
    """mem and disk are in MiB, as Mesos shows them; all else counts devices."""
    if amounts is None:
        return None
    named = msgspec.structs.asdict(amounts)
    return {name: amount / MILLI for name, amount in named.items()}


def status_fields(status: StatusView) -> dict[str, Any]:
    offers = [
        fields_of(role) | {"minimums": list(map(amounts_fields, role.minimums))}
        for role in status.offers
    ]
    return fields_of(status) | {"offers": offers}


def agent_fields(agent: AgentView) -> dict[str, Any]:
    return fields_of(agent) | {
        "total": amounts_fields(agent.total),
        "used": amounts_fields(agent.used),
    }


def agents_answer(page: Page[AgentView]) -> web.Response:
    return page_answer(map(agent_fields, page.items), page.next)
