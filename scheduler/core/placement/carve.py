"""Cuts exact resources for tasks of one spec out of what an agent offers.

Mesos lets a task use an offered entry only with everything but the value unchanged (reservations,
disk source, provider, allocation role), so a piece keeps the identity of its entry and is never
merged with a piece of another identity. A scalar may be put together from several entries: it is
then written as several resources, since "a task asking 1 cpu cannot be split over 0.5 reserved +
0.5 unreserved unless written as two".

Pure arithmetic on values: it knows no rows, no scores and no constraints (see `matcher.py`).
Ports of one agent are offered once each, as Mesos guarantees.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from scheduler.core.model.job import Port
from scheduler.core.model.resources import (
    SCALAR_NAMES,
    Amounts,
    CarvedResource,
    OfferedResource,
    PortRange,
    values_of,
)

PORTS = "ports"

Pool = dict[str, tuple[OfferedResource, ...]]
"""Entries that we may use, by name; reserved ones first, else in the order offered. Scalars are
used from the front, so that one number tells what is left of the entries of a name; ports that are
used are taken out."""
Left = Mapping[str, int]
"""How much of each scalar is left of a pool."""
Scalars = tuple[tuple[str, int], ...]
Shape = tuple[tuple[str, bytes], ...]
_Pieces = tuple[CarvedResource, ...]


class Carved(msgspec.Struct, frozen=True, gc=False):
    """What one task gets: pieces, one an identity; and host ports in the order asked."""

    resources: _Pieces
    ports: tuple[int, ...]


class Cut(NamedTuple):
    """What each task gets, and the pool without the ports that they got."""

    tasks: tuple[Carved, ...]
    pool: Pool


def pooled(pool: Pool, resources: Iterable[OfferedResource]) -> Pool:
    """The pool together with what we may use of the resources."""
    together = dict(pool)
    for entry in resources:
        if not entry.usable:
            continue
        held = together.get(entry.name)
        if held is None:
            together[entry.name] = (entry,)
            continue
        before = sum([one.reserved for one in held]) if entry.reserved else len(held)
        together[entry.name] = (*held[:before], entry, *held[before:])
    return together


def shape_of(pool: Pool) -> Shape | None:
    """From pools of one shape every task gets the same scalars, however much is left of them. None:
    it depends, since there are several entries of one name."""
    shape = []
    for name, entries in pool.items():
        if len(entries) > 1:
            return None
        shape.append((name, entries[0].identity))
    return tuple(shape)


def remaining(pool: Pool, left: Left) -> Pool:
    """The entries of the pool of which something is left, cut to that."""
    rest = dict(pool)
    for name, amount in left.items():
        entries = []
        for entry in reversed(pool.get(name, ())):
            kept = min(entry.scalar, amount)
            amount -= kept
            if kept:
                cut = OfferedResource(name, entry.identity, kept, (), entry.reserved)
                entries.append(cut)
        rest[name] = tuple(reversed(entries))
    return {name: entries for name, entries in rest.items() if entries}


def carve(
    pool: Pool,
    left: Left,
    scalars: Scalars,
    ports: tuple[Port, ...] = (),
    count: int = 1,
    seed: int = 0,
) -> Cut:
    """Exactly these `scalars` and `ports` for each of `count` tasks, or of as many as there is
    enough for. One pass for all of them: neighbours that get the same share one value.

    Reserved entries are used before unreserved ones: they count to our role's consumption whether
    we use them or not, while unreserved resources can serve others. `seed` chooses where the search
    for dynamic ports begins: a port that was just freed may still be in TIME_WAIT or known to
    clients, so the lowest free one is the worst choice.
    """
    for name, asked in scalars:
        count = min(count, left.get(name, 0) // asked if asked > 0 else 0)
    if ports:
        count = min(count, _tasks_with_ports(pool, ports))
    if count <= 0:
        return Cut((), pool)
    columns = [_cut_scalar(pool[name], left[name], asked, count) for name, asked in scalars]
    numbers: Sequence[tuple[int, ...]] = ((),) * count
    if ports:
        pieces, numbers, rest = _cut_ports(pool[PORTS], ports, count, seed)
        columns.append(pieces)
        pool = {**pool, PORTS: rest}
    return Cut(_together(columns, numbers), pool)


def scalars_of(amounts: Amounts) -> Scalars:
    """The names of what is asked for, and how much. An amount of 0 asks for nothing, since Mesos
    drops zero scalars."""
    scalars = zip(SCALAR_NAMES, values_of(amounts), strict=True)
    return tuple([one for one in scalars if one[1]])


def holds(ranges: Iterable[PortRange], port: int) -> bool:
    return any(begin <= port <= end for begin, end in ranges)


def amount_of(entries: Iterable[OfferedResource]) -> int:
    """Thousandths, or ports, of entries of one name in all."""
    amount = 0
    for entry in entries:
        amount += entry.scalar
        for begin, end in entry.ranges:
            amount += end - begin + 1
    return amount


def _port_count(ranges: Iterable[PortRange]) -> int:
    return sum([end - begin + 1 for begin, end in ranges])


def _together(
    columns: Sequence[Sequence[_Pieces]], numbers: Sequence[tuple[int, ...]]
) -> tuple[Carved, ...]:
    """Each task's pieces of all resources, and its host ports."""
    tasks: list[Carved] = []
    former: tuple[_Pieces, ...] | None = None
    for at, ports in enumerate(numbers):
        pieces = tuple([column[at] for column in columns])
        if pieces == former:
            tasks.append(tasks[-1])
            continue
        former = pieces
        tasks.append(Carved(tuple([piece for of_one in pieces for piece in of_one]), ports))
    return tuple(tasks)


