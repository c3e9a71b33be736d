"""Which master is tried next, and how long after the last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import MasterUnavailable, SettingsError
from scheduler.mesos.backoff import Backoff
from scheduler.mesos.discovery import REDIRECTS_MAX, Candidates, open_candidates

LIST = "http://a:1,http://b:2,http://c:3"


def masters(setting: str | list[str]) -> Candidates:
    return open_candidates(setting, tls=False)


async def firsts(candidates: Candidates, times: int) -> list[str]:
    return [(await candidates.first()).host for _ in range(times)]


async def test_the_masters_of_a_list_are_tried_in_turn() -> None:
    candidates = masters(LIST)
    assert await firsts(candidates, 5) == ["a", "b", "c", "a", "b"]


async def test_the_master_that_led_last_is_tried_first_and_only_once() -> None:
    candidates = masters(["a:1", "b:2"])
    await candidates.first()
    leader = await candidates.first()
    candidates.leads(leader)
    assert await firsts(candidates, 3) == ["b", "a", "b"]


async def test_a_leader_that_is_in_no_list_is_tried_first_too() -> None:
    candidates = masters("a:1")
    candidates.leads(candidates.redirected(await candidates.first(), "//elsewhere:5050/api/v1"))
    assert await firsts(candidates, 2) == ["elsewhere", "a"]


async def test_a_redirect_keeps_the_scheme_of_the_request() -> None:
    candidates = masters("https://a:1")
    leader = candidates.redirected(
        await candidates.first(), "//10.0.0.5:5050/master/api/v1/scheduler"
    )
    assert leader.url() == "https://10.0.0.5:5050"


async def test_a_circle_of_redirects_ends_and_the_next_try_may_be_redirected_again() -> None:
    candidates = masters("a:1")
    for _ in range(2):
        address = await candidates.first()
        for _ in range(REDIRECTS_MAX):
            address = candidates.redirected(address, "//b:2/")
        with pytest.raises(MasterUnavailable, match="redirects"):
            candidates.redirected(address, "//b:2/")


async def test_a_location_that_names_no_master_is_not_followed() -> None:
    candidates = masters("a:1")
    with pytest.raises(MasterUnavailable):
        candidates.redirected(await candidates.first(), "")


def test_a_setting_that_is_no_master_is_refused() -> None:
    with pytest.raises(SettingsError):
        masters("ftp://a:1")


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 100))
def test_waits_are_random_growing_capped_and_never_nothing(draw: float, failures: int) -> None:
    backoff = Backoff(1.0, 15.0, lambda: draw)
    waits = [backoff.next_s() for _ in range(failures + 1)]
    assert waits == [min(15.0, 2.0**n) * (1 - draw) for n in range(failures + 1)]
    assert min(waits) > 0
    backoff.reset()
    assert backoff.next_s() == waits[0]
