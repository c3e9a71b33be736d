"""What stands between a group and each agent that is known, whether or not it is on offer.

The matcher sees rows that we hold. This looks at all agents, one by one and plainly: at what we
hold of each, what we gave back last, and what the master lists. It is slow (microseconds an agent)
and changes nothing, so it may run beside the engine, over values that stay as they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from scheduler.core.model.ids import Role
from scheduler.core.model.job import Condition, Constraint, Operator
from scheduler.core.model.needs import ANY, Needs
from scheduler.core.model.offer import AgentInfo, AgentSeen
from scheduler.core.model.resources import SCALAR_NAMES, Amounts, PortRange, less
from scheduler.core.placement.carve import PORTS, Pool, amount_of, holds
from scheduler.core.placement.constraints import JOB, value_of
from scheduler.core.placement.filters import admits
from scheduler.core.placement.group import (
    UNIQUE_HOST,
    Group,
    counted_among,
    leaves_room,
    seeing,
    uncounted_among,
)
from scheduler.core.placement.needs import hides
from scheduler.core.placement.reasons import LACKS, Basis, Cause, Reason
from scheduler.core.returned import GivenBack

HELPS_MAX = 5
_SCALARS = {Reason(name): name for name in SCALAR_NAMES}
_TERMS = frozenset(
    {Reason.CONSTRAINT, Reason.ATTRIBUTE_MISSING, Reason.HOST_TAKEN, Reason.FIXED_PORT}
)


class Spot(msgspec.Struct, frozen=True, gc=False):
    """What is known of one agent for one role: what we hold (None: no offer), what we gave back
    last, what the master lists, and when maintenance begins that is planned (wall)."""

    agent: AgentInfo
    held: Pool | None = None
    back: GivenBack | None = None
    listed: AgentSeen | None = None
    leaves_at: float | None = None


class Access(msgspec.Struct, frozen=True):
    """How offers for a role come to us. `gpus`: we take agents with gpus; `needs`: what the master
    was told that offers must have. Filters older than `unhidden_at` hide nothing, and none does
    after `revive_at`, nor does a suppressed role: then all is asked for. All times are wall."""

    wall: float
    suppressed: bool = False
    gpus: bool = False
    needs: Needs = ANY
    unhidden_at: float = 0.0
    revive_at: float | None = None
    listed_at: float | None = None


class Obstacle(msgspec.Struct, frozen=True, gc=False):
    """One thing that keeps the group off one agent; fields as in `Cause`."""

    reason: Reason
    short: int = 0
    of: Basis = Basis.OFFERED
    constraint: Condition | None = None
    port: int | None = None
    until: float | None = None


class Help(msgspec.Struct, frozen=True, gc=False):
    """A change of the job after which it fits on `agents`: `by` less of an amount, without the
    constraint, or with another port."""

    reason: Reason
    agents: int
    by: int = 0
    constraint: Condition | None = None
    port: int | None = None


class Outlook(msgspec.Struct, frozen=True):
    """`fit` of the `agents` are held and would take one instance now; `causes` rule out the rest;
    `helps` are the nearest changes, the most useful first."""

    agents: int
    fit: int
    causes: tuple[Cause, ...]
    helps: tuple[Help, ...]


def outlook(group: Group, spots: Iterable[Spot], access: Access) -> Outlook:
    spots = list(spots)
    group = informed(group, spots, access)
    fit = 0
    counted: defaultdict[Obstacle, list[Obstacle]] = defaultdict(list)
    only: defaultdict[Obstacle, list[Obstacle]] = defaultdict(list)
    for spot in spots:
        found = obstacles(group, spot, access)
        if not found:
            fit += 1
            continue
        first = found[0]
        counted[_kind(first)].append(first)
        if len(found) == 1:
            only[_kind(first)].append(first)
    causes = [_cause(kind, ones, only.get(kind, [])) for kind, ones in counted.items()]
    causes.sort(key=lambda cause: -cause.rows)
    return Outlook(len(spots), fit, tuple(causes), _helps(group, only))


def informed(group: Group, spots: Iterable[Spot], access: Access) -> Group:
    """The group with the values that the matcher would see: of agents that would take an instance,
    but for what is counted."""
    if all(one.operator is not Operator.GROUP_BY for one in counted_among(group.constraints)):
        return group
    plain = msgspec.structs.replace(group, constraints=tuple(uncounted_among(group.constraints)))
    return seeing(group, [spot.agent for spot in spots if not obstacles(plain, spot, access)])


def obstacles(group: Group, spot: Spot, access: Access) -> tuple[Obstacle, ...]:
    """All that keeps one instance off the agent, in the order in which it is counted; what would
    bring no offer even so is looked at only if nothing else does. Empty: it would be placed."""
    agent = spot.agent
    # What the job's own tasks rule out is counted after what the agent will never have.
    conditions = (*uncounted_among(group.constraints), *counted_among(group.constraints))
    failed = [one for one in conditions if not _admits(group, agent, one)]
    found = [_failed(agent, one) for one in failed]
    if spot.listed is not None and not spot.listed.active:
        found.append(Obstacle(Reason.AGENT_INACTIVE))
    if agent.agent_id in group.avoided:
        found.append(Obstacle(Reason.AGENT_AVOIDED))
    if spot.leaves_at is not None and spot.leaves_at < group.needs_until:
        found.append(Obstacle(Reason.MAINTENANCE))
    pool = _offered(spot, access)
    if pool is not None:
        found += _lacking_in_offer(group, spot.listed, pool)
    elif spot.listed is not None:
        found += _lacking_in_list(group, spot.listed)
    if not found and spot.held is None:
        found.append(_not_offered(spot, access))
    return tuple(found)


# --- constraints ---------------------------------------------------------------------------------


def _failed(agent: AgentInfo, condition: Condition) -> Obstacle:
    if condition == UNIQUE_HOST:
        return Obstacle(Reason.HOST_TAKEN)
    if _names_missing(agent, condition):
        return Obstacle(Reason.ATTRIBUTE_MISSING, constraint=condition)
    return Obstacle(Reason.CONSTRAINT, constraint=condition)


def _names_missing(agent: AgentInfo, condition: Condition) -> bool:
    """A single constraint, on an attribute that the agent lacks."""
    match condition:
        case Constraint(attribute=attribute) if attribute != JOB:
            return value_of(agent, attribute) is None
        case _:
            return False


def _admits(group: Group, agent: AgentInfo, condition: Condition) -> bool:
    if isinstance(condition, Constraint) and condition.operator.counted:
        value = value_of(agent, condition.attribute)
        return leaves_room(condition, value, group.counts.get(condition.attribute, {}))
    return admits(agent, condition, group.company)


# --- amounts and ports ---------------------------------------------------------------------------


def _offered(spot: Spot, access: Access) -> Pool | None:
    """What is or was offered, unless the master's list is newer."""
    if spot.held is not None:
        return spot.held
    back, listed_at = spot.back, access.listed_at
    if back is None or (spot.listed is not None and listed_at is not None and back.at < listed_at):
        return None
    return back.pool


