"""What launches ask for is part of what was offered, as a master judges it: from Resources on the
wire, through the matcher and the carving, to Resources on the wire.

Two Resources are the same to Mesos if name, type, reservations (with principal and labels), disk
(source and persistence, not where the volume appears), revocable, shared, provider and allocation
role are; scalars count in thousandths, and a reserved one never stands in for an unreserved one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.effects import Accept, Launch
from scheduler.core.events import CallId
from scheduler.core.model.ids import FrameworkId, JobId, OfferId, Role, TaskId, Uid
from scheduler.core.model.job import Port, Shell, Template
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.group import Group
from scheduler.core.placement.matcher import assign, place
from scheduler.core.placement.rows import Rows
from scheduler.mesos.codec import CallCodec, EventDecoder, FrameworkSettings
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2

ROLE = "eng/web"
SETTINGS = FrameworkSettings(
    user="nobody", name="offerd", principal="fw", hostname="s1", webui_url="", labels=()
)
PORTS = range(31_000, 31_012)

Identity = tuple[object, ...]


class Judge:
    """The master's account of some offers: thousandths by identity, and each port by itself."""

    def __init__(self, offered: Iterable[wire.Resource]) -> None:
        self.left: Counter[Identity] = Counter()
        for resource in offered:
            self.left.update(measured(resource))

    def launch(self, task: Sequence[wire.Resource]) -> None:
        asked: Counter[Identity] = Counter()
        for resource in task:
            assert valid(resource)
            asked.update(measured(resource))
        assert asked, "a task must ask for something"
        kinds = {(resource.name, resource.HasField("revocable")) for resource in task}
        assert len({name for name, _ in kinds}) == len(kinds), "revocable and other ones mixed"
        assert asked <= self.left
        self.left -= asked


def valid(resource: wire.Resource) -> bool:
    """As the master validates each Resource of a task by itself."""
    if resource.type == wire.Value.SCALAR:
        return resource.scalar.value > 0 and not resource.HasField("ranges")
    ports = [port for r in resource.ranges.range for port in range(r.begin, r.end + 1)]
    return bool(ports) and len(set(ports)) == len(ports) and not resource.HasField("scalar")


def measured(resource: wire.Resource) -> Counter[Identity]:
    if resource.type == wire.Value.SCALAR:
        return Counter({identity(resource): round(resource.scalar.value * 1000)})
    ranges = resource.ranges.range
    return Counter(
        (*identity(resource), port) for r in ranges for port in range(r.begin, r.end + 1)
    )


def identity(resource: wire.Resource) -> Identity:
    reservations = tuple(
        (one.type, one.role, one.HasField("principal"), one.principal, labels(one))
        for one in resource.reservations
    )
    disk = resource.disk
    source = disk.source.SerializeToString(deterministic=True) if disk.HasField("source") else None
    persistence = disk.persistence.id if disk.HasField("persistence") else None
    return (
        resource.name,
        resource.type,
        reservations,
        resource.HasField("disk"),
        source,
        persistence,
        resource.HasField("revocable"),
        resource.HasField("shared"),
        resource.provider_id.value,
        resource.allocation_info.role,
    )


def labels(reservation: wire.Resource.ReservationInfo) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((label.key, label.value) for label in reservation.labels.labels))


# --- what masters offer --------------------------------------------------------------------------

reservations = st.lists(
    st.builds(
        lambda kind, role, principal, keys: wire.Resource.ReservationInfo(
            type=kind,
            role=role,
            principal=principal,
            labels=wire.Labels(labels=[wire.Label(key=key, value="v") for key in keys]),
        ),
        st.sampled_from(list(wire.Resource.ReservationInfo.Type.values())[1:]),
        st.sampled_from(["eng", ROLE]),
        st.sampled_from([None, "fw", "ops"]),
        st.lists(st.sampled_from("ab"), max_size=2),
    ),
    max_size=2,
)
disks = st.sampled_from(
    [
        None,
        wire.Resource.DiskInfo(persistence={"id": "v1"}, volume={"mode": "RW"}),
        wire.Resource.DiskInfo(source={"type": "MOUNT", "mount": {"root": "/m"}}),
        wire.Resource.DiskInfo(source={"type": "PATH", "path": {"root": "/p"}}),
    ]
)


