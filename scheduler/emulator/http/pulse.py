"""Drives a `Timeline` by the clock of an event loop.

Whoever changes the model from outside (a request, a runner) calls `kick` afterwards; many kicks
in one turn of the loop are one run.
"""

import asyncio
import math

from scheduler.emulator.model.timeline import Timeline


class Pulse:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time() - timeline.now
        self._kicked = False
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def catch_up(self) -> None:
        """Moves virtual time to now, so that what is asked next happens now."""
        self._timeline.run(self._loop.time() - self._started_s)

    def kick(self) -> None:
        if not self._kicked and not self._stopped:
            self._kicked = True
            self._loop.call_soon(self._run)

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _run(self) -> None:
        self._kicked = False
        if self._stopped:
            return
        try:
            self.catch_up()
        finally:
            self._plan()

    def _plan(self) -> None:
        due = self._timeline.next_due()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and due < math.inf:
            self._timer = self._loop.call_at(self._started_s + due, self._run)