def _lacking_in_offer(group: Group, listed: AgentSeen | None, pool: Pool) -> list[Obstacle]:
    found = []
    for reason, name in _SCALARS.items():
        asked = _amount(group.amounts, name)
        free = amount_of(pool.get(name, ()))
        if asked <= free:
            continue
        total = _amount(listed.total, name) if listed is not None else asked
        if asked > total:
            found.append(Obstacle(reason, asked - total, Basis.TOTAL))
        elif listed is not None and asked <= free + _reserved(group.role, listed, name):
            found.append(Obstacle(Reason.OTHER_ROLE))
        else:
            found.append(Obstacle(reason, asked - free))
    ranges = [one for entry in pool.get(PORTS, ()) for one in entry.ranges]
    return list(dict.fromkeys(found)) + _lacking_ports(group, ranges)


def _lacking_ports(group: Group, ranges: Sequence[PortRange]) -> list[Obstacle]:
    if not group.ports:
        return []
    fixed = [port.host for port in group.ports if port.host is not None]
    short = len(group.ports) - sum(end - begin + 1 for begin, end in ranges)
    return [Obstacle(Reason.PORTS, short)] * (short > 0) + [
        Obstacle(Reason.FIXED_PORT, port=port)
        for port in dict.fromkeys(fixed)
        if fixed.count(port) > 1 or not holds(ranges, port)
    ]


