"""Waiting for the office: follow what the leader stores, answer reads, be ready to take over.

The engine here never decides; it only keeps the tables warm, so that a takeover starts with its
state instead of loading everything.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from scheduler.core.engine import Engine
from scheduler.core.policy import Policy
from scheduler.core.records import Write
from scheduler.core.state import State
from scheduler.core.views import Views
from scheduler.runtime.loop import system_clock
from scheduler.runtime.protocols import LeaderInfo

log = structlog.get_logger()


class Standby:
    def __init__(self, policy: Policy) -> None:
        self._engine = Engine(policy, term=0, seed=0)
        self._leader: LeaderInfo | None = None
        self._heard_at: float | None = None
        self._news = asyncio.Event()

    # --- what the feed tells ---------------------------------------------------------------------

    def on_writes(self, writes: Sequence[Write]) -> None:
        self._engine.follow(writes, system_clock())
        self._heard_at = time.monotonic()

    def on_leader(self, leader: LeaderInfo | None) -> None:
        if leader != self._leader:
            log.info(
                "leader.changed",
                leader=leader.instance if leader is not None else "",
                term=leader.term if leader is not None else 0,
            )
        self._leader = leader
        self._heard_at = time.monotonic()
        self._news.set()

    def on_alive(self) -> None:
        """Nothing changed, and everything up to now was given."""
        self._heard_at = time.monotonic()

    # --- what others read ------------------------------------------------------------------------

    @property
    def leader(self) -> LeaderInfo | None:
        return self._leader

    @property
    def age_s(self) -> float | None:
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    @property
    def views(self) -> Views:
        return self._engine.views

    async def sees_term(self, term: int) -> State:
        """Waits until our own leadership has come by in the feed; then all that earlier leaders
        wrote is in the state that is given. The caller bounds the wait."""
        while self._leader is None or self._leader.term != term:
            self._news.clear()
            await self._news.wait()
        return self._engine.state
