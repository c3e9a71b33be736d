"""Builders of wire messages: plain ones by hand, and any that a master may send by hypothesis."""

from hypothesis import strategies as st

from scheduler.mesos.proto import mesos_v1_pb2 as wire

PORT_MAX = 65_535


def an_offer(offer_id: str, cpus: float = 4.0) -> wire.Offer:
    """4 cpus, 8 GiB and a thousand ports of agent M-S0 for the role `web`."""
    offer = wire.Offer(hostname="a1")
    offer.id.value = offer_id
    offer.framework_id.value = "M-0001"
    offer.agent_id.value = "M-S0"
    offer.allocation_info.role = "web"
    offer.url.scheme = "http"
    offer.url.address.hostname = "a1"
    offer.url.address.ip = "10.0.0.9"
    offer.url.address.port = 5051
    offer.url.path = "/slave(1)"
    for name, amount in (("cpus", cpus), ("mem", 8192.0)):
        resource = offer.resources.add(name=name, type=wire.Value.SCALAR)
        resource.scalar.value = amount
        resource.allocation_info.role = "web"
    ports = offer.resources.add(name="ports", type=wire.Value.RANGES)
    ports.ranges.range.add(begin=31000, end=32000)
    ports.allocation_info.role = "web"
    offer.attributes.add(name="rack", type=wire.Value.TEXT).text.value = "r1"
    return offer


def without_value(resource: wire.Resource) -> wire.Resource:
    """A copy that says everything but how much."""
    bare = wire.Resource()
    bare.CopyFrom(resource)
    for value in ("scalar", "ranges", "set"):
        bare.ClearField(value)
    return bare


def names() -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable())


@st.composite
def scalar_resources(draw: st.DrawFn) -> wire.Resource:
    """cpus, mem, disk or another scalar, with any reservation, disk or flag that Mesos has."""
    name = draw(st.sampled_from(["cpus", "mem", "disk", "gpus", "bandwidth"]))
    resource = wire.Resource(name=name, type=wire.Value.SCALAR)
    resource.scalar.value = draw(st.integers(0, 10**10)) / 1000
    _dress(draw, resource)
    if name == "disk":
        _dress_disk(draw, resource.disk)
    return resource


@st.composite
def port_resources(draw: st.DrawFn) -> wire.Resource:
    """ports, as disjoint ranges in order."""
    resource = wire.Resource(name="ports", type=wire.Value.RANGES)
    ends = sorted(draw(st.sets(st.integers(1, PORT_MAX), max_size=12)))
    for begin, end in zip(ends[::2], ends[1::2], strict=False):
        resource.ranges.range.add(begin=begin, end=end)
    resource.ranges.SetInParent()
    _dress(draw, resource)
    return resource


@st.composite
def set_resources(draw: st.DrawFn) -> wire.Resource:
    resource = wire.Resource(name="zones", type=wire.Value.SET)
    resource.set.item.extend(draw(st.lists(names(), max_size=3, unique=True)))
    _dress(draw, resource)
    return resource


def resources() -> st.SearchStrategy[wire.Resource]:
    return st.one_of(scalar_resources(), port_resources(), set_resources())


@st.composite
def offers(draw: st.DrawFn) -> wire.Offer:
    """An offer of one of a few agents, with any resources."""
    offer = an_offer(draw(names()))
    del offer.resources[:]
    offer.agent_id.value = draw(st.sampled_from(["M-S0", "M-S1", "N-S0"]))
    offer.attributes[0].text.value = draw(names())
    for resource in draw(st.lists(resources(), max_size=6)):
        offer.resources.add().CopyFrom(resource)
    return offer


def _dress(draw: st.DrawFn, resource: wire.Resource) -> None:
    if draw(st.booleans()):
        resource.allocation_info.role = draw(names())
    for _ in range(draw(st.integers(0, 2))):
        reservation = resource.reservations.add(
            type=wire.Resource.ReservationInfo.DYNAMIC, role=draw(names())
        )
        if draw(st.booleans()):
            reservation.labels.labels.add(key=draw(names()), value=draw(names()))
    if draw(st.integers(0, 5)) == 0:
        resource.revocable.SetInParent()
    if draw(st.integers(0, 5)) == 0:
        resource.provider_id.value = draw(names())


def _dress_disk(draw: st.DrawFn, disk: wire.Resource.DiskInfo) -> None:
    match draw(st.sampled_from(["plain", "volume", "mount"])):
        case "volume":
            disk.persistence.id = draw(names())
            disk.volume.container_path = "data"
            disk.volume.mode = wire.Volume.RW
        case "mount":
            disk.source.type = wire.Resource.DiskInfo.Source.MOUNT
            disk.source.mount.root = "/mnt/a"
        case _:
            disk.Clear()