def _lacking_in_list(group: Group, listed: AgentSeen) -> list[Obstacle]:
    found = []
    for reason, name in _SCALARS.items():
        asked, total = _amount(group.amounts, name), _amount(listed.total, name)
        unused = total - _amount(listed.used, name)
        free = unused - _reserved(group.role, listed, name)
        if asked > total:
            found.append(Obstacle(reason, asked - total, Basis.TOTAL))
        elif asked > unused:
            found.append(Obstacle(reason, asked - free, Basis.FREE))
        elif asked > free:
            found.append(Obstacle(Reason.OTHER_ROLE))
        elif asked and asked > free - _amount(listed.offered, name):
            found.append(Obstacle(Reason.OFFERED_ELSEWHERE))
    if listed.free_ports is not None:
        found += _lacking_ports(group, listed.free_ports)
    return list(dict.fromkeys(found))


def _reserved(role: Role, listed: AgentSeen, name: str) -> int:
    """What is reserved for other roles, and not in use."""
    others = [amounts for owner, amounts in listed.reserved if not _may_use(role, owner)]
    return sum(_amount(amounts, name) for amounts in others)


def _may_use(role: Role, reserved_for: Role) -> bool:
    """Reservations serve their role and the roles below it (Mesos, hierarchical roles)."""
    return role == reserved_for or role.startswith(f"{reserved_for}/")


def _amount(amounts: Amounts, name: str) -> int:
    value: int = getattr(amounts, name)
    return value


# --- why nothing is offered ----------------------------------------------------------------------


def _not_offered(spot: Spot, access: Access) -> Obstacle:
    back, listed = spot.back, spot.listed
    if access.suppressed:
        return Obstacle(Reason.SUPPRESSED, until=access.revive_at)
    if back is not None and back.at >= access.unhidden_at and back.until > access.wall:
        return Obstacle(Reason.REFUSED, until=min(back.until, access.revive_at or back.until))
    free = less(listed.total, listed.used) if listed is not None else None
    if hides(access.needs, spot.agent, free):
        return Obstacle(Reason.OFFER_CONSTRAINTS)
    if listed is not None and listed.total.gpus and not access.gpus:
        return Obstacle(Reason.GPU_AGENT)
    return Obstacle(Reason.NOT_OFFERED)


# --- counting ------------------------------------------------------------------------------------


def _kind(one: Obstacle) -> Obstacle:
    """What is counted together: all that differs by amount or time alone."""
    return msgspec.structs.replace(one, short=0, until=None)


def _cause(kind: Obstacle, counted: list[Obstacle], only: list[Obstacle]) -> Cause:
    return Cause(
        reason=kind.reason,
        rows=len(counted),
        alone=len(only),
        short=min(one.short for one in only or counted),
        constraint=kind.constraint,
        port=kind.port,
        of=kind.of,
        until=min((one.until for one in counted if one.until is not None), default=None),
    )


def alone(one: Obstacle) -> Cause:
    """An obstacle as the cause of one agent."""
    return _cause(one, [one], [one])


def _helps(group: Group, only: dict[Obstacle, list[Obstacle]]) -> tuple[Help, ...]:
    shorts: defaultdict[Reason, list[int]] = defaultdict(list)
    helps = []
    for kind, ones in only.items():
        if kind.reason in LACKS:
            shorts[kind.reason] += [one.short for one in ones]
        elif kind.reason in _TERMS:
            helps.append(Help(kind.reason, len(ones), 0, kind.constraint, kind.port))
    for reason, lacks in shorts.items():
        by = min(lacks)
        if by < _asked(group, reason):
            helps.append(Help(reason, sum(short <= by for short in lacks), by))
    helps.sort(key=lambda one: -one.agents)
    return tuple(helps[:HELPS_MAX])


def _asked(group: Group, reason: Reason) -> int:
    if reason is Reason.PORTS:
        return len(group.ports)
    return _amount(group.amounts, _SCALARS[reason])
