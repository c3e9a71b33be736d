"""Amounts, and sets of ports as ranges."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.resources import Amounts, PortRange, less, without

RANGES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 4)).map(lambda one: PortRange(one[0], sum(one))),
    max_size=5,
)


def test_amounts_stored_without_revocable_cpus_have_none() -> None:
    assert msgspec.json.decode(b"[1,2,3,4]", type=Amounts) == Amounts(1, 2, 3, 4, 0)


def test_nothing_is_less_than_nothing() -> None:
    assert less(Amounts(3, 5, 0, 1, 9), Amounts(1, 6, 0, 0, 4)) == Amounts(2, 0, 0, 1, 5)


def ports(ranges: tuple[PortRange, ...] | list[PortRange]) -> set[int]:
    return {port for begin, end in ranges for port in range(begin, end + 1)}


@given(have=st.sets(st.integers(1, 16)), gone=RANGES)
def test_what_is_gone_is_gone_and_nothing_else(have: set[int], gone: list[PortRange]) -> None:
    ranges = [PortRange(port, port) for port in have]
    assert ports(without(ranges, gone)) == have - ports(gone)


@given(begin=st.integers(1, 8), length=st.integers(0, 8), gone=RANGES)
def test_one_range_is_cut_at_each_place(begin: int, length: int, gone: list[PortRange]) -> None:
    whole = [PortRange(begin, begin + length)]
    left = without(whole, gone)
    assert ports(left) == ports(whole) - ports(gone)
    assert all(first <= last for first, last in left)
