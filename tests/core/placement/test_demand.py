"""Which parked groups a new row could help: never one too few, and few too many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.ids import JobId
from scheduler.core.model.job import Constraint, Operator, Port
from scheduler.core.model.offer import Offer
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.columns import Indexes
from scheduler.core.placement.demand import LARGEST_MAX, Demand, largest
from scheduler.core.placement.group import Group
from scheduler.core.placement.matcher import place
from scheduler.core.placement.rows import Rows
from tests.core.placement.values import (
    WEB,
    agent,
    counting,
    groups,
    offer,
    offer_lists,
    ports,
    scalar,
    unhurried,
)

UNIQUE = Constraint("hostname", Operator.UNIQUE)


def rows_of(*offers: Offer) -> tuple[Rows, Indexes]:
    rows = Rows()
    for one in offers:
        rows.add(one)
    rows.sync()
    return rows, np.array(rows.by_role(WEB), np.int64)


def helped(group: Group, *offers: Offer) -> bool:
    demand = Demand()
    demand.add(JobId("job"), group)
    return demand.helped_by(*rows_of(*offers)) == ["job"]


@unhurried
@given(offers=offer_lists(), parked=st.lists(counting(), max_size=8))
def test_whoever_a_row_could_hold_is_named(offers: list[Offer], parked: list[Group]) -> None:
    rows, fresh = rows_of(*offers)
    demand = Demand()
    of_role = {JobId(f"j{at}"): group for at, group in enumerate(parked) if group.role == WEB}
    for job, group in of_role.items():
        demand.add(job, group)
    named = demand.helped_by(rows, fresh)
    assert len(named) == len(set(named))
    fit = {job for job, group in of_role.items() if place(rows, group, 1).instances}
    assert fit <= set(named)


@unhurried
@given(
    offers=offer_lists(),
    parked=st.lists(groups, max_size=8),
    gone=st.sets(st.integers(0, 7)),
)
def test_who_was_discarded_is_as_if_never_added(
    offers: list[Offer], parked: list[Group], gone: set[int]
) -> None:
    rows, fresh = rows_of(*offers)
    changed, plain = Demand(), Demand()
    for at, group in enumerate(parked):
        changed.add(JobId(f"j{at}"), group)
        if at not in gone:
            plain.add(JobId(f"j{at}"), group)
    for at in gone:
        changed.discard(JobId(f"j{at}"))
    assert len(changed) == len(plain)
    assert sorted(changed.helped_by(rows, fresh)) == sorted(plain.helped_by(rows, fresh))


def test_too_little_of_anything_helps_nobody() -> None:
    whole = (scalar("cpus", 4), scalar("mem", 4), ports((8000, 8001)))
    asked = Group(WEB, Amounts(cpus=4, mem=4), (Port("a"), Port("b")))
    assert helped(asked, offer("o", agent("a"), *whole))
    for at in range(len(whole)):
        assert not helped(asked, offer("o", agent("a"), *whole[:at], *whole[at + 1 :]))


def test_what_two_rows_have_together_helps_nobody() -> None:
    asked = Group(WEB, Amounts(cpus=4, mem=4))
    wide = offer("o1", agent("a"), scalar("cpus", 8), scalar("mem", 1))
    tall = offer("o2", agent("b"), scalar("cpus", 1), scalar("mem", 8))
    assert not helped(asked, wide, tall)
    assert helped(asked, wide, tall, offer("o3", agent("c"), scalar("cpus", 4), scalar("mem", 4)))


def test_the_amounts_count_only_where_the_constraints_hold() -> None:
    asked = Group(WEB, Amounts(cpus=2), constraints=(Constraint("rack", Operator.LIKE, "r1"),))
    small = offer("o1", agent("a", rack="r1"), scalar("cpus", 1))
    elsewhere = offer("o2", agent("b", rack="r2"), scalar("cpus", 8))
    assert not helped(asked, small, elsewhere)
    assert helped(asked, elsewhere, offer("o3", agent("c", rack="r1"), scalar("cpus", 2)))


def test_a_fixed_port_must_be_free() -> None:
    asked = Group(WEB, Amounts(), (Port("a", 8001),))
    assert not helped(asked, offer("o", agent("a"), ports((8002, 8009))))
    assert helped(asked, offer("o", agent("a"), ports((8000, 8001))))


def test_a_host_that_the_job_is_on_does_not_help_it() -> None:
    taken = {"a.example": 1}
    asked = Group(WEB, Amounts(cpus=1), constraints=(UNIQUE,), counts={"hostname": taken})
    assert not helped(asked, offer("o", agent("a"), scalar("cpus", 8)))
    assert helped(asked, offer("o", agent("b"), scalar("cpus", 8)))


def test_values_that_are_full_do_not_help() -> None:
    each = Constraint("rack", Operator.MAX_PER, count=2)
    counts = {"rack": {"r1": 2, "r2": 1}}
    asked = Group(WEB, Amounts(cpus=1), constraints=(each,), counts=counts)
    assert not helped(asked, offer("o", agent("a", rack="r1"), scalar("cpus", 8)))
    assert not helped(asked, offer("o", agent("a"), scalar("cpus", 8)))
    assert helped(asked, offer("o", agent("a", rack="r2"), scalar("cpus", 8)))
    assert helped(asked, offer("o", agent("a", rack="r3"), scalar("cpus", 8)))


def test_thousands_that_name_a_host_each_are_told_apart() -> None:
    demand = Demand()
    for number in range(2000):
        here = Constraint("hostname", Operator.IS, f"n{number}.example")
        demand.add(JobId(f"j{number}"), Group(WEB, Amounts(cpus=1), constraints=(here,)))
    rows, fresh = rows_of(offer("o", agent("n7"), scalar("cpus", 8)))
    assert demand.helped_by(rows, fresh) == ["j7"]


@unhurried
@given(
    st.lists(
        st.lists(st.integers(0, 9), min_size=5, max_size=5),
        min_size=1,
        max_size=2 * LARGEST_MAX,
    ),
    st.lists(st.integers(0, 9), min_size=5, max_size=5),
)
def test_what_fits_somewhere_fits_into_one_of_the_largest(
    free: list[list[int]], need: list[int]
) -> None:
    best = largest(np.array(free, np.int64))
    assert len(best) <= LARGEST_MAX + 1
    fits = any(all(n <= f for n, f in zip(need, row, strict=True)) for row in free)
    fits_best = bool(np.any(np.all(np.array(need) <= best, axis=1)))
    assert fits <= fits_best
    if len(best) <= LARGEST_MAX:
        assert fits == fits_best
