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
            scalar = former.scalar + piece.scalar
            ranges = _joined(former.ranges + piece.ranges)
            piece = CarvedResource(piece.name, piece.identity, scalar, ranges)
        by_identity[piece.identity] = piece
    return list(by_identity.values())


# --- ports ---------------------------------------------------------------------------------------

_Free = dict[int, list[PortRange]]
"""Free ranges by the place of their entry in the pool."""
_Runs = dict[int, list[PortRange]]
"""Chosen ports likewise, as runs within one free range each, in the order chosen."""


def _cut_ports(
    pool: _Pool, ports: tuple[Port, ...], seed: int, pieces: list[CarvedResource]
) -> tuple[int, ...] | None:
    """Host ports in the order asked; fixed ones are set aside before dynamic ones are chosen."""
    free = {
        at: list(entry.ranges)
        for at, entry in enumerate(pool)
        if entry is not None and entry.name == PORTS and entry.usable
    }
    runs: _Runs = {}
    fixed = [port.host for port in ports if port.host is not None]
    for port in fixed:
        holder = next((at for at, ranges in free.items() if holds(ranges, port)), None)
        if holder is None:  # asked for twice, it is gone when the second is looked for
            return None
        _use(free, runs, holder, PortRange(port, port))
    dynamic = _choose(pool, free, runs, len(ports) - len(fixed), seed)
    if dynamic is None:
        return None
    first = len(pieces)
    for at, chosen in runs.items():
        entry = pool[at]
        if entry is None:
            continue
        rest = tuple(free[at])
        pool[at] = OfferedResource(PORTS, entry.identity, 0, rest, entry.reserved) if rest else None
        pieces.append(CarvedResource(PORTS, entry.identity, 0, _joined(chosen)))
    if len(pieces) - first > 1:
        pieces[first:] = _coalesced(pieces[first:])
    following = iter(dynamic)
    return tuple([next(following) if port.host is None else port.host for port in ports])


def _choose(pool: _Pool, free: _Free, runs: _Runs, wanted: int, seed: int) -> list[int] | None:
    """`wanted` free ports, reserved ones first; None when there are not as many."""
    chosen: list[int] = []
    for reserved in (True, False):
        if len(chosen) == wanted:
            break
        places = [at for at in free if (entry := pool[at]) and entry.reserved is reserved]
        for at, run in _spread(free, places, wanted - len(chosen), seed):
            _use(free, runs, at, run)
            chosen += range(run.begin, run.end + 1)
    return chosen if len(chosen) == wanted else None


def _spread(free: _Free, places: list[int], wanted: int, seed: int) -> list[tuple[int, PortRange]]:
    """Runs of at most `wanted` ports in all, one after the other from where the seed says, round
    the end; each with the place of its entry."""
    total = sum([port_count(free[at]) for at in places])
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


def _use(free: _Free, runs: _Runs, at: int, run: PortRange) -> None:
    """Move a run, which lies within one free range, from free to chosen."""
    runs.setdefault(at, []).append(run)
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
