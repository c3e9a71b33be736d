"""The agents that we have heard of, from offers and from the operator API."""

from collections.abc import Iterable

import msgspec

from scheduler.core.events import AgentsListed
from scheduler.core.model.ids import AgentId
from scheduler.core.model.offer import AgentInfo, AgentSeen, Offer

AGENTS_FROM_OFFERS_MAX = 50_000


class Agent(msgspec.Struct, frozen=True, gc=False):
    """`listed` is what the operator API said last, None where it never named this agent.
    `leaves_at` is when planned maintenance begins (wall), as of its last offer."""

    info: AgentInfo
    listed: AgentSeen | None = None
    leaves_at: float | None = None


class Inventory:
    """`hidden` says why the operator API tells nothing; what was seen before stays, with its
    age."""

    def __init__(self) -> None:
        self.agents: dict[AgentId, Agent] = {}
        self.listed_at: float | None = None
        self.hidden = ""

    def offered(self, offers: Iterable[Offer]) -> None:
        for offer in offers:
            agent_id = offer.agent.agent_id
            known = self.agents.get(agent_id)
            leaves_at = offer.unavailable_from
            if known is not None and known.info is offer.agent and known.leaves_at == leaves_at:
                continue
            if known is None and len(self.agents) >= AGENTS_FROM_OFFERS_MAX:
                del self.agents[next(iter(self.agents))]
            listed = known.listed if known is not None else None
            self.agents[agent_id] = Agent(offer.agent, listed, leaves_at)

    def listed(self, event: AgentsListed, wall: float) -> None:
        if event.agents is None:
            self.hidden = event.refused
            return
        self.hidden = ""
        self.listed_at = wall
        before = self.agents
        self.agents = {}
        for seen in event.agents:
            known = before.get(seen.agent.agent_id)
            leaves_at = known.leaves_at if known is not None else None
            self.agents[seen.agent.agent_id] = Agent(seen.agent, seen, leaves_at)

    def failed(self, agent_id: AgentId) -> None:
        """Show it as inactive until the list or an offer says otherwise."""
        known = self.agents.get(agent_id)
        if known is not None and known.listed is not None:
            listed = msgspec.structs.replace(known.listed, active=False)
            self.agents[agent_id] = msgspec.structs.replace(known, listed=listed)
