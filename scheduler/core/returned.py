"""What we gave back last of each agent, and until when the master keeps it from us: what a user is
told who asks why an agent is not used although nothing of it is on offer.

Facts for people; no decision rests on them, so they may be forgotten at any time.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from scheduler.core.model.ids import AgentId, Role
from scheduler.core.placement.carve import Pool
from scheduler.core.placement.rows import Row

AGENTS_MAX = 50_000


class GivenBack(msgspec.Struct, frozen=True, gc=False):
    """The `pool` that was left when the offer was declined, or used in part, at `at`;
    the master's filter hides no more than these until `until` (both wall)."""

    pool: Pool
    at: float
    until: float


class Returned:
    """`_unhidden_at` is when each role's filters were dropped last (wall)."""

    def __init__(self) -> None:
        self._of_role: defaultdict[Role, dict[AgentId, GivenBack]] = defaultdict(dict)
        self._unhidden_at: dict[Role, float] = {}

    def note(self, row: Row, left: Pool, wall: float, refuse_s: float) -> None:
        of_role = self._of_role[row.role]
        agent_id = row.agent.agent_id
        of_role.pop(agent_id, None)
        if len(of_role) >= AGENTS_MAX:
            del of_role[next(iter(of_role))]
        of_role[agent_id] = GivenBack(left, wall, wall + refuse_s)

    def unhidden(self, role: Role, wall: float) -> None:
        """The role's filters are gone: it was revived, or the stream is another."""
        self._unhidden_at[role] = wall

    def unhidden_at(self, role: Role) -> float:
        return self._unhidden_at.get(role, 0.0)

    def of_role(self, role: Role) -> Mapping[AgentId, GivenBack]:
        """As it is now: a copy, which stays as it is."""
        return dict(self._of_role[role])
