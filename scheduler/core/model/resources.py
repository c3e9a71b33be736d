"""Amounts of resources, as integers in thousandths.

Mesos compares scalars after rounding to three decimals (it keeps them as fixed point inside), so
thousandths lose nothing and never drift. cpus and gpus count devices; mem and disk count MiB,
which Mesos calls MB.

Revocable cpus (Mesos' oversubscription) are a resource of their own here: what an agent has spare
for now, and takes back by ending the tasks that use it. They never stand in for plain cpus.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

MILLI = 1000


def to_milli(value: float) -> int:
    """A wire scalar in thousandths, rounded as Mesos rounds it."""
    return round(value * MILLI)


class Amounts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a task asks for, or what is free: thousandths of a cpu, of a MiB, of a gpu.

    A task asks for plain or for revocable cpus, never for both: Mesos refuses a task with revocable
    and other resources of one name. Records hold the values in this order: add at the end only.
    """

    cpus: int = 0
    mem: int = 0
    disk: int = 0
    gpus: int = 0
    revocable_cpus: int = 0


SCALAR_NAMES: Final = Amounts.__struct_fields__
"""The scalars that jobs ask for, in the order of their amounts. All are Mesos' names but that of
the revocable cpus."""


def values_of(amounts: Amounts) -> tuple[int, ...]:
    """In the order of SCALAR_NAMES."""
    return msgspec.structs.astuple(amounts)


def less(amounts: Amounts, gone: Amounts) -> Amounts:
    """What is left of the amounts, never below nothing."""
    pairs = zip(values_of(amounts), values_of(gone), strict=True)
    return Amounts(*[max(0, amount - taken) for amount, taken in pairs])


class PortRange(NamedTuple):
    """Both ends are part of the range."""

    begin: int
    end: int


def without(ranges: Iterable[PortRange], gone: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The ports of the ranges that are in none of those gone; both in any order."""
    taken = sorted(gone)
    left = []
    for begin, end in sorted(ranges):
        for first, last in taken:
            if last < begin or first > end:
                continue
            if first > begin:
                left.append(PortRange(begin, first - 1))
            begin = last + 1
        if begin <= end:
            left.append(PortRange(begin, end))
    return tuple(left)


class OfferedResource(msgspec.Struct, frozen=True, gc=False):
    """One resource entry of an offer; `name` is one of SCALAR_NAMES, or as the agent names it.

    `identity` is everything but the value (reservations, disk source, provider, allocation role,
    ...) in a form that only the codec understands. Mesos lets a task use an entry only with all of
    that unchanged, so carving copies the identity and cuts the value.

    `usable` is false for entries that we must not put into an ordinary task: shared resources,
    persistent volumes, disks that can only be taken whole, and all that may be revoked but cpus.
    """

    name: str
    identity: bytes
    scalar: int = 0
    ranges: tuple[PortRange, ...] = ()
    reserved: bool = False
    usable: bool = True


class CarvedResource(msgspec.Struct, frozen=True, gc=False):
    """A piece cut out of an offered entry: the same identity, a part of its value."""

    name: str
    identity: bytes
    scalar: int = 0
    ranges: tuple[PortRange, ...] = ()
