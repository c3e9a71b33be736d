"""Amounts of resources: what an agent has, an offer holds, a task takes.

Scalars are integers in thousandths ("three decimals, rounded"), ranges are sorted, coalesced and
closed. Revocable scalars have names of their own, as the master prints them: `cpus_revocable`. Only
unreserved resources of the agent itself exist here: an entry with a reservation, a disk source or
shared is well-formed, but contained in nothing that is offered.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from scheduler.mesos.proto.mesos_v1_pb2 import Resource, Value

Intervals = tuple[tuple[int, int], ...]

REVOCABLE = "_revocable"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Both parts sorted by name; nothing that is zero or empty is kept, so equal means equal."""

    scalars: tuple[tuple[str, int], ...] = ()
    ranges: tuple[tuple[str, Intervals], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges)

    def __add__(self, other: "Bundle") -> "Bundle":
        scalars, ranges = dict(self.scalars), dict(self.ranges)
        for name, amount in other.scalars:
            scalars[name] = scalars.get(name, 0) + amount
        for name, intervals in other.ranges:
            ranges[name] = _coalesce([*ranges.get(name, ()), *intervals])
        return bundle(scalars, ranges)

    def __sub__(self, other: "Bundle") -> "Bundle":
        """What is left; `other` must be contained."""
        scalars, ranges = dict(self.scalars), dict(self.ranges)
        for name, amount in other.scalars:
            scalars[name] = scalars.get(name, 0) - amount
        for name, intervals in other.ranges:
            ranges[name] = _cut(ranges.get(name, ()), intervals)
        return bundle(scalars, ranges)

    def contains(self, other: "Bundle") -> bool:
        if self == other:
            return True
        mine = dict(self.scalars)
        if any(mine.get(name, 0) < amount for name, amount in other.scalars):
            return False
        held = dict(self.ranges)
        return all(_covers(held.get(name, ()), wanted) for name, wanted in other.ranges)

    def scalar(self, name: str) -> int:
        return dict(self.scalars).get(name, 0)

    def quantity(self, name: str) -> int:
        """The amount in thousandths, revocable or not; of ranges, how many values they hold."""
        for kind, intervals in self.ranges:
            if kind == name:
                return 1000 * sum(end - begin + 1 for begin, end in intervals)
        return sum(amount for kind, amount in self.scalars if kind.removesuffix(REVOCABLE) == name)

    @property
    def revocable(self) -> bool:
        """Something of it may be revoked."""
        return any(name.endswith(REVOCABLE) for name, _ in self.scalars)

    def lasting(self) -> "Bundle":
        """Without what may be revoked."""
        if not self.revocable:
            return self
        kept = tuple(one for one in self.scalars if not one[0].endswith(REVOCABLE))
        return Bundle(kept, self.ranges)


EMPTY = Bundle()


def bundle(scalars: dict[str, int], ranges: dict[str, Intervals]) -> Bundle:
    return Bundle(
        tuple(sorted((name, amount) for name, amount in scalars.items() if amount)),
        tuple(sorted((name, intervals) for name, intervals in ranges.items() if intervals)),
    )


def total(bundles: Iterable[Bundle]) -> Bundle:
    result = EMPTY
    for one in bundles:
        result = result + one
    return result


def problem(resources: Iterable[Resource]) -> str | None:
    """Why these resources are malformed, or None."""
    for resource in resources:
        found = _shape_problem(resource) or _reservation_problem(resource)
        if found:
            return f"resource '{resource.name}': {found}"
    return None


def from_resources(resources: Iterable[Resource]) -> Bundle | None:
    """The amounts of well-formed resources; None when some entry is of a kind never offered."""
    scalars: dict[str, int] = {}
    ranges: dict[str, Intervals] = {}
    for resource in resources:
        if _never_offered(resource):
            return None
        if resource.type == Value.SCALAR:
            thousandths = round(resource.scalar.value * 1000)
            name = resource.name + REVOCABLE * resource.HasField("revocable")
            scalars[name] = scalars.get(name, 0) + thousandths
        else:
            held = ranges.get(resource.name, ())
            ranges[resource.name] = _coalesce([*held, *_intervals(resource)])
    return bundle(scalars, ranges)


def overlap(resources: Iterable[Resource]) -> str | None:
    """The name of a range kind of which the same value is asked twice over, or None."""
    seen: dict[str, list[tuple[int, int]]] = {}
    for resource in resources:
        if resource.type == Value.RANGES:
            seen.setdefault(resource.name, []).extend(_intervals(resource))
    return next((name for name, intervals in seen.items() if _overlaps(intervals)), None)


