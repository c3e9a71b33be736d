"""Cuts exact resources for one task out of what an agent offers.

Mesos lets a task use an offered entry only with everything but the value unchanged (reservations,
disk source, provider, allocation role), so a piece keeps the identity of its entry and is never
merged with a piece of another identity. A scalar may be put together from several entries: it is
then written as several resources, since "a task asking 1 cpu cannot be split over 0.5 reserved +
0.5 unreserved unless written as two".

Pure arithmetic on values: it knows no rows, no scores and no constraints (see `matcher.py`).
Ports of one agent are offered once each, as Mesos guarantees.
"""

from collections.abc import Iterable, Sequence

import msgspec

from scheduler.core.model.job import Port
from scheduler.core.model.resources import Amounts, CarvedResource, OfferedResource, PortRange

PORTS = "ports"


class Carved(msgspec.Struct, frozen=True, gc=False):
    """What one task gets: pieces, one an identity; host ports in the order asked; and what is
    `left` of the entries, in their order, those that were used up left out."""

    resources: tuple[CarvedResource, ...]
    ports: tuple[int, ...]
    left: tuple[OfferedResource, ...]


_Pool = list[OfferedResource | None]
"""The entries being cut; one that was used up leaves None in its place."""


def carve(
    resources: tuple[OfferedResource, ...],
    amounts: Amounts,
    ports: tuple[Port, ...],
    seed: int = 0,
) -> Carved | None:
    """Exactly `amounts` and `ports`, or None when the usable entries do not hold them.

    Reserved entries are used before unreserved ones: they count to our role's consumption whether
    we use them or not, while unreserved resources can serve others. An amount of 0 makes no piece,
    since Mesos drops zero scalars. `seed` chooses where the search for dynamic ports begins: a port
    that was just freed may still be in TIME_WAIT or known to clients, so the lowest free one is the
    worst choice.
    """
    pool: _Pool = list(resources)
    pieces: list[CarvedResource] = []
    for name, asked in (
        ("cpus", amounts.cpus),
        ("mem", amounts.mem),
        ("disk", amounts.disk),
        ("gpus", amounts.gpus),
    ):
        if asked and not _cut_scalar(pool, name, asked, pieces):
            return None
    chosen = _cut_ports(pool, ports, seed, pieces) if ports else ()
    if chosen is None:
        return None
    left = tuple([entry for entry in pool if entry is not None])
    return Carved(tuple(pieces), chosen, left)


def holds(ranges: Iterable[PortRange], port: int) -> bool:
    return any(begin <= port <= end for begin, end in ranges)


def port_count(ranges: Iterable[PortRange]) -> int:
    return sum([end - begin + 1 for begin, end in ranges])


# --- scalars -------------------------------------------------------------------------------------


def _cut_scalar(pool: _Pool, name: str, asked: int, pieces: list[CarvedResource]) -> bool:
    """Cut `asked` thousandths of `name`, reserved entries first. False: they do not hold it."""
    if asked < 0:
        return False
    first = len(pieces)
    unreserved: list[int] = []
    for at, entry in enumerate(pool):
        if entry is None or entry.name != name or not entry.usable:
            continue
        if not entry.reserved:
            unreserved.append(at)
            continue
        asked = _cut_entry(pool, at, asked, pieces)
        if not asked:
            break
    for at in unreserved:
        if not asked:
            break
        asked = _cut_entry(pool, at, asked, pieces)
    if len(pieces) - first > 1:
        pieces[first:] = _coalesced(pieces[first:])
    return not asked


def _cut_entry(pool: _Pool, at: int, asked: int, pieces: list[CarvedResource]) -> int:
    """Cut at most `asked` from one entry; returns what is still to be found."""
    entry = pool[at]
    if entry is None or entry.scalar <= 0:
        return asked
    if entry.scalar <= asked:
        pool[at] = None
        pieces.append(CarvedResource(entry.name, entry.identity, entry.scalar))
        return asked - entry.scalar
    rest = entry.scalar - asked
    pool[at] = OfferedResource(entry.name, entry.identity, rest, (), entry.reserved)
    pieces.append(CarvedResource(entry.name, entry.identity, asked))
    return 0


def _coalesced(pieces: Sequence[CarvedResource]) -> list[CarvedResource]:
    """One piece an identity, in the order of first use (offers pooled in a row repeat them)."""
    by_identity: dict[bytes, CarvedResource] = {}
    for piece in pieces:
        former = by_identity.get(piece.identity)
        if former is not None:
            ports = [*_each_port(former.ranges), *_each_port(piece.ranges)]
            scalar = former.scalar + piece.scalar
            piece = CarvedResource(piece.name, piece.identity, scalar, _as_ranges(ports))
        by_identity[piece.identity] = piece
    return list(by_identity.values())


