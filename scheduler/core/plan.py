"""What declaring jobs would do: which instances it adds, replaces and stops, and where they would
go, without doing any of it.

`plan` is pure and works on what was known at one moment, so the runtime's threads may run it beside
the engine. It counts what is free on every agent, on offer or not; that the master will offer it,
and that nobody else takes it first, is nobody's promise. Instances that are replaced or stopped
count as gone: replacing takes one at a time, stopped before its successor starts.
"""

import heapq
from collections.abc import Iterable, Mapping

import msgspec

from scheduler.core.explain import reason_view
from scheduler.core.known import Known
from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.job import JobSpec
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts, OfferedResource, PortRange, less
from scheduler.core.placement.carve import PORTS, Pool
from scheduler.core.placement.group import Group
from scheduler.core.placement.matcher import Share, assign, place
from scheduler.core.placement.outlook import Spot, alone, informed, obstacles
from scheduler.core.placement.reasons import Shortfall, clause, counted
from scheduler.core.placement.rows import Rows
from scheduler.core.waiting_views import PlannedView, PlanView, VerdictView

AGENTS_SHOWN_MAX = 100
"""Verdicts given one by one; the reasons count all agents."""


class Freed(msgspec.Struct, frozen=True, gc=False):
    """What an instance gives back that is replaced or stopped."""

    agent_id: AgentId
    amounts: Amounts
    ports: tuple[int, ...]


class Planned(msgspec.Struct, frozen=True):
    """One job and what becomes of its instances. `before` is the job as it is; None: it is new.
    `runs`: it is not stopped. `refusal` says why it would not be taken; then the rest is nothing.
    `group` is what is to be placed, beside the tasks that stay."""

    spec: JobSpec
    before: JobSpec | None = None
    version: int | None = None
    runs: bool = True
    refusal: str = ""
    keep: int = 0
    add: int = 0
    replace: int = 0
    stop: int = 0
    freed: tuple[Freed, ...] = ()
    group: Group | None = None
    ahead: int = 0


class PlanQuestion(msgspec.Struct, frozen=True):
    connected: bool
    jobs: tuple[Planned, ...]
    known: Mapping[Role, Known]


def plan(question: PlanQuestion) -> PlanView:
    """Jobs of a higher priority are placed first, and of one priority those that are choosy, as the
    queue would have it."""
    grounds = {role: _Ground(role, known) for role, known in question.known.items()}
    views: dict[int, PlannedView] = {}
    for at, planned in sorted(enumerate(question.jobs), key=lambda entry: _turn(entry[1].spec)):
        ground = grounds.get(planned.spec.template.role)
        if planned.group is None or ground is None:
            views[at] = _refused(planned)
        else:
            views[at] = _view_of(planned, planned.group, ground)
    any_known = next(iter(question.known.values()), None)
    return PlanView(
        connected=question.connected,
        agents=len(any_known.agents) if any_known is not None else 0,
        agents_seen_s_ago=any_known.listed_s_ago if any_known is not None else None,
        agents_hidden=any_known.hidden if any_known is not None else "",
        jobs=tuple(views[at] for at in range(len(question.jobs))),
    )


def _turn(spec: JobSpec) -> tuple[int, bool]:
    return -spec.priority, not spec.template.constraints


# --- where there is room -------------------------------------------------------------------------


class _Ground:
    """A role's agents as rows, with what is free on each; placing takes from it."""

    def __init__(self, role: Role, known: Known) -> None:
        self._role = role
        self.rows = Rows()
        self.row_of: dict[AgentId, int] = {}
        self.spots: dict[AgentId, Spot] = {}
        self.access = known.access
        self._put = 0
        for spot in known.spots():
            self.spots[spot.agent.agent_id] = spot
            if spot.listed is None or spot.listed.active:
                self.put(spot.agent, _free(role, spot, known), spot.leaves_at)

    def put(
        self,
        agent: AgentInfo,
        entries: Iterable[OfferedResource],
        leaves_at: float | None = None,
    ) -> None:
        """As an offer: what is put for one agent comes together."""
        self._put += 1
        offer = Offer(OfferId(str(self._put)), self._role, agent, tuple(entries), leaves_at)
        self.row_of[agent.agent_id] = self.rows.add(offer)

    def give_back(self, freed: Freed) -> None:
        spot = self.spots.get(freed.agent_id)
        if spot is not None:
            ports = tuple(PortRange(port, port) for port in freed.ports)
            self.put(spot.agent, _entries(freed.amounts, ports))

    def spot(self, agent_id: AgentId) -> Spot:
        """With what is free of the agent now."""
        spot = self.spots[agent_id]
        row = self.row_of.get(agent_id)
        held = self.rows[row].pool if row is not None else {}
        return msgspec.structs.replace(spot, held=held)


