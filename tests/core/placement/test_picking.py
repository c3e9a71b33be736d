"""Placing where each choice bears on the next: as the obvious model does it, only faster."""

from collections import Counter
from collections.abc import Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.model.ids import AgentId
from scheduler.core.model.job import (
    Affinity,
    Constraint,
    Operator,
    Preferences,
    Spread,
    Strategy,
    Target,
)
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.group import Group, counted_attributes
from scheduler.core.placement.matcher import place
from scheduler.core.placement.reasons import Cause, Reason, sentence
from scheduler.core.placement.rows import Rows
from tests.core.placement import values
from tests.core.placement.obvious import Placement
from tests.core.placement.values import WEB, agent, offer, scalar, unhurried

NAMES = ("hostname", "@agent", "@zone", "rack")
VALUES = {
    "hostname": ["h0", "h1", "h2", "gone"],
    "@agent": ["a0", "a1", "a2", "gone"],
    "@zone": ["z1", "z2", "z3"],
    "rack": ["r1", "r2", "r3"],
}
names = st.sampled_from(NAMES)
few_valued = st.sampled_from(["@zone", "@zone", "rack", "rack", "hostname"])

counted = st.one_of(
    st.builds(Constraint, names, st.just(Operator.UNIQUE)),
    st.builds(Constraint, few_valued, st.just(Operator.CLUSTER)),
    st.builds(Constraint, few_valued, st.just(Operator.MAX_PER), count=st.integers(1, 3)),
    st.builds(Constraint, few_valued, st.just(Operator.GROUP_BY), count=st.integers(0, 4)),
)
liked = st.one_of(
    st.builds(
        Constraint,
        st.just("rack"),
        st.just(Operator.IN),
        values=st.lists(st.sampled_from(VALUES["rack"]), max_size=2).map(tuple),
    ),
    values.conditions,
)
affinities = st.lists(st.builds(Affinity, liked, st.integers(-100, 100)), max_size=2).map(tuple)


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    name = draw(few_valued)
    targets = st.builds(Target, st.sampled_from(VALUES[name]), st.integers(0, 50))
    drawn = draw(st.lists(targets, max_size=2, unique_by=lambda target: target.value))
    return Spread(name, tuple(drawn), draw(st.sampled_from([50, 50, 1, 100])))


preferences = st.builds(
    Preferences,
    affinities=st.one_of(st.just(()), affinities),
    spread=st.lists(spreads(), max_size=2, unique_by=lambda spread: spread.attribute).map(tuple),
    strategy=st.sampled_from([Strategy.BIN_PACK, Strategy.BIN_PACK, Strategy.SPREAD]),
)


@st.composite
def offers_of_racks(draw: st.DrawFn) -> list[Offer]:
    """Agents with room for several instances, in zones and racks that repeat."""
    zones = st.sampled_from(["z1", "z1", "z2", "z2", "z3", ""])
    racks = st.sampled_from(["r1", "r2", "r3"])
    made = []
    for number in range(draw(st.integers(2, 9))):
        host = number if draw(st.integers(0, 4)) else 0
        attributes = (("rack", draw(racks)),) if draw(st.integers(0, 5)) else ()
        info = AgentInfo(AgentId(f"a{number}"), f"h{host}", attributes=attributes, zone=draw(zones))
        resources = [scalar("cpus", draw(st.integers(1, 6))), scalar("mem", 4)]
        if not draw(st.integers(0, 4)):
            resources.append(scalar("gpus", 1))
        made.append(offer(f"o{number}", info, *resources))
    return made


@st.composite
def groups(draw: st.DrawFn) -> Group:
    constraints = tuple(draw(st.lists(counted, max_size=2, unique=True)))
    if not draw(st.integers(0, 3)):
        constraints += (draw(values.plain),)
    prefer = draw(preferences) if draw(st.booleans()) else Preferences()
    counts = {
        name: draw(
            st.dictionaries(st.sampled_from(VALUES[name]), st.integers(0, 3), max_size=3)
            if draw(st.booleans())
            else st.just({})
        )
        for name in counted_attributes(constraints, prefer)
    }
    return Group(
        WEB,
        Amounts(cpus=draw(st.integers(1, 2)), mem=draw(st.integers(0, 1))),
        constraints=constraints,
        prefer=prefer,
        counts=counts,
        instances=draw(st.integers(1, 12)),
    )


@settings(unhurried, max_examples=150)
@given(st.one_of(offers_of_racks(), values.offer_lists()), groups(), st.integers(0, 10))
def test_places_are_those_of_the_obvious_model(
    offers: list[Offer], group: Group, count: int
) -> None:
    rows = table(*offers)
    model = Placement(rows, group)

    placed = place(rows, group, count)

    assert dict(placed.shares) == model.run(count)
    missing = count - placed.instances
    assert (placed.shortfall is not None) == (missing > 0)
    if placed.shortfall is not None:
        assert placed.shortfall.missing == missing
        held = rows.by_role(group.role)
        assert placed.shortfall.rows == len(held)
        assert sum(cause.rows for cause in placed.shortfall.causes) == len(held)


