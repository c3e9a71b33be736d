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
from scheduler.core.placement.carve import Carved, carve
from tests.core.placement import values
from tests.core.placement.values import SCALARS, scalar, unhurried

ANY = Port("any")


def fixed(port: int) -> Port:
    return Port("fixed", port)


def must(carved: Carved | None) -> Carved:
    assert carved is not None
    return carved


def total(pieces: Iterable[OfferedResource | CarvedResource]) -> Counter[tuple[object, ...]]:
    """Thousandths by name and identity, and every port by itself."""
    counted: Counter[tuple[object, ...]] = Counter()
    for piece in pieces:
        if piece.name != "ports":
            counted[piece.name, piece.identity] += piece.scalar
        for begin, end in piece.ranges:
            counted.update(("ports", piece.identity, port) for port in range(begin, end + 1))
    return counted


def fits(resources: tuple[OfferedResource, ...], amounts: Amounts, ports: tuple[Port, ...]) -> bool:
    """The slow, obvious model: enough in sum, and each fixed port free and asked once."""
    usable = [entry for entry in resources if entry.usable]
    for name in SCALARS:
        if sum(entry.scalar for entry in usable if entry.name == name) < getattr(amounts, name):
            return False
    free = {key[2] for key in total(entry for entry in usable if entry.name == "ports")}
    hosts = [port.host for port in ports if port.host is not None]
    return len(set(hosts)) == len(hosts) and set(hosts) <= free and len(ports) <= len(free)


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, st.integers(0, 2**64))
def test_what_is_carved_and_what_is_left_are_together_exactly_what_was_offered(
    resources: tuple[OfferedResource, ...], amounts: Amounts, ports: tuple[Port, ...], seed: int
) -> None:
    carved = carve(resources, amounts, ports, seed)

    assert (carved is not None) == fits(resources, amounts, ports)
    if carved is None:
        return
    pieces = total(carved.resources)
    assert pieces <= total(entry for entry in resources if entry.usable)
    assert pieces + total(carved.left) == total(resources)
    assert [entry for entry in carved.left if not entry.usable] == [
        entry for entry in resources if not entry.usable
    ]
    for reserved in (True, False):
        kept = total(entry for entry in carved.left if entry.reserved is reserved)
        assert kept <= total(entry for entry in resources if entry.reserved is reserved)


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, st.integers(0, 2**64))
def test_a_task_gets_exactly_what_it_asks_for(
    resources: tuple[OfferedResource, ...], amounts: Amounts, ports: tuple[Port, ...], seed: int
) -> None:
    carved = carve(resources, amounts, ports, seed)
    if carved is None:
        return

    for name in SCALARS:
        got = sum(piece.scalar for piece in carved.resources if piece.name == name)
        assert got == getattr(amounts, name)
    assert len(carved.ports) == len(ports) == len(set(carved.ports))
    for port, chosen in zip(ports, carved.ports, strict=True):
        assert port.host in (None, chosen)
    assert sorted(carved.ports) == sorted(
        port
        for piece in carved.resources
        for begin, end in piece.ranges
        for port in range(begin, end + 1)
    )


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, st.integers(0, 2**64))
def test_pieces_are_one_an_identity_and_never_empty(
    resources: tuple[OfferedResource, ...], amounts: Amounts, ports: tuple[Port, ...], seed: int
) -> None:
    carved = carve(resources, amounts, ports, seed)
    if carved is None:
        return

    names = [(piece.name, piece.identity) for piece in carved.resources]
    assert len(set(names)) == len(names)
    assert all(piece.scalar > 0 or piece.ranges for piece in carved.resources)
    assert all(entry.scalar > 0 or entry.ranges for entry in carved.left)
    for piece in carved.resources:
        for one, after in zip(piece.ranges, piece.ranges[1:], strict=False):
            assert one.end + 1 < after.begin


@unhurried
@given(values.offered(), values.amounts, values.asked_ports, st.integers(0, 2**64))
def test_unreserved_is_touched_only_when_reserved_is_used_up(
    resources: tuple[OfferedResource, ...], amounts: Amounts, ports: tuple[Port, ...], seed: int
) -> None:
    carved = carve(resources, amounts, ports, seed)
    if carved is None:
        return

    def unreserved(entries: Iterable[OfferedResource], name: str) -> int:
        return sum(e.scalar for e in entries if e.name == name and e.usable and not e.reserved)

    for name in SCALARS:
        if unreserved(carved.left, name) < unreserved(resources, name):
            assert not any(e.name == name and e.usable and e.reserved for e in carved.left)


def test_a_scalar_is_put_together_from_a_reserved_and_an_unreserved_entry() -> None:
    offered = (scalar("cpus", 500, b"free"), scalar("cpus", 500, b"ours", reserved=True))

    carved = must(carve(offered, Amounts(cpus=700), ()))

    assert carved.resources == (
        CarvedResource("cpus", b"ours", 500),
        CarvedResource("cpus", b"free", 200),
    )
    assert carved.left == (scalar("cpus", 300, b"free"),)


def test_an_amount_of_nothing_makes_no_piece() -> None:
    carved = must(carve((scalar("cpus", 500), scalar("disk", 100)), Amounts(cpus=500), ()))

    assert [piece.name for piece in carved.resources] == ["cpus"]


def test_a_negative_amount_fits_nowhere() -> None:
    assert carve((scalar("cpus", 500),), Amounts(cpus=-1), ()) is None


def test_ports_come_in_the_order_asked_and_dynamic_ones_avoid_the_fixed() -> None:
    for seed in range(20):
        carved = must(carve((values.ports((10, 12)),), Amounts(), (ANY, fixed(11), ANY), seed))

        assert carved.ports[1] == 11
        assert {carved.ports[0], carved.ports[2]} == {10, 12}
        assert carved.resources == (CarvedResource("ports", b"", 0, (PortRange(10, 12),)),)


def test_a_fixed_port_asked_for_twice_fits_nowhere() -> None:
    assert carve((values.ports((10, 20)),), Amounts(), (fixed(11), fixed(11))) is None


def test_a_port_that_was_just_freed_is_rarely_chosen_again() -> None:
    offered = (values.ports((31000, 31999)),)

    first = [must(carve(offered, Amounts(), (ANY,), seed)).ports[0] for seed in range(200)]

    assert len(set(first)) > 150
    assert first == [must(carve(offered, Amounts(), (ANY,), seed)).ports[0] for seed in range(200)]
