"""Carved pieces are exact parts of the offered entries."""

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.job import Port
from scheduler.core.model.resources import (
    Amounts,
    CarvedResource,
    OfferedResource,
    PortRange,
)
from scheduler.core.placement.carve import (
    Carved,
    Pool,
    amount_of,
    carve,
    pooled,
    remaining,
    scalars_of,
    shape_of,
)
from tests.core.placement import values
from tests.core.placement.values import SCALARS, scalar, unhurried

ANY = Port("any")
count = st.integers(1, 5)
seeds = st.integers(0, 2**64)


def fixed(port: int) -> Port:
    return Port("fixed", port)


class Cutting:
    """What an agent offers, and what tasks were given of it so far."""

    def __init__(self, resources: Iterable[OfferedResource]) -> None:
        self.pool = pooled({}, resources)
        self.scalars = {name: amount_of(self.pool.get(name, ())) for name in SCALARS}

    def cut(
        self, amounts: Amounts, ports: tuple[Port, ...] = (), count: int = 1, seed: int = 0
    ) -> tuple[Carved, ...]:
        scalars = scalars_of(amounts)
        tasks, self.pool = carve(self.pool, self.scalars, scalars, ports, count, seed)
        for name, asked in scalars:
            self.scalars[name] -= asked * len(tasks)
        return tasks

    @property
    def left(self) -> Pool:
        return remaining(self.pool, self.scalars)


def cut_from(
    resources: Iterable[OfferedResource],
    amounts: Amounts,
    ports: tuple[Port, ...] = (),
    seed: int = 0,
) -> tuple[Carved, Pool]:
    """One task's, which must fit, and what is left."""
    offered = Cutting(resources)
    (carved,) = offered.cut(amounts, ports, 1, seed)
    return carved, offered.left


def entries_of(pool: Pool) -> list[OfferedResource]:
    return [entry for entries in pool.values() for entry in entries]


def total(pieces: Iterable[OfferedResource | CarvedResource]) -> Counter[tuple[object, ...]]:
    """Thousandths by name and identity, and every port by itself."""
    counted: Counter[tuple[object, ...]] = Counter()
    for piece in pieces:
        if piece.name != "ports":
            counted[piece.name, piece.identity] += piece.scalar
        for begin, end in piece.ranges:
            counted.update(("ports", piece.identity, port) for port in range(begin, end + 1))
    return counted


def fits(
    entries: Iterable[OfferedResource], amounts: Amounts, ports: tuple[Port, ...], tasks: int = 1
) -> bool:
    """The slow, obvious model: enough in sum, and each fixed port free and asked once."""
    usable = [entry for entry in entries if entry.usable]
    for name in SCALARS:
        asked = getattr(amounts, name) * tasks
        if sum(entry.scalar for entry in usable if entry.name == name) < asked:
            return False
    free = {key[2] for key in total(entry for entry in usable if entry.name == "ports")}
    hosts = [port.host for port in ports if port.host is not None] * tasks
    return len(set(hosts)) == len(hosts) and set(hosts) <= free and len(ports) * tasks <= len(free)


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, count, seeds)
def test_as_many_tasks_as_fit_are_cut_and_together_with_what_is_left_are_what_was_offered(
    resources: tuple[OfferedResource, ...],
    amounts: Amounts,
    ports: tuple[Port, ...],
    count: int,
    seed: int,
) -> None:
    offered = Cutting(resources)
    tasks = offered.cut(amounts, ports, count, seed)

    assert fits(resources, amounts, ports, len(tasks))
    assert len(tasks) == count or not fits(resources, amounts, ports, len(tasks) + 1)
    pieces = total(piece for carved in tasks for piece in carved.resources)
    usable = [entry for entry in resources if entry.usable]
    assert pieces + total(entries_of(offered.left)) == total(usable)
    for reserved in (True, False):
        kept = total(entry for entry in entries_of(offered.left) if entry.reserved is reserved)
        assert kept <= total(entry for entry in usable if entry.reserved is reserved)


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, count, seeds)
def test_each_task_gets_exactly_what_it_asks_for(
    resources: tuple[OfferedResource, ...],
    amounts: Amounts,
    ports: tuple[Port, ...],
    count: int,
    seed: int,
) -> None:
    tasks = Cutting(resources).cut(amounts, ports, count, seed)

    for carved in tasks:
        for name in SCALARS:
            got = sum(piece.scalar for piece in carved.resources if piece.name == name)
            assert got == getattr(amounts, name)
        assert len(carved.ports) == len(ports)
        for port, chosen in zip(ports, carved.ports, strict=True):
            assert port.host in (None, chosen)
        assert sorted(carved.ports) == sorted(
            port
            for piece in carved.resources
            for begin, end in piece.ranges
            for port in range(begin, end + 1)
        )
    numbers = [port for carved in tasks for port in carved.ports]
    assert len(numbers) == len(set(numbers))


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, count, seeds)
def test_pieces_are_one_an_identity_and_never_empty(
    resources: tuple[OfferedResource, ...],
    amounts: Amounts,
    ports: tuple[Port, ...],
    count: int,
    seed: int,
) -> None:
    offered = Cutting(resources)
    tasks = offered.cut(amounts, ports, count, seed)

    assert all(entry.scalar > 0 or entry.ranges for entry in entries_of(offered.left))
    for carved in tasks:
        names = [(piece.name, piece.identity) for piece in carved.resources]
        assert len(set(names)) == len(names)
        assert all(piece.scalar > 0 or piece.ranges for piece in carved.resources)
        for piece in carved.resources:
            for one, after in zip(piece.ranges, piece.ranges[1:], strict=False):
                assert one.end + 1 < after.begin


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, count, seeds)
def test_unreserved_is_touched_only_when_reserved_is_used_up(
    resources: tuple[OfferedResource, ...],
    amounts: Amounts,
    ports: tuple[Port, ...],
    count: int,
    seed: int,
) -> None:
    offered = Cutting(resources)
    offered.cut(amounts, ports, count, seed)

    def unreserved(entries: Iterable[OfferedResource], name: str) -> int:
        return sum(e.scalar for e in entries if e.name == name and e.usable and not e.reserved)

    for name in SCALARS:
        if unreserved(entries_of(offered.left), name) < unreserved(resources, name):
            assert not any(entry.reserved for entry in offered.left.get(name, ()))


