"""Cuts exact resources for tasks of one spec out of what an agent offers.

Mesos lets a task use an offered entry only with everything but the value unchanged (reservations,
disk source, provider, allocation role), so a piece keeps the identity of its entry and is never
merged with a piece of another identity. A scalar may be put together from several entries: it is
then written as several resources, since "a task asking 1 cpu cannot be split over 0.5 reserved +
0.5 unreserved unless written as two".

Pure arithmetic on values: it knows no rows, no scores and no constraints (see `matcher.py`).
Ports of one agent are offered once each, as Mesos guarantees.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from scheduler.core.model.job import Port
from scheduler.core.model.resources import Amounts, CarvedResource, OfferedResource, PortRange

PORTS = "ports"

Pool = dict[str, tuple[OfferedResource, ...]]
"""Entries that we may use, by name; reserved ones first, else in the order offered."""
Scalars = tuple[tuple[str, int], ...]
_Pieces = tuple[CarvedResource, ...]


class Carved(msgspec.Struct, frozen=True, gc=False):
    """What one task gets: pieces, one an identity; and host ports in the order asked."""

    resources: _Pieces
    ports: tuple[int, ...]


class Cut(NamedTuple):
    """What each task gets, and what is `left` of the pool, without the entries used up."""

    tasks: tuple[Carved, ...]
    left: Pool


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


def carve(
    pool: Pool, scalars: Scalars, ports: tuple[Port, ...] = (), count: int = 1, seed: int = 0
) -> Cut:
    """Exactly these `scalars` and `ports` for each of `count` tasks, or of as many as the pool
    holds. One pass for all of them: neighbours that get the same share one value.

    Reserved entries are used before unreserved ones: they count to our role's consumption whether
    we use them or not, while unreserved resources can serve others. `seed` chooses where the search
    for dynamic ports begins: a port that was just freed may still be in TIME_WAIT or known to
    clients, so the lowest free one is the worst choice.
    """
    if not ports:
        cut = _cut_from_first(pool, scalars, count)
        if cut is not None:
            return cut
    for name, asked in scalars:
        held = amount_of(pool.get(name, ()))
        count = min(count, held // asked if asked > 0 else 0)
    if ports:
        count = min(count, _tasks_with_ports(pool, ports))
    if count <= 0:
        return Cut((), pool)
    left = dict(pool)
    columns = [_cut_scalar(left, name, asked, count) for name, asked in scalars]
    numbers: Sequence[tuple[int, ...]] = ((),) * count
    if ports:
        pieces, numbers = _cut_ports(left, ports, count, seed)
        columns.append(pieces)
    return Cut(_together(columns, numbers), left)


def scalars_of(amounts: Amounts) -> Scalars:
    """The names of what is asked for, and how much. An amount of 0 asks for nothing, since Mesos
    drops zero scalars."""
    scalars = (
        ("cpus", amounts.cpus),
        ("mem", amounts.mem),
        ("disk", amounts.disk),
        ("gpus", amounts.gpus),
    )
    return tuple([one for one in scalars if one[1]])


def _cut_from_first(pool: Pool, scalars: Scalars, count: int) -> Cut | None:
    """What `carve` gives in the usual case, that the first entry of each name has more than all
    tasks ask for, in a fraction of the time."""
    left = dict(pool)
    pieces = []
    for name, asked in scalars:
        entries = pool.get(name)
        if entries is None:
            return None
        entry = entries[0]
        rest = entry.scalar - asked * count
        if rest <= 0 or asked < 0:
            return None
        cut = OfferedResource(name, entry.identity, rest, (), entry.reserved)
        left[name] = (cut, *entries[1:]) if len(entries) > 1 else (cut,)
        pieces.append(CarvedResource(name, entry.identity, asked))
    return Cut((Carved(tuple(pieces), ()),) * count, left)


def holds(ranges: Iterable[PortRange], port: int) -> bool:
    return any(begin <= port <= end for begin, end in ranges)


def amount_of(entries: Iterable[OfferedResource]) -> int:
    """Thousandths, or ports, of entries of one name in all."""
    return sum([entry.scalar + _port_count(entry.ranges) for entry in entries])


def _port_count(ranges: Sequence[PortRange]) -> int:
    return sum([end - begin + 1 for begin, end in ranges]) if ranges else 0


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


def _cut_scalar(left: Pool, name: str, asked: int, count: int) -> list[_Pieces]:
    """`asked` thousandths for each of `count` tasks, from entry after entry, which hold them."""
    entries = left[name]
    cut: list[_Pieces] = []
    begun: list[CarvedResource] = []
    missing = asked
    at = free = 0
    while len(cut) < count:
        entry = entries[at]
        free = free or entry.scalar
        whole = 0 if begun else min(free // asked, count - len(cut))
        if whole:
            cut += [(CarvedResource(name, entry.identity, asked),)] * whole
            free -= whole * asked
        else:
            part = min(free, missing)
            begun.append(CarvedResource(name, entry.identity, part))
            free -= part
            missing -= part
            if not missing:
                cut.append(_coalesced(begun))
                begun = []
                missing = asked
        if not free:
            at += 1
    rest = entries[at:]
    if free:
        entry = rest[0]
        cut_entry = OfferedResource(name, entry.identity, free, (), entry.reserved)
        rest = (cut_entry, *rest[1:])
    _put(left, name, rest)
    return cut


def _put(left: Pool, name: str, rest: tuple[OfferedResource, ...]) -> None:
    if rest:
        left[name] = rest
    else:
        del left[name]


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
    left: Pool, ports: tuple[Port, ...], count: int, seed: int
) -> tuple[list[_Pieces], list[tuple[int, ...]]]:
    """Pieces, and host ports in the order asked, for each of `count` tasks; fixed ones are set
    aside before dynamic ones are chosen."""
    entries = left[PORTS]
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
    _put(left, PORTS, rest)
    return pieces, numbers


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
