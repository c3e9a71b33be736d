import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.emulator.model import bundle
from scheduler.emulator.model.bundle import Bundle
from scheduler.mesos.proto.mesos_v1_pb2 import Resource, Value
from tests.emulator.model.lab import scalar

VALUES = st.integers(0, 40)


def of_values(cpus: int, values: set[int]) -> Bundle:
    """Every value is a range of its own on the way in."""
    resource = Resource(name="ports", type=Value.RANGES)
    resource.ranges.range.extend(Value.Range(begin=one, end=one) for one in sorted(values))
    made = bundle.from_resources([scalar("cpus", cpus / 1000), resource])
    assert made is not None
    return made


def values_of(amounts: Bundle) -> set[int]:
    return {
        value
        for _, intervals in amounts.ranges
        for begin, end in intervals
        for value in range(begin, end + 1)
    }


@given(VALUES, st.sets(VALUES), VALUES, st.sets(VALUES))
def test_adding_and_taking_away_is_that_of_sets_and_numbers(
    cpus: int, values: set[int], more_cpus: int, more: set[int]
) -> None:
    more -= values
    held, added = of_values(cpus, values), of_values(more_cpus, more)
    both = held + added
    assert values_of(both) == values | more
    assert both.scalar("cpus") == cpus + more_cpus
    assert both.contains(held)
    assert both.contains(added)
    assert both - added == held


@given(st.sets(VALUES), st.sets(VALUES))
def test_ranges_contain_each_other_as_sets_do(values: set[int], others: set[int]) -> None:
    assert of_values(0, values).contains(of_values(0, others)) == (others <= values)


@given(VALUES, st.sets(VALUES))
def test_the_wire_form_reads_back_as_the_same_amounts(cpus: int, values: set[int]) -> None:
    amounts = of_values(cpus, values)
    sent = bundle.to_resources(amounts, "web", refined=False)
    assert bundle.problem(sent) is None
    assert bundle.from_resources(sent) == amounts


@pytest.mark.parametrize("value", [-1.0, 0.0004, math.nan, math.inf])
def test_amounts_that_mean_nothing_are_a_problem(value: float) -> None:
    assert bundle.problem([scalar("cpus", value)])


def test_zero_is_dropped_silently() -> None:
    assert bundle.problem([scalar("cpus", 0.0)]) is None
    assert bundle.from_resources([scalar("cpus", 0.0)]) == Bundle()


def test_malformed_entries_are_a_problem() -> None:
    overlapping = Resource(name="ports", type=Value.RANGES)
    overlapping.ranges.range.extend([Value.Range(begin=1, end=5), Value.Range(begin=5, end=6)])
    both_formats = scalar("cpus", 1.0)
    both_formats.reservation.SetInParent()
    both_formats.reservations.add()
    mismatch = Resource(name="cpus", type=Value.RANGES, scalar=Value.Scalar(value=1.0))
    nameless = scalar("", 1.0)
    for resource in (overlapping, both_formats, mismatch, nameless):
        assert bundle.problem([resource])


def test_reserved_resources_are_never_offered_here() -> None:
    reserved = scalar("cpus", 1.0)
    reserved.reservations.add().role = "web"
    assert bundle.problem([reserved]) is None
    assert bundle.from_resources([reserved]) is None
