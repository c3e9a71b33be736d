"""The table of offers and its columns."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scheduler.core.model.ids import AgentId, OfferId
from scheduler.core.model.job import Port
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts, OfferedResource
from scheduler.core.placement.carve import amount_of
from scheduler.core.placement.group import Group
from scheduler.core.placement.matcher import assign
from scheduler.core.placement.rows import COLUMN_NAMES, Rows
from tests.core.placement import values
from tests.core.placement.values import OPS, WEB, agent, offer, ports, scalar, unhurried

A, B, C = agent("a"), agent("b"), agent("c")


def test_offers_of_one_agent_and_role_pool_into_one_row() -> None:
    rows = Rows()
    first = rows.add(offer("1", A, scalar("cpus", 500)))
    other = rows.add(offer("2", A, scalar("cpus", 700), role=OPS))
    again = rows.add(offer("3", A, scalar("cpus", 200), ports((1, 3))))
    rows.sync()

    assert first == again != other
    assert rows.by_role(WEB) == (first,)
    assert rows.by_role(OPS) == (other,)
    assert rows.free("cpus")[first] == 700
    assert rows.free("ports")[first] == 3
    assert [one.offer_id for one in rows.pop(first)] == ["1", "3"]
    assert len(rows) == 1


def test_an_offer_that_is_held_already_changes_nothing() -> None:
    rows = Rows()
    at = rows.add(offer("1", A, scalar("cpus", 500)))

    assert rows.add(offer("1", A, scalar("cpus", 500))) == at
    rows.sync()
    assert rows.free("cpus")[at] == 500


def test_a_rescinded_offer_shrinks_its_row_or_ends_it() -> None:
    rows = Rows()
    rows.add(offer("1", A, scalar("cpus", 500)))
    at = rows.add(offer("2", A, scalar("cpus", 700)))

    assert rows.remove_offer(OfferId("1"))
    assert not rows.remove_offer(OfferId("1"))
    at = rows.add(offer("2", A))
    rows.sync()
    assert rows.free("cpus")[at] == 700
    assert rows.remove_offer(OfferId("2"))
    assert rows.by_role(WEB) == ()
    assert rows.row_of(OfferId("2")) is None
    assert len(rows) == 0


def test_a_rescind_makes_the_rest_of_a_used_row_whole_again() -> None:
    rows = Rows()
    at = rows.add(offer("1", A, scalar("cpus", 500)))
    rows.add(offer("2", A, scalar("cpus", 700)))
    rows.sync()
    before = rows[at].arrival
    rows.take(np.array([at]), (300, 0, 0, 0, 0, 0), np.array([3]))
    assert rows.left(at) == {"cpus": (scalar("cpus", 300),)}

    assert rows.remove_offer(OfferId("1"))

    again = rows.row_of(OfferId("2"))
    assert again is not None
    rows.sync()
    assert rows.free("cpus")[again] == 700
    assert rows[again].arrival != before


def test_entries_that_an_ordinary_task_may_not_use_do_not_count() -> None:
    rows = Rows()
    revocable = OfferedResource("cpus", b"r", 9000, usable=False)
    at = rows.add(offer("1", A, scalar("cpus", 500), revocable, scalar("knobs", 7)))
    rows.sync()

    assert rows.free("cpus")[at] == 500
    assert revocable not in rows[at].pool["cpus"]


def test_order_is_the_fullest_first_then_by_row_with_gpus_last() -> None:
    rows = Rows()
    big = rows.add(offer("1", A, scalar("cpus", 4000), scalar("mem", 1000)))
    gpu = rows.add(offer("2", B, scalar("cpus", 1), scalar("gpus", 1000)))
    small = rows.add(offer("3", C, scalar("cpus", 1000)))
    same = rows.add(offer("4", agent("d"), scalar("cpus", 1000)))
    rows.sync()

    assert rows.order.tolist() == [small, same, big, gpu]
    rows.pop(small)
    rows.sync()
    assert rows.order.tolist() == [same, big, gpu]


def test_there_is_no_row_where_none_was_added() -> None:
    rows = Rows()
    with pytest.raises(KeyError):
        rows[0]
    assert rows.get(-1) is None


class RowsMachine(RuleBasedStateMachine):
    """Whatever comes and goes, the columns are what the entries sum up to."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = Rows()
        self.held: dict[OfferId, Offer] = {}
        self.used: defaultdict[int, Counter[str]] = defaultdict(Counter)
        """By arrival of the row."""
        self.number = 0

    @rule(at=st.integers(0, 3), role=st.sampled_from([WEB, OPS]), entries=values.offered())
    def add(self, at: int, role: Any, entries: tuple[OfferedResource, ...]) -> None:
        self.number += 1
        made = Offer(
            OfferId(str(self.number)), role, AgentInfo(AgentId(f"a{at}"), f"h{at % 3}"), entries
        )
        self.held[made.offer_id] = made
        row = self.rows.add(made)
        assert self.rows.row_of(made.offer_id) == row

    @precondition(lambda self: bool(self.held))
    @rule(choice=st.randoms(use_true_random=False))
    def rescind(self, choice: Any) -> None:
        gone = choice.choice(sorted(self.held))
        del self.held[gone]
        assert self.rows.remove_offer(gone)

    @precondition(lambda self: bool(self.held))
    @rule(choice=st.randoms(use_true_random=False))
    def pop(self, choice: Any) -> None:
        row = self.rows.row_of(choice.choice(sorted(self.held)))
        assert row is not None
        for made in self.rows.pop(row):
            assert self.held.pop(made.offer_id) == made

    @precondition(lambda self: bool(self.held))
    @rule(choice=st.randoms(use_true_random=False), asked=values.amounts, seed=st.integers(0, 99))
    def take(self, choice: Any, asked: Amounts, seed: int) -> None:
        row = self.rows.row_of(choice.choice(sorted(self.held)))
        assert row is not None
        found = self.rows[row]
        group = Group(found.role, asked, (Port("any"),))
        for tasks in assign(self.rows, group, [(row, 2)], seed):
            used = self.used[found.arrival]
            for name in values.SCALARS:
                used[name] += len(tasks) * getattr(asked, name)
            used["ports"] += len(tasks)

    @rule()
    def clear(self) -> None:
        self.rows.clear()
        self.held.clear()
        self.used.clear()

    @rule(port=st.integers(values.PORT_MIN, values.PORT_MAX))
    def look_for_a_port(self, port: int) -> None:
        self.rows.sync()
        mask = self.rows.port_free(port)
        for row in range(self.rows.size):
            found = self.rows.get(row)
            free = found is not None and any(
                begin <= port <= end
                for entry in found.pool.get("ports", ())
                for begin, end in entry.ranges
            )
            assert mask[row] == free

    @invariant()
    def columns_follow_the_entries(self) -> None:
        rows = self.rows
        rows.sync()
        offers = [
            one.offer_id for row in range(rows.size) if (r := rows.get(row)) for one in r.offers
        ]
        assert sorted(offers) == sorted(self.held)
        for row in range(rows.size):
            found = rows.get(row)
            entries = [e for one in found.offers for e in one.resources] if found else []
            for name in COLUMN_NAMES:
                offered = amount_of(e for e in entries if e.name == name and e.usable)
                used = self.used[found.arrival][name] if found else 0
                assert rows.free(name)[row] == offered - used
                if found:
                    assert amount_of(rows.left(row).get(name, ())) == offered - used
            for role in (WEB, OPS):
                assert rows.in_role(role)[row] == (found is not None and found.role == role)

    @invariant()
    def the_order_is_the_one_a_plain_sort_gives(self) -> None:
        rows = self.rows
        free = [rows.free(name) for name in COLUMN_NAMES]
        expected = sorted(
            (row for row in range(rows.size) if rows.get(row)),
            key=lambda row: (free[3][row] > 0, free[0][row] * 4096 + free[1][row], row),
        )
        assert rows.order.tolist() == expected


TestRows = RowsMachine.TestCase
TestRows.settings = settings(unhurried, max_examples=60, stateful_step_count=30)


def test_columns_grow_with_the_rows() -> None:
    rows = Rows()
    for number in range(1000):
        rows.add(offer(str(number), agent(str(number)), scalar("cpus", number)))
        if number % 100 == 0:
            rows.sync()
    rows.sync()

    assert np.array_equal(rows.free("cpus"), np.arange(1000))
    assert rows.order.tolist() == list(range(1000))
