"""What a constraint says of one agent.

Plain predicates, one agent at a time: `columns.py` evaluates the same rules over all rows at once,
and is tested against these. `unique` is about the job's other tasks, not about the agent alone, so
it needs the values that they have taken.
"""

import functools
import re
from collections.abc import Set

from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.offer import AgentInfo

HOSTNAME = "hostname"
REGION = "@region"
ZONE = "@zone"


def value_of(agent: AgentInfo, attribute: str) -> str | None:
    """The value that constraints compare; None: the agent has no such attribute.

    A name that an agent carries twice counts with its first value.
    """
    match attribute:
        case "hostname":
            return agent.hostname
        case "@region":
            return agent.region or None
        case "@zone":
            return agent.zone or None
        case _:
            for name, value in agent.attributes:
                if name == attribute:
                    return value
            return None


def satisfies(
    agent: AgentInfo, constraint: Constraint, taken_hosts: Set[str] = frozenset()
) -> bool:
    """Whether the agent may run a further task of the job whose tasks are on `taken_hosts`.

    A missing attribute satisfies nothing. `unique` holds for hostnames only: of other attributes
    the taken values are not known, so nothing satisfies it.
    """
    value = value_of(agent, constraint.attribute)
    if value is None:
        return False
    match constraint.operator:
        case Operator.IS:
            return value == constraint.value
        case Operator.LIKE:
            return matches(constraint.value, value)
        case Operator.UNIQUE:
            return constraint.attribute == HOSTNAME and value not in taken_hosts


def matches(pattern: str, value: str) -> bool:
    """Whether the pattern matches the whole value; one that is no regular expression never does.

    Patterns are checked where jobs come in. One that gets past that check (a record of a newer
    version) must cost its own job only, so it is no error here.
    """
    compiled = _compiled(pattern)
    return compiled is not None and compiled.fullmatch(value) is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return None


def text_of(constraint: Constraint) -> str:
    """As people write it: `rack is r1`."""
    return f"{constraint.attribute} {constraint.operator} {constraint.value}".rstrip()