@st.composite
def offers_of_nested(draw: st.DrawFn) -> list[Offer]:
    """Hosts in racks in zones, as clusters are built; a few lack a value, or share a host."""
    racks = draw(st.integers(1, 4))
    made = []
    for number in range(draw(st.integers(3, 14))):
        rack = draw(st.integers(0, racks - 1))
        host = number if draw(st.integers(0, 6)) else number % racks
        attributes = (("rack", f"r{rack + 1}"),) if draw(st.integers(0, 9)) else ()
        zone = f"z{rack % 2 + 1}" if draw(st.integers(0, 9)) else ""
        info = AgentInfo(AgentId(f"a{number}"), f"h{host}", attributes=attributes, zone=zone)
        cpus = scalar("cpus", draw(st.integers(1, draw(st.sampled_from([2, 20])))))
        made.append(offer(f"o{number}", info, cpus, scalar("mem", 20)))
    return made


@settings(unhurried, max_examples=100)
@given(offers_of_nested(), groups(), st.integers(5, 60))
def test_places_of_many_instances_are_those_of_the_obvious_model(
    offers: list[Offer], group: Group, count: int
) -> None:
    rows = table(*offers)

    placed = place(rows, group, count)

    assert dict(placed.shares) == Placement(rows, group).run(count)


@settings(unhurried, max_examples=50)
@given(offers_of_racks(), groups(), st.integers(0, 20), st.integers(1, 3))
def test_what_is_chosen_one_by_one_may_be_chosen_in_parts(
    offers: list[Offer], group: Group, count: int, most: int
) -> None:
    rows = table(*offers)
    whole = place(rows, group, count)

    part = place(rows, group, count, most)

    if not part.later:
        assert part == whole
    else:
        assert part.later == count - most
        assert part.shortfall is None
        assert part.shares == place(rows, group, most).shares


def table(*offers: Offer) -> Rows:
    rows = Rows()
    for one in offers:
        rows.add(one)
    return rows


# --- each word by itself -------------------------------------------------------------------------


def in_zones(*zones: str, cpus: int = 9) -> Rows:
    """One agent with room for nine a zone named; the same zone may be named again."""
    return table(
        *(
            offer(f"o{at}", AgentInfo(AgentId(f"a{at}"), f"h{at}", zone=zone), scalar("cpus", cpus))
            for at, zone in enumerate(zones)
        )
    )


def wanting(
    *constraints: Constraint,
    counts: Mapping[str, Mapping[str, int]] = {},
    prefer: Preferences = Preferences(),  # noqa: B008 - a frozen value
    instances: int = 10,
) -> Group:
    return Group(
        WEB,
        Amounts(cpus=1),
        constraints=constraints,
        prefer=prefer,
        counts=counts,
        instances=instances,
    )


def placed_by_zone(rows: Rows, group: Group, count: int) -> dict[str, int]:
    zones: Counter[str] = Counter()
    for row, instances in place(rows, group, count).shares:
        zones[rows[row].agent.zone] += instances
    return dict(zones)


def zone(operator: Operator, count: int = 0) -> Constraint:
    return Constraint("@zone", operator, count=count)


def test_unique_gives_each_value_one_task() -> None:
    rows = in_zones("a", "a", "b", "c", "")
    group = wanting(zone(Operator.UNIQUE), counts={"@zone": {"c": 1}})

    assert placed_by_zone(rows, group, 9) == {"a": 1, "b": 1}


def test_max_per_gives_each_value_so_many_with_those_that_run() -> None:
    rows = in_zones("a", "a", "b", "c", "")
    group = wanting(zone(Operator.MAX_PER, 3), counts={"@zone": {"c": 4, "b": 1}})

    assert placed_by_zone(rows, group, 9) == {"a": 3, "b": 2}


def test_a_cluster_stays_where_it_is_and_else_goes_where_most_fit() -> None:
    rows = in_zones("a", "b", "b", "b", "c", cpus=2)

    assert placed_by_zone(rows, wanting(zone(Operator.CLUSTER)), 5) == {"b": 5}
    there = wanting(zone(Operator.CLUSTER), counts={"@zone": {"c": 1}})
    assert placed_by_zone(rows, there, 5) == {"c": 2}
    elsewhere = wanting(zone(Operator.CLUSTER), counts={"@zone": {"d": 1}})
    assert placed_by_zone(rows, elsewhere, 5) == {}


def test_group_by_keeps_values_level() -> None:
    rows = in_zones("a", "a", "b", "c", "")

    assert placed_by_zone(rows, wanting(zone(Operator.GROUP_BY)), 6) == {"a": 2, "b": 2, "c": 2}
    running = wanting(zone(Operator.GROUP_BY), counts={"@zone": {"a": 2, "b": 1}})
    assert placed_by_zone(rows, running, 3) == {"b": 1, "c": 2}


def test_group_by_waits_for_a_value_that_runs_tasks_and_offers_nothing() -> None:
    rows = in_zones("a", "b")
    group = wanting(zone(Operator.GROUP_BY), counts={"@zone": {"gone": 1}})

    assert placed_by_zone(rows, group, 9) == {"a": 2, "b": 2}


