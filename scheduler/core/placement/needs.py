"""From what waits in a role to what its offers must have (`model/needs.py`).

One waiting job is one alternative: its constraints as far as the master can judge them, and what
one of its instances asks for. What cannot be said exactly is said wider, never narrower.
"""

import functools
import itertools
import re
from collections.abc import Iterable
from typing import Final

from scheduler.core.model.job import (
    Combined,
    Condition,
    Constraint,
    Junction,
    Operator,
    Template,
)
from scheduler.core.model.needs import (
    ANY,
    AttributeTest,
    Needs,
    Predicate,
    TestGroup,
    at_most,
    summed_by_name,
)
from scheduler.core.model.offer import AgentInfo
from scheduler.core.model.resources import Amounts, values_of
from scheduler.core.placement.constraints import HOSTNAME, matches, value_of
from scheduler.core.placement.re2 import Sense, in_python, to_re2

MINIMUMS_MAX = 4
"""Alternatives that the master compares each agent with, in each allocation."""

CLAUSES_MAX = 64
"""Alternatives of one job: a longer list of values, or a product of lists, is said wider."""

ALTERNATIVES_MAX = 16
"""Beyond, what jobs ask for is put together before it is compared any further."""

JOBS_MAX = 2000
"""Beyond, nothing is said: so many want nearly everything, and looking at all would take long."""

LEADING_BITS = 3
_NO_TEXT = re.compile(r"-?[0-9.]+|\[.*\]|\{.*\}", re.DOTALL)
"""How Mesos' scalars, ranges and sets read."""


def needs_of(templates: Iterable[Template], groups_max: int) -> Needs:
    """The needs of all together. More than `groups_max` groups are said as none: no constraint."""
    looked_at = list(itertools.islice(templates, JOBS_MAX + 1))
    if len(looked_at) > JOBS_MAX:
        return ANY
    groups: dict[TestGroup, None] = {}
    unconstrained = False
    minimums: list[Amounts] = []
    for template in looked_at:
        _add_minimum(minimums, summed_by_name(template.amounts))
        if unconstrained:
            continue
        groups.update(dict.fromkeys(_groups_of(template.constraints)))
        unconstrained = () in groups or len(groups) > groups_max
    if len(minimums) > MINIMUMS_MAX:
        minimums = [least_of(minimums)]
    return Needs(
        groups=() if unconstrained else tuple(sorted(groups)),
        minimums=tuple(sorted({_rounded_down(one) for one in minimums}, key=values_of)),
    )


def least_of(amounts: Iterable[Amounts]) -> Amounts:
    """The least that any of them asks for, of each resource."""
    return Amounts(*map(min, zip(*map(values_of, amounts), strict=True)))


# --- amounts -------------------------------------------------------------------------------------


def _add_minimum(minimums: list[Amounts], asked: Amounts) -> None:
    """Keep only what no other alternative is a part of."""
    if any(at_most(one, asked) for one in minimums):
        return
    minimums[:] = [one for one in minimums if not at_most(asked, one)]
    minimums.append(asked)
    if len(minimums) > ALTERNATIVES_MAX:
        minimums[:] = [least_of(minimums)]


def _rounded_down(amounts: Amounts) -> Amounts:
    """To few different values: a minimum is part of FrameworkInfo, and a master that is told
    another one passes it on to every agent."""
    return Amounts(*map(_leading, values_of(amounts)))


def _leading(value: int) -> int:
    rest = max(value.bit_length() - LEADING_BITS, 0)
    return value >> rest << rest


# --- constraints ---------------------------------------------------------------------------------

_Clause = frozenset[AttributeTest]
_Clauses = frozenset[_Clause]
"""A condition as alternatives, each a set of tests that all hold. The empty set of tests always
holds: it is what is said of all that the master cannot judge."""

_ALWAYS: Final[_Clauses] = frozenset({frozenset()})


@functools.lru_cache(maxsize=4096)
def _groups_of(constraints: tuple[Condition, ...]) -> tuple[TestGroup, ...]:
    """The alternatives of a job; an empty one says that every agent may do."""
    clauses = _both(_clauses_of(condition, holds=True) for condition in constraints)
    return tuple(tuple(sorted(clause)) for clause in clauses)


