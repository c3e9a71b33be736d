"""Offers and agents, as the master describes them."""

import msgspec

from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.resources import Amounts, OfferedResource, PortRange


class AgentInfo(msgspec.Struct, frozen=True, gc=False):
    """What stays the same from one offer of an agent to the next.

    `attributes` maps names to text (numbers as Mesos prints them: `8`, `2.5`; ranges `[1-2]`; sets
    `{a,b}`). `url` is where the agent answers HTTP (`http://host:port`), empty when not known.
    """

    agent_id: AgentId
    hostname: str
    url: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    region: str = ""
    zone: str = ""


class Offer(msgspec.Struct, frozen=True, gc=False):
    """All that one agent has free for one role, until it is used, declined or rescinded.

    `unavailable_from` is wall time in seconds when maintenance of the agent is planned, else None.
    """

    offer_id: OfferId
    role: Role
    agent: AgentInfo
    resources: tuple[OfferedResource, ...]
    unavailable_from: float | None = None


class AgentSeen(msgspec.Struct, frozen=True, gc=False):
    """An agent as the operator API lists it. `reserved` is what is reserved for each role and not
    in use, `free_ports` the ports that no task has (None: not told)."""

    agent: AgentInfo
    active: bool
    total: Amounts
    used: Amounts
    offered: Amounts
    reserved: tuple[tuple[Role, Amounts], ...] = ()
    free_ports: tuple[PortRange, ...] | None = None
