"""What stands in the way on each agent that is known, offered or not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.ids import Role
from scheduler.core.model.job import Constraint, Operator, Port
from scheduler.core.model.offer import AgentInfo, AgentSeen, Offer
from scheduler.core.model.resources import Amounts, PortRange
from scheduler.core.placement.carve import Pool, pooled
from scheduler.core.placement.constraints import satisfies
from scheduler.core.placement.group import Group, uncounted_among
from scheduler.core.placement.matcher import place
from scheduler.core.placement.needs import hides, needs_of
from scheduler.core.placement.outlook import (
    Access,
    Obstacle,
    Spot,
    obstacles,
    outlook,
)
from scheduler.core.placement.reasons import Basis, Reason
from scheduler.core.placement.rows import Rows
from scheduler.core.returned import GivenBack
from tests.builders import a_template
from tests.core.placement.values import (
    WEB,
    agent,
    agents,
    counting,
    groups,
    offer_lists,
    ports,
    scalar,
    unhurried,
)

NOW = 1000.0
OPEN = Access(NOW, listed_at=NOW - 20.0)
A = agent("a", rack="r1")
UNIQUE = Constraint("hostname", Operator.UNIQUE)
RACK = Constraint("rack", Operator.IS, "r2")
ASKED = Group(WEB, Amounts(cpus=4, mem=4))


def pool(cpus: int = 9, mem: int = 9) -> Pool:
    return pooled({}, (scalar("cpus", cpus), scalar("mem", mem), ports((8000, 8001))))


def seen(
    cpus: int = 9,
    *,
    used: int = 0,
    offered: int = 0,
    gpus: int = 0,
    active: bool = True,
    reserved: tuple[tuple[Role, Amounts], ...] = (),
    at: AgentInfo = A,
) -> AgentSeen:
    total = Amounts(cpus, 9, gpus=gpus)
    return AgentSeen(at, active, total, Amounts(used), Amounts(offered), reserved)


def reasons(group: Group, spot: Spot, access: Access = OPEN) -> list[Reason]:
    return [one.reason for one in obstacles(group, spot, access)]


@unhurried
@given(offers=offer_lists(), group=counting())
def test_of_what_we_hold_it_says_the_same_as_the_matcher(offers: list[Offer], group: Group) -> None:
    rows = Rows()
    for offer in offers:
        rows.add(offer)
    held = [rows[row] for row in rows.by_role(group.role)]
    seen_ = outlook(group, [Spot(row.agent, row.pool) for row in held], OPEN)
    assert (seen_.fit > 0) == bool(place(rows, group, 1).shares)
    assert seen_.agents == len(held) == seen_.fit + sum(cause.rows for cause in seen_.causes)
    for cause in seen_.causes:
        assert 0 <= cause.alone <= cause.rows
    if not seen_.fit and held:
        shortfall = place(rows, group, 1).shortfall
        assert shortfall is not None
        # The matcher does not tell a missing attribute from one of another value.
        agents = {(_reason(c.reason), c.constraint, c.port): c.short for c in seen_.causes}
        offered = {(_reason(c.reason), c.constraint, c.port): c.short for c in shortfall.causes}
        assert agents.keys() <= offered.keys()


def _reason(reason: Reason) -> Reason:
    return Reason.CONSTRAINT if reason is Reason.ATTRIBUTE_MISSING else reason


def test_what_is_held_and_large_enough_has_no_obstacle() -> None:
    assert obstacles(ASKED, Spot(A, pool()), OPEN) == ()


def test_a_lack_says_of_what() -> None:
    [of_offer] = obstacles(ASKED, Spot(A, pool(cpus=3), listed=seen(used=6)), OPEN)
    assert (of_offer.reason, of_offer.short, of_offer.of) == (Reason.CPUS, 1, Basis.OFFERED)
    [of_free] = obstacles(ASKED, Spot(A, listed=seen(used=7)), OPEN)
    assert (of_free.reason, of_free.short, of_free.of) == (Reason.CPUS, 2, Basis.FREE)
    [of_total] = obstacles(ASKED, Spot(A, pool(cpus=1), listed=seen(cpus=1)), OPEN)
    assert (of_total.reason, of_total.short, of_total.of) == (Reason.CPUS, 3, Basis.TOTAL)


def test_the_list_and_the_last_offer_count_whichever_is_newer() -> None:
    small = pool(cpus=1)
    older = GivenBack(small, NOW - 30.0, NOW - 1.0)
    newer = GivenBack(small, NOW - 10.0, NOW - 1.0)
    assert reasons(ASKED, Spot(A, back=older, listed=seen())) == [Reason.NOT_OFFERED]
    assert reasons(ASKED, Spot(A, back=newer, listed=seen())) == [Reason.CPUS]
    assert reasons(ASKED, Spot(A, back=older)) == [Reason.CPUS]


def test_ports_are_counted_in_the_list_too() -> None:
    listed = msgspec.structs.replace(seen(), free_ports=(PortRange(8000, 8001),))
    group = Group(WEB, Amounts(), (Port("a"), Port("b"), Port("c")))
    [short] = obstacles(group, Spot(A, listed=listed), OPEN)
    assert (short.reason, short.short) == (Reason.PORTS, 1)
    fixed = Group(WEB, Amounts(), (Port("a", 9999),))
    assert reasons(fixed, Spot(A, listed=listed)) == [Reason.FIXED_PORT]
    assert reasons(fixed, Spot(A, listed=seen())) == [Reason.NOT_OFFERED]


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (seen(active=False), Reason.AGENT_INACTIVE),
        (seen(offered=6), Reason.OFFERED_ELSEWHERE),
        (seen(reserved=((Role("ops"), Amounts(6)),)), Reason.OTHER_ROLE),
        (seen(reserved=((WEB, Amounts(6)),)), Reason.NOT_OFFERED),
        (seen(gpus=1), Reason.GPU_AGENT),
        (seen(), Reason.NOT_OFFERED),
    ],
)
def test_why_an_agent_is_not_offered(listed: AgentSeen, reason: Reason) -> None:
    assert reasons(ASKED, Spot(A, listed=listed)) == [reason]


def test_reservations_of_a_role_above_are_ours_too() -> None:
    below = Group(Role("eng/web"), ASKED.amounts)
    reserved = ((Role("eng"), Amounts(6)),)
    assert reasons(below, Spot(A, listed=seen(reserved=reserved))) == [Reason.NOT_OFFERED]
    beside = Group(Role("engine"), ASKED.amounts)
    assert reasons(beside, Spot(A, listed=seen(reserved=reserved))) == [Reason.OTHER_ROLE]


def test_what_we_refused_is_named_with_its_end() -> None:
    back = GivenBack(pool(), NOW - 10.0, NOW + 50.0)
    [refused] = obstacles(ASKED, Spot(A, back=back), OPEN)
    assert (refused.reason, refused.until) == (Reason.REFUSED, NOW + 50.0)
    unhidden = Access(NOW, unhidden_at=NOW - 5.0)
    assert reasons(ASKED, Spot(A, back=back), unhidden) == [Reason.NOT_OFFERED]
    assert reasons(ASKED, Spot(A, back=back), Access(NOW, suppressed=True)) == [Reason.SUPPRESSED]


def test_what_is_hidden_tells_when_all_is_asked_for_anew() -> None:
    back = GivenBack(pool(), NOW - 10.0, NOW + 50.0)
    for access in (
        Access(NOW, suppressed=True, revive_at=NOW + 2.0),
        Access(NOW, revive_at=NOW + 2.0),
    ):
        (cause,) = outlook(ASKED, [Spot(A, back=back)], access).causes
        assert cause.until == NOW + 2.0


def test_what_the_master_was_told_that_we_need_may_hide_an_agent() -> None:
    template = a_template(constraints=(RACK,))
    access = Access(NOW, needs=needs_of([template], 10))
    assert reasons(ASKED, Spot(A, listed=seen()), access) == [Reason.OFFER_CONSTRAINTS]
    other = seen(at=agent("b", rack="r2"))
    large = needs_of([a_template(cpus=1, mem=10)], 10)
    assert reasons(ASKED, Spot(other.agent, listed=other), access) == [Reason.OFFER_CONSTRAINTS]
    assert reasons(ASKED, Spot(A, listed=seen()), Access(NOW, needs=large)) == [
        Reason.OFFER_CONSTRAINTS
    ]
    small = needs_of([a_template(cpus=1, mem=1)], 10)
    assert reasons(ASKED, Spot(A, listed=seen()), Access(NOW, needs=small)) == [Reason.NOT_OFFERED]


@unhurried
@given(agent_=agents, group=groups)
def test_no_agent_that_would_do_is_hidden_by_what_it_is_needed_for(
    agent_: AgentInfo, group: Group
) -> None:
    fits = all(satisfies(agent_, one) for one in uncounted_among(group.constraints))
    needs = needs_of([a_template(constraints=group.constraints)], 10)
    assert not (fits and hides(needs, agent_))


def test_a_missing_attribute_is_told_from_another_value() -> None:
    group = Group(WEB, Amounts(), constraints=(RACK, Constraint("ssd", Operator.IS, "yes")))
    assert obstacles(group, Spot(A, pool()), OPEN) == (
        Obstacle(Reason.CONSTRAINT, constraint=RACK),
        Obstacle(Reason.ATTRIBUTE_MISSING, constraint=Constraint("ssd", Operator.IS, "yes")),
    )


def test_a_value_whose_agents_are_full_holds_no_other_back() -> None:
    level = Constraint("rack", Operator.GROUP_BY)
    group = Group(WEB, Amounts(cpus=1), constraints=(level,), counts={"rack": {"r1": 1}})
    r1, r2 = Spot(agent("a", rack="r1"), pool(cpus=1)), Spot(agent("b", rack="r2"), pool(cpus=0))

    assert outlook(group, [r1, r2], OPEN).fit == 1
    with_room = Spot(r2.agent, pool(cpus=1))
    told = outlook(group, [r1, with_room], OPEN)
    assert (told.fit, [cause.constraint for cause in told.causes]) == (1, [level])


def test_the_nearest_changes_are_found() -> None:
    group = Group(WEB, Amounts(cpus=4, mem=4), constraints=(UNIQUE, RACK))
    r2 = [agent(f"n{number}", rack="r2") for number in range(6)]
    taken = msgspec.structs.replace(group, counts={"hostname": {r2[5].hostname: 1}})
    spots = [
        Spot(r2[0], pool(mem=3)),
        Spot(r2[1], pool(mem=3)),
        Spot(r2[2], pool(mem=1)),
        Spot(r2[3], pool(cpus=1, mem=1)),
        Spot(A, pool()),
        Spot(r2[5], pool()),
    ]
    seen_ = outlook(taken, spots, OPEN)
    helps = {(one.reason, one.agents, one.by) for one in seen_.helps}
    assert helps == {(Reason.MEM, 2, 1), (Reason.CONSTRAINT, 1, 0), (Reason.HOST_TAKEN, 1, 0)}
    assert seen_.helps[0].reason is Reason.MEM


def test_asking_for_nothing_is_no_help() -> None:
    seen_ = outlook(ASKED, [Spot(A, pool(cpus=0))], OPEN)
    assert seen_.helps == ()


@given(st.integers(0, 3), st.integers(0, 3))
def test_causes_sum_up_to_the_agents(small: int, large: int) -> None:
    spots = [Spot(A, pool(cpus=1))] * small + [Spot(A, pool())] * large
    seen_ = outlook(ASKED, spots, OPEN)
    assert (seen_.agents, seen_.fit) == (small + large, large)
    assert sum(cause.rows for cause in seen_.causes) == small
