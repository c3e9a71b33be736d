"""What is known of the cluster for one role, as values that stay as they are: taken from the live
tables in a moment, and thought about at leisure, beside the engine (`explain.py`, `plan.py`).
"""

from collections.abc import Iterator, Mapping

import msgspec

from scheduler.core.inventory import Agent, Inventory
from scheduler.core.model.ids import AgentId, Role
from scheduler.core.placement.carve import Pool
from scheduler.core.placement.outlook import Access, Spot
from scheduler.core.placement.rows import Rows
from scheduler.core.returned import GivenBack, Returned


class Known(msgspec.Struct, frozen=True):
    """`hidden` says why the master lists no agents: then only those are known that made offers."""

    agents: tuple[Agent, ...]
    held: Mapping[AgentId, Pool]
    returned: Mapping[AgentId, GivenBack]
    access: Access
    hidden: str = ""

    @property
    def listed_s_ago(self) -> float | None:
        at = self.access.listed_at
        return None if at is None else self.access.wall - at

    def spots(self) -> Iterator[Spot]:
        for agent in self.agents:
            agent_id = agent.info.agent_id
            yield Spot(
                agent.info,
                self.held.get(agent_id),
                self.returned.get(agent_id),
                agent.listed,
                agent.leaves_at,
            )


def known_of(
    role: Role, rows: Rows, returned: Returned, inventory: Inventory, access: Access
) -> Known:
    return Known(
        agents=tuple(inventory.agents.values()),
        held={rows[row].agent.agent_id: rows.left(row) for row in rows.by_role(role)},
        returned=returned.of_role(role),
        access=access,
        hidden=inventory.hidden,
    )