# --- scalars -------------------------------------------------------------------------------------


def _cut_scalar(
    entries: tuple[OfferedResource, ...], left: int, asked: int, count: int
) -> list[_Pieces]:
    """`asked` thousandths for each of `count` tasks, from entry after entry, of which so much is
    left in all."""
    used = sum([entry.scalar for entry in entries]) - left
    cut: list[_Pieces] = []
    begun: list[CarvedResource] = []
    missing = asked
    for entry in entries:
        free = entry.scalar - used
        used = max(0, -free)
        while free > 0 and len(cut) < count:
            whole = 0 if begun else min(free // asked, count - len(cut))
            if whole:
                cut += [(CarvedResource(entry.name, entry.identity, asked),)] * whole
                free -= whole * asked
                continue
            part = min(free, missing)
            begun.append(CarvedResource(entry.name, entry.identity, part))
            free -= part
            missing -= part
            if not missing:
                cut.append(_coalesced(begun))
                begun = []
                missing = asked
    return cut


def _coalesced(pieces: Sequence[CarvedResource]) -> _Pieces:
    """One piece an identity, in the order of first use (offers pooled in a row repeat them)."""
    by_identity: dict[bytes, CarvedResource] = {}
    for piece in pieces:
        former = by_identity.get(piece.identity)
        if former is not None:
            piece = CarvedResource(piece.name, piece.identity, former.scalar + piece.scalar)
        by_identity[piece.identity] = piece
    return tuple(by_identity.values())


# --- ports ---------------------------------------------------------------------------------------

_Free = list[list[PortRange]]
"""The free ranges of each entry."""


class _Chosen(NamedTuple):
    """A port, and the place of the entry that it is from."""

    port: int
    at: int


def _tasks_with_ports(pool: Pool, ports: tuple[Port, ...]) -> int:
    """How many tasks the pool holds these ports for: where one is fixed, one at most."""
    entries = pool.get(PORTS, ())
    tasks = amount_of(entries) // len(ports)
    fixed = [port.host for port in ports if port.host is not None]
    if not fixed:
        return tasks
    free = len(set(fixed)) == len(fixed) and all(_held(entries, port) for port in fixed)
    return min(tasks, int(free))


def _cut_ports(
    entries: tuple[OfferedResource, ...], ports: tuple[Port, ...], count: int, seed: int
) -> tuple[list[_Pieces], list[tuple[int, ...]], tuple[OfferedResource, ...]]:
    """Pieces, and host ports in the order asked, for each of `count` tasks; and what is left of the
    entries. Fixed ports are set aside before dynamic ones are chosen."""
    free = [list(entry.ranges) for entry in entries]
    fixed = [
        _Chosen(port.host, _holder(free, port.host)) for port in ports if port.host is not None
    ]
    for port, at in fixed:
        _use(free, at, PortRange(port, port))
    each = len(ports) - len(fixed)
    dynamic = _choose(entries, free, each * count, seed)
    pieces: list[_Pieces] = []
    numbers: list[tuple[int, ...]] = []
    for task in range(count):
        chosen = dynamic[task * each : (task + 1) * each]
        following = iter(chosen)
        numbers.append(
            tuple([next(following).port if one.host is None else one.host for one in ports])
        )
        pieces.append(_port_pieces(entries, fixed + chosen))
    rest = tuple(
        [
            OfferedResource(PORTS, entry.identity, 0, tuple(ranges), entry.reserved)
            for entry, ranges in zip(entries, free, strict=True)
            if ranges
        ]
    )
    return pieces, numbers, rest


def _held(entries: Iterable[OfferedResource], port: int) -> bool:
    return any(holds(entry.ranges, port) for entry in entries)


def _holder(free: _Free, port: int) -> int:
    """The entry that holds the port."""
    return next(at for at, ranges in enumerate(free) if holds(ranges, port))


def _port_pieces(entries: tuple[OfferedResource, ...], chosen: Sequence[_Chosen]) -> _Pieces:
    """One task's ports, one piece an identity."""
    runs: dict[bytes, list[PortRange]] = {}
    for port, at in chosen:
        runs.setdefault(entries[at].identity, []).append(PortRange(port, port))
    return tuple([CarvedResource(PORTS, key, 0, _joined(ranges)) for key, ranges in runs.items()])


def _choose(
    entries: tuple[OfferedResource, ...], free: _Free, wanted: int, seed: int
) -> list[_Chosen]:
    """`wanted` free ports, reserved ones first."""
    chosen: list[_Chosen] = []
    for reserved in (True, False):
        if len(chosen) == wanted:
            break
        places = [at for at, entry in enumerate(entries) if entry.reserved is reserved]
        for at, run in _spread(free, places, wanted - len(chosen), seed):
            _use(free, at, run)
            chosen += [_Chosen(port, at) for port in range(run.begin, run.end + 1)]
    return chosen


def _spread(free: _Free, places: list[int], wanted: int, seed: int) -> list[tuple[int, PortRange]]:
    """Runs of at most `wanted` ports in all, one after the other from where the seed says, round
    the end; each with the place of its entry."""
    total = sum([_port_count(free[at]) for at in places])
    wanted = min(wanted, total)
    if not wanted:
        return []
    skip = _mixed(seed) % total
    found: list[tuple[int, PortRange]] = []
    for at in places + places:
        for begin, end in free[at]:
            begin += skip
            if begin > end:
                skip = begin - end - 1
                continue
            skip = 0
            last = min(end, begin + wanted - 1)
            found.append((at, PortRange(begin, last)))
            wanted -= last - begin + 1
            if not wanted:
                return found
    return found


def _use(free: _Free, at: int, run: PortRange) -> None:
    """A run, which lies within one free range, is free no more."""
    ranges = free[at]
    for place, (begin, end) in enumerate(ranges):
        if begin <= run.begin <= end:
            rest = []
            if begin < run.begin:
                rest.append(PortRange(begin, run.begin - 1))
            if run.end < end:
                rest.append(PortRange(run.end + 1, end))
            ranges[place : place + 1] = rest
            return


def _joined(runs: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Sorted and coalesced, as Mesos writes ranges."""
    ranges: list[PortRange] = []
    for run in sorted(runs):
        if ranges and ranges[-1].end == run.begin - 1:
            ranges[-1] = PortRange(ranges[-1].begin, run.end)
        else:
            ranges.append(run)
    return tuple(ranges)


def _mixed(seed: int) -> int:
    """64 bits in which seeds that follow each other lie far apart (the finaliser of splitmix64)."""
    mask = (1 << 64) - 1
    bits = (seed + 0x9E3779B97F4A7C15) & mask
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
    return bits ^ (bits >> 31)
