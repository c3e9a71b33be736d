"""Placing groups: never too much, never silently too little, always the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.model.ids import OfferId
from scheduler.core.model.job import Constraint, Operator, Port
from scheduler.core.model.offer import Offer
from scheduler.core.model.resources import Amounts, CarvedResource
from scheduler.core.placement.group import Group
from scheduler.core.placement.matcher import assign, place
from scheduler.core.placement.reasons import Reason
from scheduler.core.placement.rows import Rows
from tests.core.placement import values
from tests.core.placement.obvious import admits
from tests.core.placement.test_carve import entries_of, fits, total
from tests.core.placement.values import OPS, WEB, agent, offer, ports, scalar, unhurried

ANY = Port("any")
UNIQUE = Constraint("hostname", Operator.UNIQUE)
queues = st.lists(st.tuples(values.groups, st.integers(0, 6)), max_size=5)


def table(*offers: Offer) -> Rows:
    rows = Rows()
    for one in offers:
        rows.add(one)
    return rows


def could_run(rows: Rows, row: int, group: Group, taken: frozenset[str]) -> bool:
    """The slow, obvious model of one instance on one row."""
    found = rows[row]
    return (
        found.role == group.role
        and all(
            found.agent.hostname not in taken if one == UNIQUE else admits(found.agent, one)
            for one in group.constraints
        )
        and fits(entries_of(rows.left(row)), group.amounts, group.ports)
    )


@settings(unhurried, max_examples=200)
@given(values.offer_lists(), queues)
def test_nothing_is_over_committed_and_everything_is_placed_or_explained(
    offers: list[Offer], queue: list[tuple[Group, int]]
) -> None:
    rows = table(*offers)
    pieces: dict[int, list[CarvedResource]] = {}
    for group, count in queue:
        placed = place(rows, group, count)
        taken = group.taken_hosts
        for row, instances in placed.shares:
            for seed in range(instances):
                assert could_run(rows, row, group, taken)
                ((carved,),) = assign(rows, group, [(row, 1)], seed)
                pieces.setdefault(row, []).extend(carved.resources)
                taken |= {rows[row].agent.hostname}
        missing = count - placed.instances
        assert (placed.shortfall is not None) == (missing > 0)
        if placed.shortfall is None:
            continue
        assert placed.shortfall.missing == missing
        held = rows.by_role(group.role)
        assert not any(could_run(rows, row, group, taken) for row in held)
        assert placed.shortfall.rows == len(held)
        assert sum(cause.rows for cause in placed.shortfall.causes) == len(held)
        assert all(0 <= cause.alone <= cause.rows for cause in placed.shortfall.causes)
    for row, carved_pieces in pieces.items():
        offered = [entry for one in rows[row].offers for entry in one.resources if entry.usable]
        assert total(carved_pieces) <= total(offered)
        assert total(carved_pieces) + total(entries_of(rows.left(row))) == total(offered)


@settings(unhurried, max_examples=50)
@given(values.offer_lists(), queues)
def test_the_same_offers_and_groups_give_the_same_places(
    offers: list[Offer], queue: list[tuple[Group, int]]
) -> None:
    def run() -> list[object]:
        rows = table(*offers)
        seen: list[object] = []
        for group, count in queue:
            placed = place(rows, group, count)
            seen.append(placed)
            seen += assign(rows, group, placed.shares, 7)
        return seen

    assert run() == run()


def test_the_fullest_row_is_filled_before_the_next() -> None:
    rows = table(
        offer("1", agent("a"), scalar("cpus", 9000)),
        offer("2", agent("b"), scalar("cpus", 3000)),
        offer("3", agent("c"), scalar("cpus", 500)),
    )

    placed = place(rows, Group(WEB, Amounts(cpus=1000)), 5)

    assert placed.shares == ((1, 3), (0, 2))


def test_unique_takes_each_host_once_however_many_agents_it_has() -> None:
    twin = agent("a")
    rows = table(
        offer("1", agent("a"), scalar("cpus", 9000)),
        offer("2", type(twin)(agent("x").agent_id, twin.hostname), scalar("cpus", 9000)),
        offer("3", agent("b"), scalar("cpus", 9000)),
        offer("4", agent("c"), scalar("cpus", 9000)),
    )
    group = Group(
        WEB, Amounts(cpus=1000), constraints=(UNIQUE,), counts={"hostname": {"c.example": 1}}
    )

    placed = place(rows, group, 5)

    assert placed.shares == ((0, 1), (2, 1))
    assert placed.shortfall is not None
    assert [(c.reason, c.rows) for c in placed.shortfall.causes] == [(Reason.HOST_TAKEN, 4)]


def test_a_fixed_port_is_used_once_an_agent() -> None:
    rows = table(
        offer("1", agent("a"), ports((80, 90))),
        offer("2", agent("b"), ports((80, 90))),
        offer("3", agent("c"), ports((81, 90))),
    )
    group = Group(WEB, Amounts(), (Port("http", 80), ANY))

    placed = place(rows, group, 9)

    assert placed.shares == ((0, 1), (1, 1))
    assert placed.shortfall is not None
    assert [(c.reason, c.rows, c.port) for c in placed.shortfall.causes] == [
        (Reason.FIXED_PORT, 3, 80)
    ]


def test_dynamic_ports_bound_what_a_row_holds() -> None:
    rows = table(offer("1", agent("a"), scalar("cpus", 9000), ports((80, 84))))

    placed = place(rows, Group(WEB, Amounts(cpus=1), (ANY, ANY)), 9)

    assert placed.shares == ((0, 2),)
    assert placed.shortfall is not None
    (cause,) = placed.shortfall.causes
    assert (cause.reason, cause.rows, cause.alone, cause.short) == (Reason.PORTS, 1, 1, 1)


def test_agents_with_gpus_are_kept_for_those_who_ask_for_them() -> None:
    rows = table(
        offer("1", agent("a"), scalar("cpus", 1000), scalar("gpus", 1000)),
        offer("2", agent("b"), scalar("cpus", 8000)),
    )

    assert place(rows, Group(WEB, Amounts(cpus=1000)), 2).shares == ((1, 2),)
    assert place(rows, Group(WEB, Amounts(cpus=1000, gpus=1000)), 2).shares == ((0, 1),)


def test_without_offers_of_the_role_that_is_the_reason() -> None:
    rows = table(offer("1", agent("a"), scalar("cpus", 1000), role=OPS))

    placed = place(rows, Group(WEB, Amounts(cpus=1)), 3)

    assert placed.shares == ()
    assert placed.shortfall is not None
    assert (placed.shortfall.missing, placed.shortfall.rows) == (3, 0)
    assert [cause.reason for cause in placed.shortfall.causes] == [Reason.NO_OFFERS]


def test_what_the_best_row_lacks_is_told_for_rows_that_fail_by_nothing_else() -> None:
    is_r1 = Constraint("rack", Operator.IS, "r1")
    rows = table(
        offer("1", agent("a", rack="r1"), scalar("cpus", 900)),
        offer("2", agent("b", rack="r1"), scalar("cpus", 600), scalar("mem", 500)),
        offer("3", agent("c", rack="r2"), scalar("cpus", 9000), scalar("mem", 9000)),
        offer("4", agent("d", rack="r1"), scalar("cpus", 9000), scalar("mem", 300)),
    )

    placed = place(rows, Group(WEB, Amounts(cpus=1000, mem=500), (), (is_r1,)), 1)

    assert placed.shortfall is not None
    found = [(c.reason, c.rows, c.alone, c.short) for c in placed.shortfall.causes]
    assert found == [
        (Reason.CONSTRAINT, 1, 1, 0),
        (Reason.CPUS, 2, 1, 400),
        (Reason.MEM, 1, 1, 200),
    ]


def test_a_row_that_has_gone_or_shrunk_since_gives_nothing() -> None:
    rows = table(offer("1", agent("a"), scalar("cpus", 1000)))
    group = Group(WEB, Amounts(cpus=600))
    shares = place(rows, group, 1).shares

    assert [len(tasks) for tasks in assign(rows, group, [(shares[0][0], 2)], 0)] == [1]
    assert assign(rows, group, shares, 0) == [()]
    rows.remove_offer(OfferId("1"))
    assert assign(rows, group, shares, 0) == [()]


def test_several_offers_of_an_agent_are_used_together() -> None:
    rows = table(
        offer("1", agent("a"), scalar("cpus", 600)), offer("2", agent("a"), scalar("cpus", 600))
    )
    group = Group(WEB, Amounts(cpus=1000))

    ((carved,),) = assign(rows, group, place(rows, group, 1).shares, 0)

    assert carved.resources == (CarvedResource("cpus", b"", 1000),)