def _clauses_of(condition: Condition, *, holds: bool) -> _Clauses:
    """What is true, at least, of each agent on which the condition holds, or does not."""
    match condition:
        case Combined(Junction.NOT, (*conditions,)):
            return _combined(conditions, every=holds, holds=not holds)
        case Combined(junction, (*conditions,)):
            return _combined(conditions, every=(junction is Junction.ALL) is holds, holds=holds)
        case Constraint(attribute="@job" | "@agent"):
            return _ALWAYS
        case Constraint(operator=Operator.IN):
            each = [_equals(condition.attribute, value, holds) for value in condition.values]
            return _either(each) if holds else _both(each)
        case Constraint():
            return _tests_of(condition, holds)


def _combined(conditions: Iterable[Condition], *, every: bool, holds: bool) -> _Clauses:
    each = (_clauses_of(condition, holds=holds) for condition in conditions)
    return _both(each) if every else _either(each)


def _tests_of(constraint: Constraint, holds: bool) -> _Clauses:
    match constraint.operator:
        case Operator.IS:
            return _equals(constraint.attribute, constraint.value, holds)
        case Operator.LIKE:
            return _matches(constraint, holds)
        case Operator.UNLIKE:
            return _matches(constraint, not holds)
        case _ if not holds or constraint.attribute == HOSTNAME:
            return _ALWAYS
        case _:
            # Whatever it compares, it is nothing that holds without the attribute.
            return _single(AttributeTest(constraint.attribute, Predicate.EXISTS))


def _matches(constraint: Constraint, holds: bool) -> _Clauses:
    attribute = constraint.attribute
    regex = to_re2(constraint.value, Sense.WIDER if holds else Sense.NARROWER)
    if regex is not None:
        predicate = Predicate.MATCHES if holds else Predicate.NOT_MATCHES
        return _single(AttributeTest(attribute, predicate, regex))
    if holds and attribute != HOSTNAME:
        return _single(AttributeTest(attribute, Predicate.EXISTS))
    return _ALWAYS


def _equals(attribute: str, value: str, holds: bool) -> _Clauses:
    test = Predicate.EQUALS if holds else Predicate.NOT_EQUALS
    return _single(AttributeTest(attribute, test, value))


def _single(test: AttributeTest) -> _Clauses:
    return frozenset({frozenset({test})})


def _either(each: Iterable[_Clauses]) -> _Clauses:
    found = frozenset[_Clause]().union(*each)
    return _ALWAYS if len(found) > CLAUSES_MAX else found


def _both(each: Iterable[_Clauses]) -> _Clauses:
    """All of them hold. Where that would be too many alternatives, less is said."""
    found = _ALWAYS
    for clauses in each:
        product = frozenset(one | other for one in found for other in clauses)
        found = product if len(product) <= CLAUSES_MAX else min(found, clauses, key=len)
    return found


# --- looking back --------------------------------------------------------------------------------


def hides(needs: Needs, agent: AgentInfo, free: Amounts | None = None) -> bool:
    """Whether the master surely does not offer the agent to whoever told it these needs; `free` is
    what it has left, where that is known."""
    if needs.groups and not any(_may_hold(tests, agent) for tests in needs.groups):
        return True
    if free is None or not needs.minimums:
        return False
    summed = summed_by_name(free)
    return not any(at_most(minimum, summed) for minimum in needs.minimums)


def _may_hold(tests: TestGroup, agent: AgentInfo) -> bool:
    return all(_may_pass(one, value_of(agent, one.attribute)) for one in tests)


def _may_pass(one: AttributeTest, value: str | None) -> bool:
    """A value that reads as no text may be none, and then passes whatever is asked of a text."""
    if value is not None and _NO_TEXT.fullmatch(value):
        return one.test is not Predicate.NOT_EXISTS
    match one.test:
        case Predicate.EXISTS:
            return value is not None
        case Predicate.NOT_EXISTS:
            return value is None
        case Predicate.EQUALS:
            return value == one.text
        case Predicate.NOT_EQUALS:
            return value != one.text
        case Predicate.MATCHES:
            return value is not None and matches(in_python(one.text), value)
        case Predicate.NOT_MATCHES:
            return value is None or not matches(in_python(one.text), value)