def mixed(resources: Iterable[Resource]) -> str | None:
    """A name of which both revocable and other resources are asked for, or None."""
    kinds = {(resource.name, resource.HasField("revocable")) for resource in resources}
    return next((name for name, revocable in kinds if revocable and (name, False) in kinds), None)


def to_resources(amounts: Bundle, role: str | None, *, refined: bool) -> list[Resource]:
    """On the wire: `role` is the allocation role (MULTI_ROLE only); `refined` frameworks see no
    `role` member, the others see `"*"`."""
    result: list[Resource] = []
    for name, intervals in amounts.ranges:
        ranges = Value.Ranges(range=[Value.Range(begin=b, end=e) for b, e in intervals])
        result.append(Resource(name=name, type=Value.RANGES, ranges=ranges))
    for name, thousandths in amounts.scalars:
        value = Value.Scalar(value=thousandths / 1000)
        resource = Resource(name=name.removesuffix(REVOCABLE), type=Value.SCALAR, scalar=value)
        if name.endswith(REVOCABLE):
            resource.revocable.SetInParent()
        result.append(resource)
    for resource in result:
        if role is not None:
            resource.allocation_info.role = role
        if not refined:
            resource.role = "*"
    return result


def to_numbers(amounts: Bundle) -> dict[str, float | str]:
    """As the unversioned JSON prints them: the four names always, ranges as text."""
    numbers: dict[str, float | str] = {"cpus": 0.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0}
    for name, thousandths in amounts.scalars:
        numbers[name] = thousandths / 1000
    for name, intervals in amounts.ranges:
        numbers[name] = "[" + ", ".join(f"{b}-{e}" for b, e in intervals) + "]"
    return numbers


def _never_offered(resource: Resource) -> bool:
    return (
        resource.type == Value.SET
        or resource.name.endswith(REVOCABLE)
        or (resource.type == Value.RANGES and resource.HasField("revocable"))
        or bool(resource.reservations)
        or resource.HasField("reservation")
        or resource.role not in ("", "*")
        or any(resource.HasField(kind) for kind in ("disk", "shared", "provider_id"))
    )


def _shape_problem(resource: Resource) -> str | None:
    if not resource.name:
        return "no name"
    kinds = {Value.SCALAR: "scalar", Value.RANGES: "ranges", Value.SET: "set"}
    wanted = kinds.get(resource.type)
    present = [kind for kind in kinds.values() if resource.HasField(kind)]
    if wanted is None or present != [wanted]:
        return "the type does not match the member that is set"
    if wanted == "scalar":
        value = resource.scalar.value
        if not math.isfinite(value) or value < 0 or (value and not round(value * 1000)):
            return "the amount is negative, not finite or below 0.001"
    if wanted == "ranges":
        intervals = _intervals(resource)
        if any(begin > end for begin, end in intervals) or _overlaps(intervals):
            return "ranges overlap or end before they begin"
    if wanted == "set" and len(set(resource.set.item)) != len(resource.set.item):
        return "a member of the set occurs twice"
    return None


def _reservation_problem(resource: Resource) -> str | None:
    old = resource.HasField("reservation")
    if resource.reservations and (old or resource.HasField("role")):
        return "both formats of reservation at once"
    if old and resource.role == "*":
        return "a reservation without a role"
    return None


def _intervals(resource: Resource) -> list[tuple[int, int]]:
    return [(one.begin, one.end) for one in resource.ranges.range]


def _overlaps(intervals: list[tuple[int, int]]) -> bool:
    ordered = sorted(intervals)
    return any(after[0] <= before[1] for before, after in pairwise(ordered))


def _coalesce(intervals: Iterable[tuple[int, int]]) -> Intervals:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(intervals):
        if joined and begin <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return tuple(joined)


def _cut(held: Intervals, taken: Intervals) -> Intervals:
    left = list(held)
    for begin, end in taken:
        pieces: list[tuple[int, int]] = []
        for low, high in left:
            if high < begin or low > end:
                pieces.append((low, high))
                continue
            if low < begin:
                pieces.append((low, begin - 1))
            if high > end:
                pieces.append((end + 1, high))
        left = pieces
    return tuple(left)


def _covers(held: Intervals, wanted: Intervals) -> bool:
    return all(any(low <= b and e <= high for low, high in held) for b, e in wanted)
