"""Sets of ports, as ranges."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.resources import PortRange, without

RANGES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 4)).map(lambda one: PortRange(one[0], sum(one))),
    max_size=5,
)


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
