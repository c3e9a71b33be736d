"""What an offer must have to be of any use to a role: the part of it that the master can judge.

Mesos makes no offer that a role's offer constraints or its minimum rule out, so others get it
instead. Both may only ever be too wide: an offer that is hidden by mistake is a task that waits for
nothing. `placement/needs.py` derives them from what waits, the codec puts them on the wire.
"""

import enum
import operator

import msgspec

from scheduler.core.model.resources import Amounts, values_of


class Predicate(enum.StrEnum):
    """The predicates of Mesos' offer constraints. Those on text hold for each attribute that is
    there and is no text. `MATCHES` is about the whole text, in RE2's words."""

    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    MATCHES = "matches"
    NOT_MATCHES = "not_matches"


class AttributeTest(msgspec.Struct, frozen=True, order=True):
    """`attribute` is named as in constraints: `hostname`, `@region`, `@zone`, or one of the
    agent's own. NOT_EQUALS and NOT_MATCHES hold where the attribute is missing."""

    attribute: str
    test: Predicate
    text: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.attribute, self.test.replace("_", " "), self.text)))


TestGroup = tuple[AttributeTest, ...]


class Needs(msgspec.Struct, frozen=True):
    """An agent is of use when all tests of one of the `groups` hold (without groups: always), and
    when at least one of the `minimums` is free on it, summed by name. Without minimums the
    master's own holds; a minimum of nothing replaces that by none."""

    groups: tuple[TestGroup, ...] = ()
    minimums: tuple[Amounts, ...] = ()

    def covers(self, other: "Needs") -> bool:
        """Whether what is of use to the other is surely of use by these too."""
        return self._covers_groups(other) and self._covers_minimums(other)

    def _covers_groups(self, other: "Needs") -> bool:
        if not self.groups:
            return True
        wider = [frozenset(group) for group in self.groups]
        return bool(other.groups) and all(
            any(tests.issubset(group) for tests in wider) for group in other.groups
        )

    def _covers_minimums(self, other: "Needs") -> bool:
        if not other.minimums:
            return not self.minimums
        return all(
            any(at_most(mine, theirs) for mine in self.minimums or MASTERS_MINIMUMS)
            for theirs in other.minimums
        )


ANY = Needs()

MASTERS_MINIMUMS = (Amounts(cpus=10), Amounts(mem=32_000))
"""`--min_allocatable_resources` of a master that was told nothing else."""


def at_most(one: Amounts, other: Amounts) -> bool:
    """No amount of the one is larger than the other's."""
    return all(map(operator.le, values_of(one), values_of(other)))


def summed_by_name(amounts: Amounts) -> Amounts:
    """As the master counts when it compares an agent with a minimum: whatever has one name
    together, revocable or not."""
    if not amounts.revocable_cpus:
        return amounts
    cpus = amounts.cpus + amounts.revocable_cpus
    return msgspec.structs.replace(amounts, cpus=cpus, revocable_cpus=0)