def test_group_by_of_more_values_than_are_seen_waits_for_the_rest() -> None:
    rows = in_zones("a", "b")

    assert placed_by_zone(rows, wanting(zone(Operator.GROUP_BY, 3)), 9) == {"a": 1, "b": 1}
    assert placed_by_zone(rows, wanting(zone(Operator.GROUP_BY, 2)), 9) == {"a": 5, "b": 4}
    third = wanting(zone(Operator.GROUP_BY, 3), counts={"@zone": {"c": 1}})
    assert placed_by_zone(rows, third, 9) == {"a": 2, "b": 2}


def test_group_by_heeds_a_value_whose_agents_leave_soon() -> None:
    rows = table(
        offer("1", AgentInfo(AgentId("a"), "a", zone="a"), scalar("cpus", 9)),
        msgspec.structs.replace(
            offer("2", AgentInfo(AgentId("b"), "b", zone="b"), scalar("cpus", 9)),
            unavailable_from=5.0,
        ),
    )
    group = msgspec.structs.replace(wanting(zone(Operator.GROUP_BY)), stays_until=10.0)

    assert placed_by_zone(rows, group, 1) == {"a": 1}
    assert placed_by_zone(rows, group, 4) == {"a": 2, "b": 2}


def test_what_is_counted_is_a_reason_of_its_own() -> None:
    rows = in_zones("a", "b", "")
    constraint = zone(Operator.GROUP_BY, 3)

    placed = place(rows, wanting(constraint), 5)

    assert placed.shortfall is not None
    assert placed.shortfall.causes == (
        Cause(Reason.CONSTRAINT, rows=3, alone=3, constraint=constraint),
    )
    assert sentence(placed.shortfall) == "3 offers: 3 fail `@zone group_by 3`"


def test_a_liked_row_is_taken_first_and_a_disliked_one_last() -> None:
    rows = in_zones("a", "b", "c", cpus=2)
    likes = Affinity(Constraint("@zone", Operator.IS, "c"), 50)
    dislikes = Affinity(Constraint("@zone", Operator.IS, "a"), -50)
    group = wanting(prefer=Preferences(affinities=(likes, dislikes)))

    assert [row for row, _ in place(rows, group, 6).shares] == [2, 1, 0]


def test_the_heavier_affinity_wins() -> None:
    rows = in_zones("a", "b")
    weights = {"a": 30, "b": 31}
    group = wanting(
        prefer=Preferences(
            tuple(
                Affinity(Constraint("@zone", Operator.IS, value), weight)
                for value, weight in weights.items()
            )
        )
    )

    assert placed_by_zone(rows, group, 1) == {"b": 1}


def test_spread_shares_evenly_and_fills_up_what_has_fewer() -> None:
    rows = in_zones("a", "a", "b", "c")
    group = wanting(prefer=Preferences(spread=(Spread("@zone"),)), counts={"@zone": {"a": 3}})

    assert placed_by_zone(rows, group, 9) == {"a": 1, "b": 4, "c": 4}


def test_spread_follows_its_targets_while_it_grows() -> None:
    rows = in_zones("a", "b", "c", cpus=100)
    spread = Spread("@zone", (Target("a", 60), Target("b", 30)))

    for count, shared in (
        (10, {"a": 6, "b": 3, "c": 1}),
        (20, {"a": 12, "b": 6, "c": 2}),
    ):
        group = wanting(prefer=Preferences(spread=(spread,)), counts={"@zone": {}}, instances=count)
        assert placed_by_zone(rows, group, count) == shared


def test_spread_rules_nothing_out() -> None:
    rows = in_zones("a", cpus=5)
    group = wanting(prefer=Preferences(spread=(Spread("@zone", (Target("b", 100),)),)))

    assert placed_by_zone(rows, group, 5) == {"a": 5}


def test_the_strategy_spread_goes_round_the_emptiest_rows() -> None:
    rows = table(
        offer("1", agent("a"), scalar("cpus", 3)),
        offer("2", agent("b"), scalar("cpus", 5)),
        offer("3", agent("c"), scalar("cpus", 4), scalar("gpus", 1)),
    )
    group = wanting(prefer=Preferences(strategy=Strategy.SPREAD))

    assert dict(place(rows, group, 4).shares) == {1: 3, 0: 1}
    assert dict(place(rows, group, 9).shares) == {1: 5, 0: 3, 2: 1}


def test_the_strategy_random_is_fair_and_the_same_for_the_same_seed() -> None:
    rows = in_zones(*"abcdefgh", cpus=4)
    seen: Counter[int] = Counter()
    for seed in range(50):
        group = Group(WEB, Amounts(cpus=1), prefer=Preferences(strategy=Strategy.RANDOM), seed=seed)
        placed = place(rows, group, 8)
        assert placed == place(rows, group, 8)
        assert placed.instances == 8
        seen.update(dict(placed.shares))

    assert len(seen) == 8
    assert min(seen.values()) > 25
