"""From a Launch to a TaskInfo, the largest thing we send and the one sent most.

What all tasks of one template share is rendered once; each task adds its id, agent, resources,
ports and environment. What a task finds in its environment, after the job's own variables (ours
win, so that they can be relied on):

    PORT0, PORT1, …    its host ports, in the order of the job's `ports`
    PORTS              the same, with commas between
    PORT_<NAME>        the port of that name, upper case, `-` as `_`
    INSTANCE           its index within the job, from 0
    OFFERD_JOB         the job's name
    OFFERD_TASK_ID     its task id

A Docker container gets the network of its host: the ports above are the host's, and in another
network they would need a mapping which the job does not declare. For the same reason both
container types let a health check reach the task at these ports.
"""

from typing import Final

from scheduler.core.effects import Launch
from scheduler.core.model.ids import Uid
from scheduler.core.model.job import (
    Argv,
    Artifact,
    CommandProbe,
    Container,
    ContainerType,
    HealthCheck,
    HttpProbe,
    Shell,
    TcpProbe,
    Template,
)
from scheduler.core.model.resources import MILLI, CarvedResource
from scheduler.mesos.proto import mesos_v1_pb2 as wire

TEMPLATES_MAX: Final = 1_000
NANO: Final = 1_000_000_000


class TaskRenderer:
    """Fills TaskInfos; keeps the rendered template of each (uid, version) it has met."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[Uid, int], _Rendered] = {}

    def fill(self, info: wire.TaskInfo, launch: Launch) -> None:
        """Writes the whole task into an empty `info`.

        Raises `ValueError` where the launch does not fit its template: a health check on a port
        that it does not name, or another number of ports.
        """
        self._template(launch).fill(info, launch)

    def _template(self, launch: Launch) -> "_Rendered":
        key = (launch.uid, launch.version)
        known = self._rendered.get(key)
        # Labels change without a new version of the template, so the key alone is not enough.
        if known is not None and known.made_from(launch):
            return known
        if len(self._rendered) >= TEMPLATES_MAX:
            del self._rendered[next(iter(self._rendered))]
        rendered = self._rendered[key] = _Rendered(launch)
        return rendered


class _Rendered:
    """What the tasks of one template have in common."""

    def __init__(self, launch: Launch) -> None:
        self._template = template = launch.template
        self._labels = launch.labels
        self._port_variables = [f"PORT_{_variable(port.name)}" for port in template.ports]
        self._port_names = [port.name for port in template.ports]
        self._probe_port = _probe_port(template)
        ours = {"PORTS", "INSTANCE", "OFFERD_JOB", "OFFERD_TASK_ID", *self._port_variables}
        ours.update(f"PORT{index}" for index in range(len(template.ports)))
        info = wire.TaskInfo(name=launch.job)
        _fill_command(info.command, template)
        for name, value in template.env:
            if name not in ours:
                _add_variable(info.command.environment, name, value)
        _add_variable(info.command.environment, "OFFERD_JOB", launch.job)
        if template.container is not None:
            _fill_container(info.container, template.container)
        if template.health is not None:
            _fill_health_check(info.health_check, template.health)
        info.kill_policy.grace_period.nanoseconds = nanoseconds(template.kill_grace_s)
        if template.max_runtime_s is not None:
            info.max_completion_time.nanoseconds = nanoseconds(template.max_runtime_s)
        for name, limit in (("cpus", template.limits.cpus), ("mem", template.limits.mem)):
            if limit is not None:
                info.limits[name].value = limit / MILLI
        for key, value in launch.labels:
            info.labels.labels.add(key=key, value=value)
        info.discovery.visibility = wire.DiscoveryInfo.FRAMEWORK
        info.discovery.name = launch.job
        self._info = info
        self._resources: tuple[CarvedResource, ...] | None = None  # those in `info`

    def made_from(self, launch: Launch) -> bool:
        return (
            launch.template is self._template or launch.template == self._template
        ) and launch.labels == self._labels

    def fill(self, info: wire.TaskInfo, launch: Launch) -> None:
        if len(launch.ports) != len(self._port_names):
            raise ValueError(
                f"{launch.task_id}: {len(launch.ports)} ports for {len(self._port_names)} names"
            )
        if launch.resources != self._resources:
            self._render_resources(launch.resources)
        info.CopyFrom(self._info)
        info.task_id.value = launch.task_id
        info.agent_id.value = launch.agent_id
        add = info.command.environment.variables.add
        add(name="INSTANCE", value=str(launch.index))
        add(name="OFFERD_TASK_ID", value=launch.task_id)
        if launch.ports:
            self._fill_ports(info, launch)

    def _render_resources(self, resources: tuple[CarvedResource, ...]) -> None:
        """Kept for the next task: without ports, most tasks of a template get the same pieces."""
        self._resources = None
        del self._info.resources[:]
        for carved in resources:
            _fill_resource(self._info.resources.add(), carved)
        self._resources = resources

    def _fill_ports(self, info: wire.TaskInfo, launch: Launch) -> None:
        add = info.command.environment.variables.add
        numbers = [str(port) for port in launch.ports]
        add(name="PORTS", value=",".join(numbers))
        for index, number in enumerate(numbers):
            add(name=f"PORT{index}", value=number)
            add(name=self._port_variables[index], value=number)
        for name, port in zip(self._port_names, launch.ports, strict=True):
            info.discovery.ports.ports.add(number=port, name=name, protocol="tcp")
        if self._probe_port is not None:
            check = info.health_check
            probe = check.http if check.type == wire.HealthCheck.HTTP else check.tcp
            probe.port = launch.ports[self._probe_port]


def nanoseconds(seconds: float) -> int:
    """A length of time as Mesos takes it; the master refuses negative ones."""
    return round(seconds * NANO)


def _fill_resource(resource: wire.Resource, carved: CarvedResource) -> None:
    resource.MergeFromString(carved.identity)
    if resource.type == wire.Value.RANGES:
        for begin, end in carved.ranges:
            resource.ranges.range.add(begin=begin, end=end)
    else:
        resource.scalar.value = carved.scalar / MILLI


def _fill_command(command: wire.CommandInfo, template: Template) -> None:
    match template.command:
        case Shell(line):
            command.shell = True
            command.value = line
        case Argv(argv):
            command.shell = False
            command.value = argv[0]
            command.arguments.extend(argv)
        case None:
            # No shell and no value: the image's own entry point runs.
            command.shell = False
    if template.user is not None:
        command.user = template.user
    for artifact in template.artifacts:
        _fill_uri(command.uris.add(), artifact)


def _fill_uri(uri: wire.CommandInfo.URI, artifact: Artifact) -> None:
    uri.value = artifact.uri
    uri.extract = artifact.extract
    uri.executable = artifact.executable
    uri.cache = artifact.cache
    if artifact.output_file is not None:
        uri.output_file = artifact.output_file


def _fill_container(info: wire.ContainerInfo, container: Container) -> None:
    match container.type:
        case ContainerType.MESOS:
            info.type = wire.ContainerInfo.MESOS
            # Docker is the format of the image here; the containerizer is Mesos' own.
            info.mesos.image.type = wire.Image.DOCKER
            info.mesos.image.docker.name = container.image
        case ContainerType.DOCKER:
            info.type = wire.ContainerInfo.DOCKER
            info.docker.image = container.image
            info.docker.network = wire.ContainerInfo.DockerInfo.HOST


def _fill_health_check(info: wire.HealthCheck, check: HealthCheck) -> None:
    """All but the port, which each task has its own of."""
    info.delay_seconds = check.delay_s
    info.interval_seconds = check.interval_s
    info.timeout_seconds = check.timeout_s
    info.grace_period_seconds = check.grace_s
    info.consecutive_failures = check.failures
    match check.probe:
        case HttpProbe(path=path, scheme=scheme):
            info.type = wire.HealthCheck.HTTP
            info.http.path = path
            info.http.scheme = scheme
        case TcpProbe():
            info.type = wire.HealthCheck.TCP
            info.tcp.SetInParent()
        case CommandProbe(line):
            info.type = wire.HealthCheck.COMMAND
            info.command.shell = True
            info.command.value = line


def _probe_port(template: Template) -> int | None:
    """Which of the template's ports the health check asks; None where it asks none."""
    match template.health:
        case HealthCheck(probe=HttpProbe(port=name) | TcpProbe(port=name)):
            for index, port in enumerate(template.ports):
                if port.name == name:
                    return index
            raise ValueError(f"the health check's port {name!r} is none of the job's")
        case _:
            return None


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _add_variable(environment: wire.Environment, name: str, value: str) -> None:
    environment.variables.add(name=name, value=value)