# --- ports ---------------------------------------------------------------------------------------


def _cut_ports(
    pool: _Pool, ports: tuple[Port, ...], seed: int, pieces: list[CarvedResource]
) -> tuple[int, ...] | None:
    """Host ports in the order asked; fixed ones are set aside before dynamic ones are chosen."""
    entries = [(at, e) for at, e in enumerate(pool) if e and e.name == PORTS and e.usable]
    entries.sort(key=lambda one: not one[1].reserved)
    taken: dict[int, list[int]] = {at: [] for at, _ in entries}
    fixed = [port.host for port in ports if port.host is not None]
    if len(set(fixed)) != len(fixed):
        return None
    for port in fixed:
        holder = next((at for at, entry in entries if holds(entry.ranges, port)), None)
        if holder is None:
            return None
        taken[holder].append(port)
    dynamic = _choose(entries, taken, len(ports) - len(fixed), seed)
    if dynamic is None:
        return None
    first = len(pieces)
    for at, entry in entries:
        if not taken[at]:
            continue
        ranges = _without(entry.ranges, sorted(taken[at]))
        rest = OfferedResource(entry.name, entry.identity, 0, ranges, entry.reserved)
        pool[at] = rest if ranges else None
        pieces.append(CarvedResource(PORTS, entry.identity, 0, _as_ranges(taken[at])))
    if len(pieces) - first > 1:
        pieces[first:] = _coalesced(pieces[first:])
    following = iter(dynamic)
    return tuple([next(following) if port.host is None else port.host for port in ports])


def _choose(
    entries: list[tuple[int, OfferedResource]],
    taken: dict[int, list[int]],
    wanted: int,
    seed: int,
) -> list[int] | None:
    """`wanted` free ports, noted in `taken` too; None when there are not as many."""
    chosen: list[int] = []
    for reserved in (True, False):
        if len(chosen) == wanted:
            break
        free = [
            (at, span)
            for at, entry in entries
            if entry.reserved is reserved
            for span in _without(entry.ranges, sorted(taken[at]))
        ]
        for at, port in _spread(free, wanted - len(chosen), seed):
            taken[at].append(port)
            chosen.append(port)
    return chosen if len(chosen) == wanted else None


def _spread(free: list[tuple[int, PortRange]], wanted: int, seed: int) -> list[tuple[int, int]]:
    """At most `wanted` ports, one after the other from a place that the seed says, round the end.

    Pairs of the entry's place and the port.
    """
    total = port_count(span for _, span in free)
    if not total:
        return []
    wanted = min(wanted, total)
    skip = _mixed(seed) % total
    found: list[tuple[int, int]] = []
    for at, (begin, end) in [*free, *free]:
        size = end - begin + 1
        if skip >= size:
            skip -= size
            continue
        last = min(end, begin + skip + wanted - len(found) - 1)
        found += [(at, port) for port in range(begin + skip, last + 1)]
        skip = 0
        if len(found) == wanted:
            break
    return found


def _mixed(seed: int) -> int:
    """64 bits in which seeds that follow each other lie far apart (the finaliser of splitmix64)."""
    mask = (1 << 64) - 1
    bits = (seed + 0x9E3779B97F4A7C15) & mask
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
    return bits ^ (bits >> 31)


def _each_port(ranges: Iterable[PortRange]) -> Iterable[int]:
    for begin, end in ranges:
        yield from range(begin, end + 1)


def _as_ranges(ports: Iterable[int]) -> tuple[PortRange, ...]:
    """Sorted and coalesced, as Mesos writes ranges."""
    ranges: list[PortRange] = []
    for port in sorted(ports):
        if ranges and ranges[-1].end == port - 1:
            ranges[-1] = PortRange(ranges[-1].begin, port)
        else:
            ranges.append(PortRange(port, port))
    return tuple(ranges)


def _without(ranges: tuple[PortRange, ...], ports: Sequence[int]) -> tuple[PortRange, ...]:
    """The ranges less these ports, which are sorted."""
    if not ports:
        return ranges
    rest: list[PortRange] = []
    for begin, end in ranges:
        start = begin
        for port in ports:
            if start <= port <= end:
                if start < port:
                    rest.append(PortRange(start, port - 1))
                start = port + 1
        if start <= end:
            rest.append(PortRange(start, end))
    return tuple(rest)
