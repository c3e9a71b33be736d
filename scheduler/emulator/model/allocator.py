"""Who is offered which agent, and when (the hierarchical allocator, as a framework feels it).

Runs every `allocation_interval` over all agents, and at once (coalesced) over those concerned when
a framework subscribes or revives and when an agent is added. "The first eligible framework takes
the whole agent"; what may be revoked stays for the next one, if that framework cannot take it.
Shares are compared by role, then by framework, lowest dominant share first.
Left out: quota, weights, the tree of nested roles (a nested role is a role of its own).
"""

from collections import Counter

from scheduler.emulator.model import constraints
from scheduler.emulator.model.bundle import Bundle
from scheduler.emulator.model.offers import Offers
from scheduler.emulator.model.records import (
    AgentEntry,
    Capability,
    Framework,
    Tables,
    scalars_of,
)
from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo, Offer
from scheduler.mesos.proto.scheduler_pb2 import Event, OfferConstraints

Candidate = tuple[str, Framework]


class Allocator:
    def __init__(self, tables: Tables, offers: Offers) -> None:
        self._tables = tables
        self._offers = offers
        self._asked: set[str] | None = set()  # None: all agents
        self._planned = False
        self._minimums: dict[tuple[str, str], tuple[Bundle, ...]] = {}
        self._constraints: dict[str, OfferConstraints] = {}
        tables.timeline.after(tables.options.allocation_interval_s, self._tick)

    def framework_changed(
        self, framework: Framework, offer_constraints: OfferConstraints | None
    ) -> None:
        """Takes over minimum and constraints of a new FrameworkInfo."""
        framework_id = framework.framework_id
        for key in [key for key in self._minimums if key[0] == framework_id]:
            del self._minimums[key]
        for role in framework.roles:
            self._minimums[framework_id, role] = _minimum(
                framework.info, role, self._tables.options.min_allocatable
            )
        self._constraints.pop(framework_id, None)
        if offer_constraints is not None:
            self._constraints[framework_id] = offer_constraints

    def framework_removed(self, framework_id: str) -> None:
        self._constraints.pop(framework_id, None)
        for key in [key for key in self._minimums if key[0] == framework_id]:
            del self._minimums[key]

    def constraints_of(self, framework_id: str) -> OfferConstraints | None:
        return self._constraints.get(framework_id)

    def request(self, agent_ids: set[str] | None = None) -> None:
        """Asks for a run soon over these agents (None: all)."""
        self._asked = None if agent_ids is None or self._asked is None else self._asked | agent_ids
        if not self._planned:
            self._planned = True
            self._tables.timeline.soon(self._run_asked)

    def _tick(self) -> None:
        if self._tables.retired:
            return
        self._tables.timeline.after(self._tables.options.allocation_interval_s, self._tick)
        self._run(list(self._tables.agents.values()))

    def _run_asked(self) -> None:
        asked, self._asked, self._planned = self._asked, set(), False
        agents = self._tables.agents
        if asked is None:
            self._run(list(agents.values()))
        else:
            self._run([agents[agent_id] for agent_id in sorted(asked) if agent_id in agents])

    def _run(self, agents: list[AgentEntry]) -> None:
        self._tables.counts["allocation_runs"] += 1
        candidates = [
            (role, framework)
            for framework in self._tables.frameworks.values()
            if framework.connected
            for role in framework.roles
            if role not in framework.suppressed
        ]
        if self._tables.retired or not candidates:
            return
        free = [agent for agent in agents if agent.connected and agent.free]
        self._tables.random.shuffle(free)
        made: dict[tuple[str, str], list[Offer]] = {}
        shares = _Shares(self._tables, candidates)
        for agent in free:
            for role, framework in shares.ordered():
                amounts = _offerable(framework, agent)
                if amounts and self._eligible(framework, role, agent, amounts):
                    shares.add(role, framework, amounts)
                    offer = self._offers.create(framework, role, agent, amounts)
                    made.setdefault((framework.framework_id, role), []).append(offer)
                    if not agent.free:
                        break
        for (framework_id, _), offers in made.items():
            event = Event(type=Event.OFFERS)
            event.offers.offers.extend(offers)
            self._tables.frameworks[framework_id].send(event)

    def _eligible(
        self, framework: Framework, role: str, agent: AgentEntry, amounts: Bundle
    ) -> bool:
        minimum = self._minimums[framework.framework_id, role]
        if minimum and not any(_quantities_contain(amounts, one) for one in minimum):
            return False
        # "agent has gpus and framework lacks GPU_RESOURCES: the whole agent is withheld"
        if agent.total.scalar("gpus") and not framework.can(Capability.GPU_RESOURCES):
            return False
        if self._filtered(framework, role, agent.agent_id, amounts):
            return False
        wanted = self._constraints.get(framework.framework_id)
        return wanted is None or constraints.admits(wanted, role, agent.info)

    def _filtered(self, framework: Framework, role: str, agent_id: str, free: Bundle) -> bool:
        filters = framework.filters.get((role, agent_id))
        if not filters:
            return False
        now = self._tables.timeline.now
        live = [one for one in filters if one.until > now]
        if live:
            framework.filters[role, agent_id] = live
        else:
            del framework.filters[role, agent_id]
        return any(one.refused.contains(free) for one in live)


