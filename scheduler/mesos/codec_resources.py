"""Resources and agents between the wire and the core: amounts, identities, attributes.

An identity is a Resource without its value, as bytes: what Mesos compares when it looks whether a
task's resource is part of an offered one (name, type, reservations, disk, provider, allocation).
Only this module and `codec_tasks` look inside. Offers and the operator API are read with it.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from scheduler.core.model.ids import AgentId
from scheduler.core.model.offer import AgentInfo
from scheduler.core.model.resources import (
    SCALAR_NAMES,
    Amounts,
    OfferedResource,
    PortRange,
    to_milli,
)
from scheduler.mesos.proto import mesos_v1_pb2 as wire

# Distinct entries, identities and agents kept for reuse; beyond, the table starts anew.
ENTRIES_MAX: Final = 20_000
IDENTITIES_MAX: Final = 10_000
AGENTS_MAX: Final = 50_000
AMOUNT_MAX: Final = 1e12
"""Thousandths of it, summed over a cluster, fit into 64 bits."""

_SCALAR: Final = wire.Value.SCALAR
_RANGES: Final = wire.Value.RANGES
_VALUES: Final = ("scalar", "ranges", "set")
# The core's scalars by what Mesos calls them, and whether they may be revoked.
_SCALARS: Final = {(name, False): name for name in ("cpus", "mem", "disk", "gpus")} | {
    ("cpus", True): "revocable_cpus"
}


class _Identity(NamedTuple):
    name: str
    identity: bytes
    reserved: bool
    usable: bool


class ResourceReader:
    """Turns offered Resources into core values.

    Reading a field costs more than looking up bytes: an entry that came before (agents alike, the
    same offer again) is found whole, and of a new one only the value is read, since a cluster has
    few distinct identities. Equal identities are one object.
    """

    def __init__(self) -> None:
        self._entries: dict[bytes, OfferedResource] = {}
        self._identities: dict[bytes, _Identity] = {}

    def read(self, resource: wire.Resource) -> OfferedResource:
        """`resource` is the reader's afterwards: its value may be taken out."""
        # Partial: a type from the future leaves this required field unset.
        key = resource.SerializePartialToString()
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= ENTRIES_MAX:
                self._entries.clear()
            entry = self._entries[key] = self._read_new(resource)
        return entry

    def _read_new(self, resource: wire.Resource) -> OfferedResource:
        scalar = 0
        ranges: tuple[PortRange, ...] = ()
        if resource.type == _RANGES:
            ranges = tuple([PortRange(r.begin, r.end) for r in resource.ranges.range])
        elif resource.type == _SCALAR:
            scalar = _milli(resource.scalar.value)
        for value in _VALUES:
            resource.ClearField(value)
        key = resource.SerializePartialToString()
        known = self._identities.get(key)
        if known is None:
            if len(self._identities) >= IDENTITIES_MAX:
                self._identities.clear()
            reserved = bool(resource.reservations)
            name = scalar_name(resource) or text(resource.name)
            known = _Identity(name, key, reserved, usable(resource))
            self._identities[key] = known
        return OfferedResource(
            known.name, known.identity, scalar, ranges, known.reserved, known.usable
        )


def scalar_name(resource: wire.Resource) -> str | None:
    """Which of the core's scalars it is. Of what may be revoked only cpus are any: a task that is
    left fewer of those runs on, slower, while one whose memory is wanted back can but be killed."""
    return _SCALARS.get((resource.name, resource.HasField("revocable")))


def usable(resource: wire.Resource) -> bool:
    """Whether an ordinary task may have a piece of it; see `OfferedResource.usable`.

    Resources that only the agent knows by name are plain, and not named as the core names its own.
    A disk with a source is a directory or device of its own: MOUNT and BLOCK disks are taken whole,
    and a PATH disk shows in no sandbox, so neither is space for one.
    """
    return (
        resource.HasField("type")
        and resource.type in (_SCALAR, _RANGES)
        and (
            scalar_name(resource) is not None
            or not (resource.HasField("revocable") or resource.name in SCALAR_NAMES)
        )
        and not resource.HasField("shared")
        and not (
            resource.HasField("disk")
            and (resource.disk.HasField("persistence") or resource.disk.HasField("source"))
        )
    )


def sum_amounts(resources: Iterable[wire.Resource]) -> Amounts:
    """All scalars together, reserved ones and volumes too; of revocable ones the cpus."""
    sums = dict.fromkeys(SCALAR_NAMES, 0)
    for resource in resources:
        name = scalar_name(resource)
        if resource.type == _SCALAR and name is not None:
            sums[name] += _milli(resource.scalar.value)
    return Amounts(**sums)


class AgentReader:
    """Reads what an offer says of its agent, once as long as it says the same."""

    def __init__(self) -> None:
        self._agents: dict[str, tuple[bytes, AgentInfo]] = {}

    def read(self, offer: wire.Offer) -> AgentInfo:
        """`offer` holds nothing any more but what describes the agent: that is the cache's key,
        so that a changed attribute is seen at once and an unchanged one never read again."""
        agent_id = offer.agent_id.value
        key = offer.SerializePartialToString()
        known = self._agents.get(agent_id)
        if known is not None and known[0] == key:
            return known[1]
        address = offer.url.address
        region, zone = fault_domain(offer.domain)
        agent = AgentInfo(
            agent_id=AgentId(agent_id),
            hostname=text(offer.hostname),
            url=agent_url(
                "https" if offer.url.scheme == "https" else "http",
                hostname=text(address.hostname),
                ip=text(address.ip),
                port=address.port,
            ),
            attributes=attributes_of(offer.attributes),
            region=region,
            zone=zone,
        )
        if len(self._agents) >= AGENTS_MAX:
            self._agents.clear()
        self._agents[agent_id] = (key, agent)
        return agent


def agent_url(scheme: Literal["http", "https"], *, hostname: str, ip: str, port: int) -> str:
    """Where the agent answers HTTP. The ip is the one that the master reaches it by, while its
    host name may be known inside only; but a certificate speaks for the name."""
    host = hostname if hostname and (scheme == "https" or not ip) else ip
    if not host or not port:
        return ""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def attributes_of(attributes: Iterable[wire.Attribute]) -> tuple[tuple[str, str], ...]:
    """Names with their values as text, in the agent's order; a name may stand there twice."""
    return tuple((text(attribute.name), _attribute_text(attribute)) for attribute in attributes)


def fault_domain(domain: wire.DomainInfo) -> tuple[str, str]:
    """(region, zone), empty where the agent has none."""
    fault = domain.fault_domain
    return text(fault.region.name), text(fault.zone.name)


def text(value: str | bytes) -> str:
    """A string of the wire. Mesos does not check that it is UTF-8, and protobuf then gives bytes:
    one task's odd message must not end the stream again and again."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _milli(value: float) -> int:
    """Mesos leaves open what NaN, infinity and impossible amounts mean: nothing, to us."""
    return to_milli(value) if abs(value) <= AMOUNT_MAX else 0


def _attribute_text(attribute: wire.Attribute) -> str:
    match attribute.type:
        case wire.Value.TEXT:
            return text(attribute.text.value)
        case wire.Value.SCALAR:
            return f"{attribute.scalar.value:.3f}".rstrip("0").rstrip(".")
        case wire.Value.RANGES:
            return "[" + ",".join(f"{r.begin}-{r.end}" for r in attribute.ranges.range) + "]"
        case wire.Value.SET:
            return "{" + ",".join(text(item) for item in attribute.set.item) + "}"
        case _:
            return ""