@unhurried
@given(values.offered(), values.amounts, count)
def test_many_tasks_at_once_get_what_they_would_get_one_after_the_other(
    resources: tuple[OfferedResource, ...], amounts: Amounts, count: int
) -> None:
    at_once, one_by_one = Cutting(resources), Cutting(resources)
    together = at_once.cut(amounts, (), count)
    apart = [task for _ in range(count) for task in one_by_one.cut(amounts)]

    assert list(together) == apart
    assert at_once.left == one_by_one.left


@unhurried
@given(values.offered(), values.offered(), values.amounts, values.amounts, count)
def test_pools_of_one_shape_give_the_same_pieces_whatever_is_left(
    resources: tuple[OfferedResource, ...],
    others: tuple[OfferedResource, ...],
    before: Amounts,
    amounts: Amounts,
    count: int,
) -> None:
    fresh, used = Cutting(resources), Cutting(others)
    used.cut(before)
    if shape_of(fresh.pool) is None or shape_of(fresh.pool) != shape_of(used.pool):
        return

    pieces = set(fresh.cut(amounts, (), count)) | set(used.cut(amounts, (), count))

    assert len(pieces) <= 1


def test_a_scalar_is_put_together_from_a_reserved_and_an_unreserved_entry() -> None:
    offered = (scalar("cpus", 500, b"free"), scalar("cpus", 500, b"ours", reserved=True))

    carved, left = cut_from(offered, Amounts(cpus=700))

    assert carved.resources == (
        CarvedResource("cpus", b"ours", 500),
        CarvedResource("cpus", b"free", 200),
    )
    assert left == {"cpus": (scalar("cpus", 300, b"free"),)}


def test_an_amount_of_nothing_makes_no_piece() -> None:
    carved, _ = cut_from((scalar("cpus", 500), scalar("disk", 100)), Amounts(cpus=500))

    assert [piece.name for piece in carved.resources] == ["cpus"]


def test_a_negative_amount_fits_nowhere() -> None:
    offered = Cutting([scalar("cpus", 500)])

    assert offered.cut(Amounts(cpus=-1)) == ()
    assert offered.left == {"cpus": (scalar("cpus", 500),)}


def test_ports_come_in_the_order_asked_and_dynamic_ones_avoid_the_fixed() -> None:
    for seed in range(20):
        carved, _ = cut_from((values.ports((10, 12)),), Amounts(), (ANY, fixed(11), ANY), seed)

        assert carved.ports[1] == 11
        assert {carved.ports[0], carved.ports[2]} == {10, 12}
        assert carved.resources == (CarvedResource("ports", b"", 0, (PortRange(10, 12),)),)


def test_a_fixed_port_asked_for_twice_fits_nowhere() -> None:
    offered = Cutting([values.ports((10, 20))])

    assert offered.cut(Amounts(), (fixed(11), fixed(11))) == ()
    assert offered.left == {"ports": (values.ports((10, 20)),)}


def test_a_port_that_was_just_freed_is_rarely_chosen_again() -> None:
    offered = (values.ports((31000, 31999)),)

    first = [cut_from(offered, Amounts(), (ANY,), seed)[0].ports for seed in range(200)]

    assert len(set(first)) > 150
    assert first == [cut_from(offered, Amounts(), (ANY,), seed)[0].ports for seed in range(200)]
