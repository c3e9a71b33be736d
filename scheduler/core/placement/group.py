"""What is placed together: instances that ask for the same, and all that their places depend on.

Values only. Neighbours: `matcher.py` places groups, `demand.py` remembers those that fit nowhere,
`core/asking.py` makes them from jobs.
"""

from collections.abc import Iterable, Mapping

import msgspec

from scheduler.core.model.ids import AgentId, Role
from scheduler.core.model.job import Condition, Constraint, Operator, Port, Preferences
from scheduler.core.model.offer import AgentInfo
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.constraints import HOSTNAME, value_of
from scheduler.core.placement.filters import Company

NO_PREFERENCES = Preferences()
UNIQUE_HOST = Constraint(HOSTNAME, Operator.UNIQUE)


class Group(msgspec.Struct, frozen=True):
    """`counts` says for each attribute that the job counts by (`counted_attributes`) how many of
    its live tasks each value has (0: none, but it is known); `company` where other jobs run that
    the conditions name. `instances` is how many the whole job has; `seed` is for the strategy
    `random`. Agents are `avoided` for their failures; maintenance that begins before `needs_until`
    (wall) rules an agent out, and before `stays_until` puts it last."""

    role: Role
    amounts: Amounts
    ports: tuple[Port, ...] = ()
    constraints: tuple[Condition, ...] = ()
    prefer: Preferences = Preferences()
    counts: Mapping[str, Mapping[str, int]] = {}
    company: Company = {}
    instances: int = 0
    seed: int = 0
    avoided: frozenset[AgentId] = frozenset()
    needs_until: float = 0.0
    stays_until: float = 0.0

    @property
    def taken_hosts(self) -> frozenset[str]:
        """The hosts that are closed to the group because its job runs there."""
        if UNIQUE_HOST not in self.constraints:
            return frozenset()
        return frozenset(host for host, tasks in self.counts.get(HOSTNAME, {}).items() if tasks)


def counted_among(constraints: tuple[Condition, ...]) -> list[Constraint]:
    return [one for one in constraints if isinstance(one, Constraint) and one.operator.counted]


def uncounted_among(constraints: tuple[Condition, ...]) -> list[Condition]:
    return [
        one for one in constraints if not (isinstance(one, Constraint) and one.operator.counted)
    ]


def leaves_room(constraint: Constraint, value: str | None, counts: Mapping[str, int]) -> bool:
    """Whether one more task may have the value, by a counted constraint. A missing value is ruled
    out: what has none can be neither apart nor together. `tally.py` says the same of all rows."""
    if value is None:
        return False
    tasks = counts.get(value, 0)
    match constraint.operator:
        case Operator.UNIQUE:
            return tasks < 1
        case Operator.MAX_PER:
            return tasks < constraint.count
        case Operator.CLUSTER:
            return tasks > 0 or not any(counts.values())
        case Operator.GROUP_BY:
            known = len(counts) >= constraint.count
            return tasks <= (min(counts.values(), default=0) if known else 0)
        case _:
            return False


def seeing(group: Group, agents: Iterable[AgentInfo]) -> Group:
    """The group, told of the values that it could have on these agents; `group_by` heeds them."""
    counts = dict(group.counts)
    agents = list(agents)
    for constraint in counted_among(group.constraints):
        if constraint.operator is Operator.GROUP_BY:
            name = constraint.attribute
            values = {value for agent in agents if (value := value_of(agent, name)) is not None}
            counts[name] = dict.fromkeys(values, 0) | dict(counts.get(name, {}))
    return msgspec.structs.replace(group, counts=counts)


def counted_attributes(constraints: tuple[Condition, ...], prefer: Preferences) -> tuple[str, ...]:
    """The attributes of which it matters how many of the job's tasks have each value."""
    names = [constraint.attribute for constraint in counted_among(constraints)]
    return tuple(dict.fromkeys([*names, *(spread.attribute for spread in prefer.spread)]))