@st.composite
def scalars(draw: st.DrawFn) -> wire.Resource:
    name = draw(st.sampled_from(["cpus", "cpus", "mem", "mem", "disk", "gpus", "knobs"]))
    amount = draw(st.integers(1, 3)) * 1000 if name == "gpus" else draw(st.integers(1, 3000))
    resource = wire.Resource(
        name=name,
        type=wire.Value.SCALAR,
        scalar={"value": amount / 1000},
        reservations=draw(reservations),
        allocation_info={"role": ROLE},
        disk=draw(disks) if name == "disk" else None,
    )
    if draw(st.integers(0, 2 if name == "cpus" else 5)) == 0:
        resource.revocable.SetInParent()
    if draw(st.integers(0, 5)) == 0:
        resource.provider_id.value = draw(st.sampled_from(["p1", "p2"]))
    return resource


@st.composite
def offers(draw: st.DrawFn) -> list[wire.Offer]:
    """Several offers of one agent and role; each of its ports is in one of their entries."""
    owners = draw(st.lists(st.integers(0, 4), min_size=len(PORTS), max_size=len(PORTS)))
    made = []
    for number in range(draw(st.integers(1, 3))):
        resources = draw(st.lists(scalars(), max_size=8))
        ports = [port for port, owner in zip(PORTS, owners, strict=True) if owner == number]
        if ports:
            ranges = [{"begin": port, "end": port} for port in ports]
            resources.append(
                wire.Resource(
                    name="ports",
                    type=wire.Value.RANGES,
                    ranges={"range": ranges},
                    reservations=draw(reservations),
                    allocation_info={"role": ROLE},
                )
            )
        made.append(
            wire.Offer(
                id={"value": f"O{number}"},
                framework_id={"value": "F"},
                agent_id={"value": "S1"},
                hostname="a1",
                allocation_info={"role": ROLE},
                resources=draw(st.permutations(resources)),
            )
        )
    return made


templates = st.builds(
    lambda name, cpus, mem, disk, gpus, ports: Template(
        Role(ROLE),
        Shell("true"),
        Amounts(mem=mem, disk=disk, gpus=1000 * gpus, **{name: cpus}),
        ports=tuple(ports),
    ),
    st.sampled_from(["cpus", "cpus", "revocable_cpus"]),
    st.integers(1, 900),
    st.integers(0, 300),
    st.sampled_from([0, 0, 300]),
    st.sampled_from([0, 0, 0, 1]),
    st.lists(
        st.builds(
            Port, st.just("p"), st.one_of(st.none(), st.none(), st.sampled_from(list(PORTS)))
        ),
        max_size=3,
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(offers(), st.lists(st.tuples(templates, st.integers(1, 4)), min_size=1, max_size=4))
def test_launches_ask_for_no_more_than_was_offered_and_for_the_same_kind(
    made: list[wire.Offer], jobs: list[tuple[Template, int]]
) -> None:
    judge = Judge(resource for offer in made for resource in offer.resources)
    rows = Rows()
    for offer in EventDecoder().decode_offers(made).offers:
        rows.add(offer)
    codec = CallCodec(FrameworkId("F"), SETTINGS)
    for number, (template, instances) in enumerate(jobs):
        group = Group(template.role, template.amounts, template.ports, template.constraints)
        placed = place(rows, group, instances)
        for carved in [task for cut in assign(rows, group, placed.shares, number) for task in cut]:
            launch = Launch(
                task_id=TaskId(f"j{number}.0.1.u"),
                job=JobId(f"j{number}"),
                index=0,
                agent_id=rows[0].agent.agent_id,
                uid=Uid("u"),
                version=1,
                template=template,
                labels=(),
                resources=carved.resources,
                ports=carved.ports,
            )
            accept = codec.encode(Accept(CallId(1), (OfferId("O0"),), (launch,), 5.0))
            [operation] = scheduler_pb2.Call.FromString(accept).accept.operations
            [task] = operation.launch.task_infos
            judge.launch(task.resources)
            assert asked_of(task) == template.amounts


def asked_of(task: wire.TaskInfo) -> Amounts:
    """A job that did not ask for revocable cpus gets none, and one that did no others."""
    sums: Counter[str] = Counter()
    for resource in task.resources:
        prefix = "revocable_" if resource.HasField("revocable") else ""
        if resource.type == wire.Value.SCALAR:
            sums[prefix + resource.name] += round(resource.scalar.value * 1000)
    return Amounts(**sums)