class _Shares:
    """Dominant shares while a run goes on."""

    def __init__(self, tables: Tables, candidates: list[Candidate]) -> None:
        self._candidates = candidates
        self._by_role: dict[str, Counter[str]] = {}
        self._offers_by_role: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        if len(candidates) == 1:
            return  # nothing to compare: the common case costs nothing
        self._totals = scalars_of(agent.total for agent in tables.agents.values())
        for framework in tables.frameworks.values():
            for role, held in framework.allocated.items():
                self._by_role.setdefault(role, Counter()).update(held)
                self._offers_by_role[role] += framework.offers_made[role]

    def add(self, role: str, framework: Framework, amounts: Bundle) -> None:
        if len(self._candidates) > 1:
            self._by_role.setdefault(role, Counter()).update(scalars_of([amounts]))
            self._offers_by_role[role] += 1

    def ordered(self) -> list[Candidate]:
        """Lowest share first; a tie: fewer allocations so far, then by name."""
        if len(self._candidates) == 1:
            return self._candidates
        return sorted(self._candidates, key=self._rank)

    def _rank(self, candidate: Candidate) -> tuple[float, int, str, float, int, str]:
        role, framework = candidate
        return (
            self._share(self._by_role.get(role)),
            self._offers_by_role[role],
            role,
            self._share(framework.allocated.get(role)),
            framework.offers_made[role],
            framework.framework_id,
        )

    def _share(self, held: Counter[str] | None) -> float:
        if not held:
            return 0.0
        totals = self._totals
        return max((held[name] / amount for name, amount in totals.items() if amount), default=0.0)


def _offerable(framework: Framework, agent: AgentEntry) -> Bundle:
    """What is free, without what may be revoked if the framework cannot take such."""
    lasting = agent.free.lasting()
    if lasting is agent.free or framework.can(Capability.REVOCABLE_RESOURCES):
        return agent.free
    return lasting


def _minimum(info: FrameworkInfo, role: str, default: tuple[Bundle, ...]) -> tuple[Bundle, ...]:
    """offer_filters replaces the master's minimum; an empty list means no minimum at all."""
    if role not in info.offer_filters:
        return default
    wanted = info.offer_filters[role]
    if not wanted.HasField("min_allocatable_resources"):
        return default
    return tuple(
        Bundle(
            tuple(
                (name, round(amount.value * 1000))
                for name, amount in sorted(one.quantities.items())
            )
        )
        for one in wanted.min_allocatable_resources.quantities
    )


def _quantities_contain(held: Bundle, wanted: Bundle) -> bool:
    return all(held.quantity(name) >= amount for name, amount in wanted.scalars)
