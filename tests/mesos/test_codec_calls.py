"""Core calls into bytes: complete for the master, exact in the resources, whole in the task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Kill,
    Launch,
    Reconcile,
    Revive,
    Suppress,
    UpdateFramework,
    Wanted,
)
from scheduler.core.events import CallId, OffersMade
from scheduler.core.model.ids import AgentId, FrameworkId, JobId, OfferId, Role, TaskId, Uid
from scheduler.core.model.job import (
    Argv,
    Artifact,
    CommandProbe,
    Container,
    ContainerType,
    HealthCheck,
    HttpProbe,
    Limits,
    Port,
    Shell,
    TcpProbe,
    Template,
)
from scheduler.core.model.needs import AttributeTest, Needs, Predicate
from scheduler.core.model.resources import Amounts, CarvedResource, OfferedResource, PortRange
from scheduler.mesos.codec import (
    CallCodec,
    EventDecoder,
    FrameworkSettings,
    TaskRenderer,
    encode_subscribe,
)
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2
from tests.mesos import wires

FRAMEWORK_ID = FrameworkId("M-0001")
SETTINGS = FrameworkSettings(
    user="nobody",
    name="offerd",
    principal="fw",
    hostname="s1",
    webui_url="http://s1:8080",
    labels=(("owner", "ops"),),
)
NEEDS = Needs(
    groups=(
        (AttributeTest("@zone", Predicate.NOT_EXISTS),),
        (
            AttributeTest("@region", Predicate.EQUALS, "eu"),
            AttributeTest("hostname", Predicate.NOT_EQUALS, "h1"),
            AttributeTest("rack", Predicate.MATCHES, "r[12]"),
            AttributeTest("rack", Predicate.NOT_MATCHES, "r1.*"),
            AttributeTest("ssd", Predicate.EXISTS),
        ),
    ),
    minimums=(Amounts(cpus=896, mem=112_000), Amounts(disk=10_000)),
)
WANTED = Wanted(
    roles=(Role("prod"), Role("dev")),
    suppressed=(Role("dev"),),
    failover_timeout_s=604800.0,
    needs=((Role("prod"), NEEDS),),
)
MINIMAL = Template(role=Role("prod"), command=Shell("sleep 1"), amounts=Amounts(cpus=100))


def encode(call: Call) -> scheduler_pb2.Call:
    message = scheduler_pb2.Call.FromString(CallCodec(FRAMEWORK_ID, SETTINGS).encode(call))
    assert message.IsInitialized()
    assert message.framework_id.value == FRAMEWORK_ID
    return message


def a_launch(
    template: Template = MINIMAL,
    ports: tuple[int, ...] = (),
    labels: tuple[tuple[str, str], ...] = (),
    resources: tuple[CarvedResource, ...] = (),
    version: int = 1,
) -> Launch:
    return Launch(
        task_id=TaskId("team.web.3.1.abc"),
        job=JobId("team/web"),
        index=3,
        agent_id=AgentId("M-S0"),
        uid=Uid("abc"),
        version=version,
        template=template,
        labels=labels,
        resources=resources,
        ports=ports,
    )


def a_task(launch: Launch) -> wire.TaskInfo:
    call = encode(Accept(CallId(1), (OfferId("O1"),), (launch,), 5.0))
    (operation,) = call.accept.operations
    (info,) = operation.launch.task_infos
    return info


def environment(info: wire.TaskInfo) -> dict[str, str]:
    variables = info.command.environment.variables
    assert len({variable.name for variable in variables}) == len(variables)
    return {variable.name: variable.value for variable in variables}


# --- calls ---------------------------------------------------------------------------------------

ids = st.text(min_size=1, max_size=20)
seconds = st.floats(0, 1e7)
call_ids = st.integers(0, 2**40).map(CallId)
roles = st.lists(ids.map(Role), max_size=3).map(tuple)
pairs = st.lists(st.tuples(ids, st.text(max_size=20)), max_size=3).map(tuple)
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(Accept, call_ids, st.tuples(ids.map(OfferId)), st.just((a_launch(),)), seconds),
    st.builds(Decline, call_ids, st.lists(ids.map(OfferId)).map(tuple), seconds),
    st.builds(
        Acknowledge,
        ids.map(AgentId),
        ids.map(TaskId),
        st.binary(min_size=16, max_size=16),
    ),
    st.builds(Kill, call_ids, ids.map(TaskId), st.text(max_size=5).map(AgentId), seconds),
    st.builds(
        Reconcile,
        call_ids,
        st.lists(st.tuples(ids.map(TaskId), st.text(max_size=5).map(AgentId))).map(tuple),
    ),
    st.builds(Suppress, call_ids, roles),
    st.builds(Revive, call_ids, roles),
    st.builds(UpdateFramework, call_ids, st.builds(Wanted, roles, roles, seconds, st.booleans())),
)


@given(CALLS)
def test_every_call_has_its_type_and_all_that_mesos_requires(call: Call) -> None:
    message = encode(call)
    name = {"UpdateFramework": "UPDATE_FRAMEWORK"}.get(
        type(call).__name__, type(call).__name__.upper()
    )
    assert message.type == scheduler_pb2.Call.Type.Value(name)
    # The master answers 400 when the payload of the type is missing; two may go without.
    if name not in ("SUPPRESS", "REVIVE"):
        assert message.HasField(name.lower())


def test_several_offers_and_tasks_go_in_one_operation() -> None:
    launches = tuple(a_launch(version=number) for number in (1, 2, 1))
    call = encode(Accept(CallId(1), (OfferId("O1"), OfferId("O2")), launches, 12.5)).accept
    assert [offer_id.value for offer_id in call.offer_ids] == ["O1", "O2"]
    assert call.filters.refuse_seconds == 12.5
    (operation,) = call.operations
    assert operation.type == wire.Offer.Operation.LAUNCH
    assert len(operation.launch.task_infos) == 3


def test_a_refusal_of_no_time_is_said() -> None:
    """Absent filters would mean five seconds."""
    decline = encode(Decline(CallId(1), (OfferId("O1"),), 0.0)).decline
    assert decline.filters.HasField("refuse_seconds")
    assert decline.filters.refuse_seconds == 0


def test_an_acknowledgement_copies_the_status() -> None:
    uuid = bytes(range(16))
    message = encode(Acknowledge(AgentId("M-S0"), TaskId("t"), uuid)).acknowledge
    assert (message.agent_id.value, message.task_id.value, message.uuid) == ("M-S0", "t", uuid)


def test_a_kill_carries_its_grace_and_no_agent_that_is_not_known() -> None:
    known = encode(Kill(CallId(1), TaskId("t"), AgentId("M-S0"), 2.5)).kill
    unknown = encode(Kill(CallId(1), TaskId("t"), AgentId(""), 0.0)).kill
    assert known.agent_id.value == "M-S0"
    assert known.kill_policy.grace_period.nanoseconds == 2_500_000_000
    assert not unknown.HasField("agent_id")
    assert unknown.kill_policy.HasField("grace_period")


def test_explicit_reconciliation_names_task_and_agent() -> None:
    asked = ((TaskId("a"), AgentId("M-S0")), (TaskId("b"), AgentId("")))
    first, second = encode(Reconcile(CallId(1), asked)).reconcile.tasks
    assert (first.task_id.value, first.agent_id.value) == ("a", "M-S0")
    assert not second.HasField("agent_id")


# --- what the master knows of us -----------------------------------------------------------------


def test_the_first_subscribe_says_all_but_an_id() -> None:
    message = scheduler_pb2.Call.FromString(encode_subscribe(SETTINGS, None, WANTED))
    info = message.subscribe.framework_info
    assert message.type == scheduler_pb2.Call.SUBSCRIBE
    assert not message.HasField("framework_id")
    assert not info.HasField("id")
    assert (info.user, info.name, info.principal) == ("nobody", "offerd", "fw")
    assert (info.hostname, info.webui_url) == ("s1", "http://s1:8080")
    assert info.labels.labels[0].key == "owner"
    assert info.checkpoint
    assert info.failover_timeout == 604800.0
    assert list(info.roles) == ["prod", "dev"]
    assert not info.HasField("role")
    assert list(message.subscribe.suppressed_roles) == ["dev"]


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        (Wanted((Role("a"),), (), 0.0), set()),
        (Wanted((Role("a"),), (), 0.0, gpus=True), {"GPU_RESOURCES"}),
        (Wanted((Role("a"),), (), 0.0, revocable=True), {"REVOCABLE_RESOURCES"}),
    ],
)
def test_capabilities_are_those_of_the_framework_guide_and_what_is_asked_for(
    wanted: Wanted, more: set[str]
) -> None:
    message = scheduler_pb2.Call.FromString(encode_subscribe(SETTINGS, FRAMEWORK_ID, wanted))
    kinds = wire.FrameworkInfo.Capability.Type
    names = {kinds.Name(c.type) for c in message.subscribe.framework_info.capabilities}
    always = {"MULTI_ROLE", "PARTITION_AWARE", "TASK_KILLING_STATE", "RESERVATION_REFINEMENT"}
    assert names == always | more


def test_an_update_says_the_same_as_a_subscribe_with_the_id() -> None:
    subscribe = scheduler_pb2.Call.FromString(encode_subscribe(SETTINGS, FRAMEWORK_ID, WANTED))
    update = encode(UpdateFramework(CallId(1), WANTED)).update_framework
    assert subscribe.framework_id == subscribe.subscribe.framework_info.id
    assert update.framework_info == subscribe.subscribe.framework_info
    assert update.suppressed_roles == subscribe.subscribe.suppressed_roles
    assert update.offer_constraints == subscribe.subscribe.offer_constraints
    assert update.offer_constraints.role_constraints.keys() == {"prod"}


def test_constraints_of_a_role_are_groups_of_tests_each_on_one_attribute() -> None:
    update = encode(UpdateFramework(CallId(1), WANTED)).update_framework
    zone, rack = update.offer_constraints.role_constraints["prod"].groups
    (missing,) = zone.attribute_constraints
    assert missing.selector.pseudoattribute_type == missing.selector.ZONE
    assert missing.predicate.WhichOneof("predicate") == "not_exists"
    told = [
        (
            one.selector.attribute_name or one.selector.pseudoattribute_type,
            one.predicate.WhichOneof("predicate"),
        )
        for one in rack.attribute_constraints
    ]
    assert told == [
        (missing.selector.REGION, "text_equals"),
        (missing.selector.HOSTNAME, "text_not_equals"),
        ("rack", "text_matches"),
        ("rack", "text_not_matches"),
        ("ssd", "exists"),
    ]
    assert rack.attribute_constraints[0].predicate.text_equals.value == "eu"
    assert rack.attribute_constraints[2].predicate.text_matches.regex == "r[12]"


def test_minimums_are_alternatives_of_what_is_asked_for_at_all() -> None:
    filters = encode(UpdateFramework(CallId(1), WANTED)).update_framework.framework_info
    assert filters.offer_filters.keys() == {"prod"}
    minimum = filters.offer_filters["prod"].min_allocatable_resources
    assert [
        {name: amount.value for name, amount in one.quantities.items()}
        for one in minimum.quantities
    ] == [{"cpus": 0.896, "mem": 112.0}, {"disk": 10.0}]


def test_a_minimum_of_nothing_is_said_and_no_minimum_is_not() -> None:
    """A set without quantities is refused by the master; no set at all lifts its own minimum."""
    nothing = Needs(minimums=(Amounts(), Amounts(cpus=1000)))
    wanted = Wanted((Role("a"), Role("b")), (), 0.0, needs=((Role("a"), nothing),))
    info = encode(UpdateFramework(CallId(1), wanted)).update_framework.framework_info
    assert info.offer_filters["a"].HasField("min_allocatable_resources")
    assert not info.offer_filters["a"].min_allocatable_resources.quantities
    assert "b" not in info.offer_filters


def test_without_needs_nothing_is_said_of_them() -> None:
    wanted = Wanted((Role("a"),), (), 0.0)
    update = encode(UpdateFramework(CallId(1), wanted)).update_framework
    assert not update.HasField("offer_constraints")
    assert not update.framework_info.offer_filters


# --- tasks ---------------------------------------------------------------------------------------


def test_a_task_has_all_of_its_template() -> None:
    template = Template(
        role=Role("prod"),
        command=Shell("exec ./srv $PORT_HTTP"),
        amounts=Amounts(cpus=100),
        user="www",
        ports=(Port("http"), Port("admin-api", 8081)),
        env=(("LOG", "info"), ("EMPTY", "")),
        artifacts=(
            Artifact("https://example.com/a.tgz"),
            Artifact("file:///b", extract=False, executable=True, cache=True, output_file="c"),
        ),
        kill_grace_s=12.5,
        max_runtime_s=3600.0,
        limits=Limits(cpus=2500, mem=64_000),
    )
    info = a_task(a_launch(template, (31005, 8081), (("team", "shop"),)))

    assert info.name == "team/web"
    assert (info.task_id.value, info.agent_id.value) == ("team.web.3.1.abc", "M-S0")
    assert (info.command.shell, info.command.value) == (True, "exec ./srv $PORT_HTTP")
    assert info.command.user == "www"
    assert environment(info) == {
        "LOG": "info",
        "EMPTY": "",
        "PORTS": "31005,8081",
        "PORT0": "31005",
        "PORT1": "8081",
        "PORT_HTTP": "31005",
        "PORT_ADMIN_API": "8081",
        "INSTANCE": "3",
        "OFFERD_JOB": "team/web",
        "OFFERD_TASK_ID": "team.web.3.1.abc",
    }
    assert {name: limit.value for name, limit in info.limits.items()} == {"cpus": 2.5, "mem": 64.0}
    first, second = info.command.uris
    assert (first.value, first.extract, first.executable) == (
        "https://example.com/a.tgz",
        True,
        False,
    )
    assert not first.HasField("output_file")
    assert (second.extract, second.executable, second.cache) == (False, True, True)
    assert second.output_file == "c"
    assert info.kill_policy.grace_period.nanoseconds == 12_500_000_000
    assert info.max_completion_time.nanoseconds == 3600 * 10**9
    assert [(label.key, label.value) for label in info.labels.labels] == [("team", "shop")]
    assert info.discovery.visibility == wire.DiscoveryInfo.FRAMEWORK
    assert info.discovery.name == "team/web"
    assert [(p.name, p.number, p.protocol) for p in info.discovery.ports.ports] == [
        ("http", 31005, "tcp"),
        ("admin-api", 8081, "tcp"),
    ]
    assert not info.HasField("container")
    assert not info.HasField("health_check")
    assert not info.HasField("executor")


def test_a_task_without_ports_has_none_in_its_environment() -> None:
    info = a_task(a_launch())
    assert set(environment(info)) == {"INSTANCE", "OFFERD_JOB", "OFFERD_TASK_ID"}
    assert not info.HasField("max_completion_time")


def test_our_variables_win_over_the_jobs_own() -> None:
    template = Template(
        role=Role("prod"),
        command=Shell("true"),
        amounts=Amounts(),
        ports=(Port("http"),),
        env=(("PORT0", "x"), ("OFFERD_JOB", "x"), ("PORT_HTTP", "x"), ("INSTANCE", "x")),
    )
    assert "x" not in environment(a_task(a_launch(template, (31000,)))).values()


def test_argv_goes_without_a_shell_and_names_the_program_first() -> None:
    template = Template(Role("prod"), Argv(("python3", "-m", "http.server")), Amounts())
    command = a_task(a_launch(template)).command
    assert (command.shell, command.value) == (False, "python3")
    assert list(command.arguments) == ["python3", "-m", "http.server"]


def test_an_image_without_a_command_runs_its_own_entry_point() -> None:
    template = Template(Role("prod"), None, Amounts(), Container("nginx:1"))
    info = a_task(a_launch(template))
    assert info.command.HasField("shell")
    assert not info.command.shell
    assert not info.command.HasField("value")
    assert info.container.type == wire.ContainerInfo.MESOS
    assert info.container.mesos.image.type == wire.Image.DOCKER
    assert info.container.mesos.image.docker.name == "nginx:1"


def test_a_docker_container_has_the_network_of_its_host() -> None:
    container = Container("nginx:1", ContainerType.DOCKER)
    info = a_task(a_launch(Template(Role("prod"), Shell("true"), Amounts(), container)))
    assert info.container.type == wire.ContainerInfo.DOCKER
    assert info.container.docker.image == "nginx:1"
    assert info.container.docker.network == wire.ContainerInfo.DockerInfo.HOST
    assert not info.container.HasField("mesos")


def test_health_checks_ask_the_port_of_their_name() -> None:
    def check(probe: HttpProbe | TcpProbe | CommandProbe) -> wire.HealthCheck:
        health = HealthCheck(probe, 1.0, 2.0, 3.0, 4.0, 5)
        ports = (Port("admin"), Port("http"))
        template = Template(Role("prod"), Shell("true"), Amounts(), ports=ports, health=health)
        return a_task(a_launch(template, (31001, 31002))).health_check

    http = check(HttpProbe("http", "/healthz", "https"))
    assert http.type == wire.HealthCheck.HTTP
    assert (http.http.port, http.http.path, http.http.scheme) == (31002, "/healthz", "https")
    assert (http.delay_seconds, http.interval_seconds, http.timeout_seconds) == (1, 2, 3)
    assert (http.grace_period_seconds, http.consecutive_failures) == (4, 5)
    assert not http.HasField("tcp")
    tcp = check(TcpProbe("admin"))
    assert (tcp.type, tcp.tcp.port) == (wire.HealthCheck.TCP, 31001)
    assert not tcp.HasField("http")
    command = check(CommandProbe("test -e ok"))
    assert (command.type, command.command.value) == (wire.HealthCheck.COMMAND, "test -e ok")
    assert not command.HasField("http")


def test_a_launch_that_does_not_fit_its_template_is_an_error() -> None:
    health = HealthCheck(HttpProbe("nowhere"))
    codec = CallCodec(FRAMEWORK_ID, SETTINGS)
    for launch in (
        a_launch(Template(Role("a"), Shell("x"), Amounts(), health=health)),
        a_launch(Template(Role("a"), Shell("x"), Amounts(), ports=(Port("http"),))),
    ):
        with pytest.raises(ValueError, match="port"):
            codec.encode(Accept(CallId(1), (OfferId("O1"),), (launch,), 5.0))


@given(st.permutations([("a", "1"), ("b", "2"), ("a", "1"), ("c", "1")]))
def test_kept_templates_change_no_task(order: list[tuple[str, str]]) -> None:
    """Labels may change without the version, and a version may come back."""
    renderer = TaskRenderer()
    for line, label in order:
        template = Template(Role("prod"), Shell(line), Amounts(), env=(("LINE", line),))
        launch = a_launch(template, labels=(("label", label),))
        kept, fresh = wire.TaskInfo(), wire.TaskInfo()
        renderer.fill(kept, launch)
        TaskRenderer().fill(fresh, launch)
        assert kept == fresh
        assert kept.command.value == line
        assert kept.labels.labels[0].value == label


@given(st.lists(st.lists(st.sampled_from([100, 250]), max_size=2), max_size=6))
def test_kept_resources_change_no_task(order: list[list[int]]) -> None:
    identity = wire.Resource(name="cpus", type=wire.Value.SCALAR).SerializePartialToString()
    renderer = TaskRenderer()
    for amounts in order:
        pieces = tuple(CarvedResource("cpus", identity, scalar) for scalar in amounts)
        kept = wire.TaskInfo()
        renderer.fill(kept, a_launch(resources=pieces))
        assert [round(one.scalar.value * 1000) for one in kept.resources] == amounts


def test_an_acknowledgement_has_nothing_of_the_one_before() -> None:
    codec = CallCodec(FRAMEWORK_ID, SETTINGS)
    calls = [
        Acknowledge(AgentId("M-S0"), TaskId("first"), b"1" * 16),
        Acknowledge(AgentId(""), TaskId("second"), b"2" * 16),
    ]
    for call in calls:
        assert codec.encode(call) == CallCodec(FRAMEWORK_ID, SETTINGS).encode(call)


# --- resources -----------------------------------------------------------------------------------


@st.composite
def carved_out_of(
    draw: st.DrawFn, entries: tuple[OfferedResource, ...]
) -> tuple[CarvedResource, ...]:
    """Of each usable entry a part: less of a scalar, some of the ports."""
    pieces = []
    for entry in entries:
        if not entry.usable:
            continue
        scalar = draw(st.integers(0, entry.scalar)) if entry.scalar else 0
        ranges = []
        for whole in entry.ranges:
            begin = draw(st.integers(whole.begin, whole.end))
            ranges.append(PortRange(begin, draw(st.integers(begin, whole.end))))
        pieces.append(CarvedResource(entry.name, entry.identity, scalar, tuple(ranges)))
    return tuple(pieces)


@given(st.data())
def test_what_was_carved_is_a_part_of_what_was_offered(data: st.DataObject) -> None:
    offer = data.draw(wires.offers())
    event = scheduler_pb2.Event(type=scheduler_pb2.Event.OFFERS)
    event.offers.offers.add().CopyFrom(offer)
    made = EventDecoder().decode(event.SerializeToString())
    assert isinstance(made, OffersMade)
    entries = made.offers[0].resources
    pieces = data.draw(carved_out_of(entries))

    info = a_task(a_launch(resources=pieces))

    offered = [
        resource for resource, entry in zip(offer.resources, entries, strict=True) if entry.usable
    ]
    assert len(info.resources) == len(pieces)
    for resource, piece, whole in zip(info.resources, pieces, offered, strict=True):
        assert resource.IsInitialized()
        assert wires.without_value(resource) == wires.without_value(whole)
        assert round(resource.scalar.value * 1000) == piece.scalar
        assert resource.scalar.value <= whole.scalar.value + 1e-9
        taken = {n for one in resource.ranges.range for n in range(one.begin, one.end + 1)}
        given_ = {n for one in piece.ranges for n in range(one.begin, one.end + 1)}
        assert taken == given_
