"""Whether the leader would take a change from this instance: asked before a user has one.

A token that is not the leader's, a certificate that is not believed or a wrong `advertise` would
else show at the first change that is passed on. It passes nothing on and decides nothing.
Neighbours: `leader_client` (asks), `cluster_routes` (shows it).
"""

import asyncio
from typing import Final, NoReturn

import structlog

from scheduler.api.leader_client import TOKEN_REFUSED, LeaderClient, PassedRequest
from scheduler.api.problems import Problem
from scheduler.runtime.protocols import Front, LeaderInfo

LOOK_S: Final = 0.5
"""So soon a new leader is asked."""
AGAIN_S: Final = 10.0
"""So soon one is asked again that did not take it."""
SURE_S: Final = 60.0
"""For so long the answer of one that did is believed."""
QUESTION: Final = PassedRequest("GET", "/v1/status", None, b"", "")

log = structlog.get_logger("api")


class LeaderCheck:
    """`problem` is what a user's change would be answered, None where nothing is known against
    it. `run` it beside the server."""

    def __init__(
        self,
        front: Front,
        client: LeaderClient,
        *,
        look_s: float = LOOK_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._front = front
        self._client = client
        self._look_s = look_s
        self._again_s = again_s
        self._asked: LeaderInfo | None = None
        self._problem: Problem | None = None

    @property
    def problem(self) -> Problem | None:
        return self._problem if self._asked == self._front.leader else None

    @property
    def refused(self) -> bool:
        """The leader was reached, and does not accept what this instance brings."""
        problem = self.problem
        return problem is not None and problem.status_code == TOKEN_REFUSED

    async def run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        again_at = 0.0
        while True:
            leader = self._leader()
            if leader is None:
                self._asked = self._problem = None
            elif leader != self._asked or loop.time() >= again_at:
                await self._ask(leader)
                again_at = loop.time() + (SURE_S if self._problem is None else self._again_s)
            await asyncio.sleep(self._look_s)

    def _leader(self) -> LeaderInfo | None:
        """Whom to ask: another one that says where it is."""
        leader = self._front.leader
        if leader is None or leader.instance == self._front.instance or not leader.advertise:
            return None
        return leader

    async def _ask(self, leader: LeaderInfo) -> None:
        try:
            await self._client.ask(leader, QUESTION)
            problem = None
        except Problem as told:
            problem = told
        if problem is not None and (leader != self._asked or self._problem is None):
            log.warning("api.leader_takes_no_changes", leader=leader.instance, why=problem.detail)
        self._asked, self._problem = leader, problem