def _free(role: Role, spot: Spot, known: Known) -> tuple[OfferedResource, ...]:
    """By what we hold or gave back last, unless the master's list is newer."""
    back, listed = spot.back, spot.listed
    listed_at = known.access.listed_at or 0.0
    if spot.held is not None:
        return _flat(spot.held)
    if back is not None and (listed is None or back.at >= listed_at):
        return _flat(back.pool)
    if listed is None:
        return ()
    free = less(less(listed.total, listed.used), listed.offered)
    for owner, amounts in listed.reserved:
        if owner != role and not role.startswith(f"{owner}/"):
            free = less(free, amounts)
    return _entries(free, listed.free_ports or ())


def _flat(pool: Pool) -> tuple[OfferedResource, ...]:
    return tuple(entry for entries in pool.values() for entry in entries)


def _entries(amounts: Amounts, ports: tuple[PortRange, ...]) -> tuple[OfferedResource, ...]:
    named = msgspec.structs.asdict(amounts)
    entries = [OfferedResource(name, b"", value) for name, value in named.items() if value]
    if ports:
        entries.append(OfferedResource(PORTS, b"", ranges=ports))
    return tuple(entries)


# --- one job -------------------------------------------------------------------------------------


def _view_of(planned: Planned, group: Group, ground: _Ground) -> PlannedView:
    for freed in planned.freed:
        ground.give_back(freed)
    group = informed(group, map(ground.spot, ground.spots), ground.access)
    wanted = planned.add + planned.replace
    shares: tuple[Share, ...] = ()
    shortfall = None
    if wanted:
        placed = place(ground.rows, group, wanted)
        shares, shortfall = placed.shares, placed.shortfall
    takes = {ground.rows[row].agent.agent_id: count for row, count in shares}
    verdicts = _verdicts(group, takes, ground) if wanted else ()
    if shares:
        assign(ground.rows, group, shares, seed=0)
    return PlannedView(
        job=planned.spec.job,
        result=_result(planned),
        detail="",
        version=planned.version,
        instances=planned.spec.instances,
        keep=planned.keep,
        add=planned.add,
        replace=planned.replace,
        stop=planned.stop,
        placed=sum(takes.values()),
        missing=wanted - sum(takes.values()),
        ahead=planned.ahead,
        reasons=tuple(reason_view(cause) for cause in shortfall.causes) if shortfall else (),
        text=_text(planned, shortfall),
        agents=verdicts,
    )


def _verdicts(
    group: Group, takes: Mapping[AgentId, int], ground: _Ground
) -> tuple[VerdictView, ...]:
    """Agents that take some first, then by id."""
    shown = heapq.nsmallest(
        AGENTS_SHOWN_MAX, ground.spots, key=lambda agent_id: (-takes.get(agent_id, 0), agent_id)
    )
    return tuple(
        _verdict(group, ground.spot(agent_id), takes.get(agent_id, 0), ground) for agent_id in shown
    )


def _verdict(group: Group, spot: Spot, takes: int, ground: _Ground) -> VerdictView:
    reason = text = ""
    if takes:
        text = f"takes {takes}"
    elif found := obstacles(group, spot, ground.access):
        reason, text = found[0].reason, clause(alone(found[0])).removeprefix("1 ")
    else:
        text = "would do, and is not needed"
    on_offer = ground.spots[spot.agent.agent_id].held is not None
    return VerdictView(spot.agent.agent_id, spot.agent.hostname, takes, on_offer, reason, text)


def _result(planned: Planned) -> str:
    if planned.before is None:
        return "new"
    same = planned.runs and planned.before == planned.spec
    return "unchanged" if same else "changed"


def _text(planned: Planned, shortfall: Shortfall | None) -> str:
    wishes = (("keep", planned.keep), ("start", planned.add), ("replace", planned.replace))
    parts = [f"{word} {count}" for word, count in (*wishes, ("stop", planned.stop)) if count]
    text = ", ".join(parts) or "nothing to do"
    if shortfall is None:
        return text
    why = counted("agent", shortfall.rows, shortfall.causes) if shortfall.rows else "no agent known"
    return f"{text}; no room for {shortfall.missing}: {why}"


def _refused(planned: Planned) -> PlannedView:
    return PlannedView(
        job=planned.spec.job,
        result="refused",
        detail=planned.refusal,
        version=planned.version,
        instances=planned.spec.instances,
        text=planned.refusal,
    )
