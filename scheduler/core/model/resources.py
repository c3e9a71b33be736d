"""Amounts of resources, as integers in thousandths.

Mesos compares scalars after rounding to three decimals (it keeps them as fixed point inside), so
thousandths lose nothing and never drift. cpus and gpus count devices; mem and disk count MiB,
which Mesos calls MB.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

MILLI = 1000


def to_milli(value: float) -> int:
    """A wire scalar in thousandths, rounded as Mesos rounds it."""
    return round(value * MILLI)


class Amounts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a task asks for, or what is free: thousandths of a cpu, of a MiB, of a gpu."""

    cpus: int = 0
    mem: int = 0
    disk: int = 0
    gpus: int = 0


def less(amounts: Amounts, gone: Amounts) -> Amounts:
    """What is left of the amounts, never below nothing."""
    return Amounts(
        cpus=max(0, amounts.cpus - gone.cpus),
        mem=max(0, amounts.mem - gone.mem),
        disk=max(0, amounts.disk - gone.disk),
        gpus=max(0, amounts.gpus - gone.gpus),
    )


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
    """One resource entry of an offer.

    `identity` is everything but the value (reservations, disk source, provider, allocation role,
    ...) in a form that only the codec understands. Mesos lets a task use an entry only with all of
    that unchanged, so carving copies the identity and cuts the value.

    `usable` is false for entries that we must not put into an ordinary task: revocable or shared
    resources, persistent volumes, disks that can only be taken whole.
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
