"""What a condition says of one agent, and how it reads.

Plain predicates, one agent at a time: `columns.py` evaluates the same rules over all rows at once,
and is tested against these. Counted operators are about the job's other tasks, not about the agent
alone, so they need how many of those each value has: that is `tally.py`.

A missing attribute satisfies nothing but what is said in the negative: `unlike`, `not`. So Mesos'
own offer constraints have it (TEXT_NOT_MATCHES: "absent or not fully matching"), and Marathon.
"""

import functools
import re
from collections.abc import Collection
from decimal import Decimal

from scheduler.core.model.job import Combined, Condition, Constraint, Junction, Operator
from scheduler.core.model.offer import AgentInfo

HOSTNAME = "hostname"
AGENT = "@agent"
REGION = "@region"
ZONE = "@zone"
JOB = "@job"

Tenants = Collection[str]
"""The other jobs that have live tasks on an agent: the values of `@job`, which may be many."""


def value_of(agent: AgentInfo, attribute: str) -> str | None:
    """The value that constraints compare; None: the agent has no such attribute.

    A name that an agent carries twice counts with its first value.
    """
    match attribute:
        case "hostname":
            return agent.hostname
        case "@agent":
            return agent.agent_id
        case "@region":
            return agent.region or None
        case "@zone":
            return agent.zone or None
        case _:
            for name, value in agent.attributes:
                if name == attribute:
                    return value
            return None


def satisfies(agent: AgentInfo, condition: Condition, tenants: Tenants = ()) -> bool:
    """Whether the agent fulfils the condition; a counted constraint is fulfilled by none.

    Of `@job` any of the tenants may fulfil it, but none of them may be what `unlike` names.
    """
    match condition:
        case Combined():
            fulfilled = (satisfies(agent, one, tenants) for one in condition.conditions)
            match condition.junction:
                case Junction.ALL:
                    return all(fulfilled)
                case Junction.ANY:
                    return any(fulfilled)
                case Junction.NOT:
                    return not any(fulfilled)
        case Constraint(attribute="@job", operator=Operator.UNLIKE):
            return all(allows(condition, tenant) for tenant in tenants)
        case Constraint(attribute="@job"):
            return any(allows(condition, tenant) for tenant in tenants)
        case Constraint():
            value = value_of(agent, condition.attribute)
            if value is None:
                return condition.operator is Operator.UNLIKE
            return allows(condition, value)


def allows(constraint: Constraint, value: str) -> bool:
    """Whether the value of an agent that has one fulfils the constraint."""
    match constraint.operator:
        case Operator.IS:
            return value == constraint.value
        case Operator.IN:
            return value in constraint.values
        case Operator.LIKE:
            return matches(constraint.value, value)
        case Operator.UNLIKE:
            return not matches(constraint.value, value)
        case Operator.LESS:
            return compared(value, constraint.value) == -1
        case Operator.AT_MOST:
            return compared(value, constraint.value) in (-1, 0)
        case Operator.MORE:
            return compared(value, constraint.value) == 1
        case Operator.AT_LEAST:
            return compared(value, constraint.value) in (0, 1)
        case Operator.UNIQUE | Operator.MAX_PER | Operator.CLUSTER | Operator.GROUP_BY:
            return False


# --- regular expressions -------------------------------------------------------------------------


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


# --- numbers and versions ------------------------------------------------------------------------

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_VERSION = re.compile(r"v?([0-9]{1,18}(?:\.[0-9]{1,18})*)(?![0-9])")


def compared(value: str, bound: str) -> int | None:
    """-1, 0 or 1, as the value is less than the bound, the same, or more; None: there is no saying.

    Two plain numbers compare as such, everything else as versions: by the numbers between dots
    that it begins with (`5.10.0-8-amd64` is 5.10.0, the same as 5.10). Numbers go first because
    Mesos takes an agent's `kernel:5.10` for one, and tells 5.1.
    """
    if _NUMBER.fullmatch(value) and _NUMBER.fullmatch(bound):
        number, limit = Decimal(value), Decimal(bound)
        return (number > limit) - (number < limit)
    version, least = version_of(value), version_of(bound)
    if not version or not least:
        return None
    return (version > least) - (version < least)


def version_of(text: str) -> tuple[int, ...]:
    """Without zeros at its end, but for 0 itself; empty: no version."""
    found = _VERSION.match(text)
    if found is None:
        return ()
    parts = [int(part) for part in found.group(1).split(".")]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return tuple(parts)


# --- as people read it ---------------------------------------------------------------------------


def text_of(condition: Condition) -> str:
    """As people write it: `rack is r1`; combined ones as one would say it."""
    match condition:
        case Combined():
            texts = [text_of(one) for one in condition.conditions]
            match condition.junction:
                case Junction.ALL:
                    return f"({' and '.join(texts)})"
                case Junction.ANY:
                    return f"({' or '.join(texts)})"
                case Junction.NOT:
                    return f"not ({' or '.join(texts)})"
        case Constraint():
            return " ".join((condition.attribute, condition.operator, *_operand(condition)))


def _operand(constraint: Constraint) -> tuple[str, ...]:
    match constraint.operator:
        case Operator.IN:
            return (f"[{', '.join(constraint.values)}]",)
        case Operator.MAX_PER | Operator.GROUP_BY:
            return (str(constraint.count),) if constraint.count else ()
        case _:
            return (constraint.value,) if constraint.value else ()
