"""Waiting for what is to come: a condition is polled until it holds or a deadline passes."""

import http.client
import time
from collections.abc import Callable
from typing import Final, TypeVar

from tests.real_mesos.cluster import ASKING_FAILED
from tests.support.rest import RefusedRequest

POLL_S: Final = 0.05
NOT_YET: Final = (AssertionError, RefusedRequest, OSError, http.client.HTTPException)

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, deadline_s: float = 10.0) -> T:
    """What the condition gives, once that is true.

    A condition that fails an assertion, or that asks somebody who does not answer, does not hold
    yet. Raises AssertionError that names `what` was waited for, and why it did not hold.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            found = condition()
            if found:
                return found
            seen = f"it gave {found!r}"
        except (*NOT_YET, *ASKING_FAILED) as error:
            seen = f"{type(error).__name__}: {error}"
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {deadline_s:g} s for {what}; last: {seen}")
        time.sleep(POLL_S)


def stays(condition: Callable[[], bool], what: str, for_s: float) -> None:
    """Looks again and again for a time: the condition has to hold each time."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        assert condition(), f"{what} ended too early"
        time.sleep(POLL_S)
