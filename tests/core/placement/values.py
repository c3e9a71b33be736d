"""Agents, offers and groups for the placement tests, small enough that bounds are met often."""

from collections import defaultdict

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.job import (
    COUNTED,
    Combined,
    Condition,
    Constraint,
    Junction,
    Operator,
    Port,
)
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts, OfferedResource, PortRange
from scheduler.core.placement.group import Group

SCALARS = ("cpus", "mem", "disk", "gpus", "revocable_cpus")
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For rules that must hold on a busy machine too."""

WEB = Role("web")
OPS = Role("ops")


def agent(name: str, **attributes: str) -> AgentInfo:
    return AgentInfo(AgentId(name), f"{name}.example", attributes=tuple(attributes.items()))


def scalar(
    name: str, amount: int, identity: bytes = b"", reserved: bool = False
) -> OfferedResource:
    return OfferedResource(name, identity, amount, reserved=reserved)


def ports(
    *ranges: tuple[int, int], identity: bytes = b"", reserved: bool = False
) -> OfferedResource:
    return OfferedResource(
        "ports", identity, ranges=tuple(PortRange(*one) for one in ranges), reserved=reserved
    )


def offer(
    name: str,
    at: AgentInfo,
    *resources: OfferedResource,
    role: Role = WEB,
) -> Offer:
    return Offer(OfferId(name), role, at, resources)


# --- strategies ----------------------------------------------------------------------------------

amounts = st.builds(
    Amounts,
    cpus=st.integers(0, 6),
    mem=st.integers(0, 6),
    disk=st.integers(0, 2),
    gpus=st.integers(0, 1),
    revocable_cpus=st.sampled_from([0, 0, 1, 3]),
)

PORT_MIN, PORT_MAX = 8000, 8011

asked_ports = st.lists(
    st.one_of(
        st.just(Port("any")),
        st.builds(Port, name=st.just("fixed"), host=st.integers(PORT_MIN - 1, PORT_MAX + 1)),
    ),
    max_size=4,
).map(tuple)


def _ranges_of(free: set[int]) -> tuple[PortRange, ...]:
    """Some cut of the ports in ranges; neighbours are sometimes left apart."""
    ranges: list[PortRange] = []
    for port in sorted(free):
        if ranges and ranges[-1].end == port - 1 and port % 5:
            ranges[-1] = PortRange(ranges[-1].begin, port)
        else:
            ranges.append(PortRange(port, port))
    return tuple(ranges)


@st.composite
def offered(draw: st.DrawFn) -> tuple[OfferedResource, ...]:
    """Entries of one agent: several identities a name, some reserved, some not usable; each port
    once."""
    entries = draw(
        st.lists(
            st.builds(
                OfferedResource,
                name=st.sampled_from(("cpus", "mem", *SCALARS)),
                identity=st.sampled_from([b"a", b"b"]),
                scalar=st.integers(1, 5),
                reserved=st.booleans(),
                usable=st.sampled_from([True, True, True, False]),
            ),
            max_size=8,
        )
    )
    owner = draw(st.dictionaries(st.integers(PORT_MIN, PORT_MAX), st.integers(0, 3), max_size=12))
    for place in range(4):
        free = {port for port, at in owner.items() if at == place}
        if free:
            reserved, usable = place == 1, place != 3
            identity = b"a" if place == 2 else b"%d" % place
            entries.append(
                OfferedResource("ports", identity, 0, _ranges_of(free), reserved, usable)
            )
    return tuple(draw(st.permutations(entries)))


bounds = st.sampled_from(["", "2", "2.5", "10", "-1", "1.9.3", "v2.0", "r1", "٣"])

agents = st.builds(
    lambda number, host, attributes, region, zone: AgentInfo(
        AgentId(f"a{number}"), f"h{host}", "", tuple(attributes), region, zone
    ),
    st.integers(0, 5),
    st.integers(0, 4),
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["rack", "os"]), st.sampled_from(["r1", "r2", "r11"])),
            st.tuples(st.just("size"), bounds),
        ),
        max_size=4,
    ),
    st.sampled_from(["", "east"]),
    st.sampled_from(["", "z1", "z2"]),
)

attribute_names = st.sampled_from(["hostname", "@agent", "@region", "@zone", "rack", "os", "size"])
patterns = st.sampled_from(["", "r1", "r.*", "h[0-2]", "z1", "east", "(", "r11|r2", "a[12]"])

plain = st.one_of(
    st.builds(
        Constraint,
        attribute_names,
        st.sampled_from([Operator.IS, Operator.LIKE, Operator.UNLIKE]),
        patterns,
    ),
    st.builds(
        Constraint,
        attribute_names,
        st.just(Operator.IN),
        values=st.lists(st.sampled_from(["r1", "r2", "h0", "z1", "2"]), max_size=3).map(tuple),
    ),
    st.builds(
        Constraint,
        st.just("size"),
        st.sampled_from([Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST]),
        bounds,
    ),
)
"""Constraints that say something of an agent alone."""


def conditions_of(leaves: st.SearchStrategy[Constraint]) -> st.SearchStrategy[Condition]:
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            Combined,
            st.sampled_from(list(Junction)),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
        ),
        max_leaves=5,
    )


conditions = conditions_of(plain)


@st.composite
def offer_lists(draw: st.DrawFn) -> list[Offer]:
    """Offers with ids of their own; agents and roles repeat, a port of an agent is offered once."""
    parts = draw(
        st.lists(
            st.tuples(agents, st.sampled_from([WEB, WEB, OPS]), offered()), min_size=1, max_size=8
        )
    )
    offered_ports: defaultdict[AgentId, set[int]] = defaultdict(set)
    made = []
    for at, (info, role, resources) in enumerate(parts):
        gone = offered_ports[info.agent_id]
        kept = [_less(entry, gone) for entry in resources]
        for entry in kept:
            gone.update(_ports_of(entry))
        entries = tuple(entry for entry in kept if entry.scalar or entry.ranges)
        made.append(Offer(OfferId(f"o{at}"), role, info, entries))
    return made


def _ports_of(entry: OfferedResource) -> set[int]:
    return {port for begin, end in entry.ranges for port in range(begin, end + 1)}


def _less(entry: OfferedResource, ports: set[int]) -> OfferedResource:
    free = _ports_of(entry) - ports
    return msgspec.structs.replace(entry, ranges=_ranges_of(free))


groups = st.builds(
    Group,
    role=st.sampled_from([WEB, WEB, WEB, OPS]),
    amounts=st.one_of(
        amounts, st.builds(Amounts, cpus=st.integers(0, 2)), st.builds(Amounts, mem=st.just(1))
    ),
    ports=st.one_of(st.just(()), asked_ports),
    constraints=st.one_of(
        st.just(()),
        st.just((Constraint("hostname", Operator.UNIQUE),)),
        st.lists(conditions, max_size=2).map(tuple),
    ),
    counts=st.fixed_dictionaries(
        {"hostname": st.dictionaries(st.sampled_from(["h0", "h1", "elsewhere"]), st.just(1))}
    ),
)


@st.composite
def counting(draw: st.DrawFn) -> Group:
    """Groups that count by racks and hosts, in every way."""
    group = draw(groups)
    racks = draw(st.dictionaries(st.sampled_from(["r1", "r2", "r3"]), st.integers(1, 2)))
    counted = draw(
        st.lists(
            st.builds(
                Constraint,
                st.sampled_from(["rack", "hostname"]),
                st.sampled_from(sorted(COUNTED)),
                count=st.integers(1, 2),
            ),
            max_size=2,
        )
    )
    return msgspec.structs.replace(
        group,
        constraints=(*group.constraints, *counted),
        counts={**group.counts, "rack": racks},
    )
