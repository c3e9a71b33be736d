"""Somebody who asks every daemon again and again whether it leads, and keeps who said yes, when.

An answer counts by when it had come: a daemon that was stopped may find a question from before.
"""

import http.client
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from tests.faults.evidence import Claim
from tests.support.rest import RefusedRequest, RestClient

AGAIN_S: Final = 0.1
ANSWER_S: Final = 20.0
"""Longer than any daemon is stopped here."""


class Asking:
    """Runs while its context is open."""

    def __init__(self, apis: Sequence[tuple[str, RestClient]]) -> None:
        """`apis`: each daemon's name with its API."""
        self._over = threading.Event()
        self._claims: list[Claim] = []
        self._threads = [
            threading.Thread(target=self._ask, args=api, name=f"asks {api[0]}", daemon=True)
            for api in apis
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_S)

    @property
    def claims(self) -> list[Claim]:
        return sorted(self._claims)

    def _ask(self, daemon: str, api: RestClient) -> None:
        while not self._over.wait(AGAIN_S):
            try:
                status = api.ask("GET", "/v1/status", None, deadline_s=ANSWER_S)
            except (OSError, http.client.HTTPException, RefusedRequest):
                continue
            if status["leading"]:
                self._claims.append(Claim(time.monotonic(), daemon))
