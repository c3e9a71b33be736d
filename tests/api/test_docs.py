"""docs/api.md names every route, and no other."""

import re
from pathlib import Path

import aiohttp

from scheduler.core.placement.reasons import Reason
from tests.api.conftest import an_app
from tests.api.fake_front import FakeFront

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


async def test_the_reference_has_every_route_and_no_other() -> None:
    async with aiohttp.ClientSession() as session:
        app = an_app(FakeFront(), session)
        served = {
            f"{route.method} {route.resource.canonical}"
            for route in app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
    told = set(re.findall(r"^\| `([A-Z]+ /[^`]*)`", DOCUMENT.read_text(), re.MULTILINE))
    assert told == served


def test_the_reference_has_every_reason_to_wait() -> None:
    told = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text()))
    assert told >= {reason.value for reason in Reason}
