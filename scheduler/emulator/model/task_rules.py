"""What makes a task of a LAUNCH acceptable: the master's checks in its order, first error wins.

Functions over messages; what is known of the framework's other tasks comes in as `Known`.
Authorization is not emulated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scheduler.emulator.model import bundle
from scheduler.emulator.model.bundle import Bundle
from scheduler.emulator.model.framework_rules import good_id
from scheduler.mesos.proto.mesos_v1_pb2 import (
    CheckInfo,
    CommandInfo,
    ContainerInfo,
    Environment,
    HealthCheck,
    Resource,
    Secret,
    TaskInfo,
    Volume,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the master knows when the task comes; `left` is what the offers still hold."""

    agent_id: str
    framework_id: str
    role: str
    left: Bundle
    in_use: Callable[[str], bool]
    unreachable: Callable[[str], bool]


def problem(task: TaskInfo, known: Known) -> str | None:
    """Why the task is TASK_ERROR, or None; its resources are well-formed (`bundle.problem`)."""
    return next((found for found in _problems(task, known) if found), None)


def amounts(task: TaskInfo) -> Bundle | None:
    """What a task (with its own executor, if any) takes; None: something never offered."""
    own = bundle.from_resources(task.resources)
    executor = bundle.from_resources(task.executor.resources)
    return None if own is None or executor is None else own + executor


def _problems(task: TaskInfo, known: Known) -> Iterator[str | None]:
    task_id = task.task_id.value
    yield None if good_id(task_id) else "the task id is not valid"
    yield f"task id '{task_id}' is in use" if known.in_use(task_id) else None
    if known.unreachable(task_id):
        yield f"task id '{task_id}' is in use on an unreachable agent"
    if task.agent_id.value != known.agent_id:
        yield "the task's agent is not that of the offers"
    if task.kill_policy.grace_period.nanoseconds < 0:
        yield "kill_policy.grace_period is negative"
    if task.max_completion_time.nanoseconds < 0:
        yield "max_completion_time is negative"
    yield _check_problem(task.check) if task.HasField("check") else None
    yield _health_problem(task.health_check) if task.HasField("health_check") else None
    yield _resources_problem(task, known)
    yield _command_problem(task.command)
    yield _container_problem(task.container) if task.HasField("container") else None
    yield _limits_problem(task)
    if task.HasField("command") == task.HasField("executor"):
        yield "a task needs at least one (but not both) of command and executor"
    yield _executor_problem(task, known) if task.HasField("executor") else None
    twice = bundle.overlap([*task.resources, *task.executor.resources])
    yield f"'{twice}' is asked for twice" if twice else None
    wanted = amounts(task)
    if wanted is None or not known.left.contains(wanted):
        yield "the task asks for more than is offered"
    if task.container.linux_info.HasField("share_cgroups"):
        yield (
            None
            if task.container.linux_info.share_cgroups
            else "share_cgroups=false needs a task group"
        )


def _check_problem(check: CheckInfo) -> str | None:
    members = {CheckInfo.COMMAND: "command", CheckInfo.HTTP: "http", CheckInfo.TCP: "tcp"}
    member = members.get(check.type) if check.HasField("type") else None
    if member == "command" and check.HasField("command"):
        missing = not check.command.command.HasField("value")
        found = "check.command has no value" if missing else None
        found = found or _command_problem(check.command.command)
    elif member == "http" and check.HasField("http"):
        found = _path_problem("check.http", check.http.path)
    elif member == "tcp" and check.HasField("tcp"):
        found = None
    else:
        return "check has no type, or not the member of its type"
    negative = min(check.delay_seconds, check.interval_seconds, check.timeout_seconds) < 0
    return found or ("a time of check is negative" if negative else None)


def _health_problem(check: HealthCheck) -> str | None:
    kind = _health_type(check)
    if kind == HealthCheck.COMMAND and check.HasField("command"):
        if not check.command.HasField("value"):
            return "health_check.command has no value"
        found = _command_problem(check.command)
    elif kind == HealthCheck.HTTP and check.HasField("http"):
        if check.http.HasField("scheme") and check.http.scheme not in ("http", "https"):
            return "health_check.http.scheme is neither http nor https"
        found = _path_problem("health_check.http", check.http.path)
    elif kind == HealthCheck.TCP and check.HasField("tcp"):
        found = None
    else:
        return "health_check has no type, or not the member of its type"
    times = check.delay_seconds, check.interval_seconds, check.timeout_seconds
    negative = min(*times, check.grace_period_seconds) < 0
    return found or ("a time of health_check is negative" if negative else None)


def _health_type(check: HealthCheck) -> HealthCheck.Type | None:
    """ "Inferred if only `command` or only `http` is set" """
    if check.HasField("type"):
        return check.type
    if check.HasField("command") and not check.HasField("http"):
        return HealthCheck.COMMAND
    if check.HasField("http") and not check.HasField("command"):
        return HealthCheck.HTTP
    return None


def _path_problem(where: str, path: str) -> str | None:
    return f"{where}.path does not start with '/'" if path and not path.startswith("/") else None


def _resources_problem(task: TaskInfo, known: Known) -> str | None:
    if not task.resources:
        return "the task asks for no resources"
    asked: list[Resource] = [*task.resources, *task.executor.resources]
    if any(one.name == "gpus" and one.scalar.value % 1 for one in asked):
        return "gpus are whole numbers"
    mixed = bundle.mixed(asked)
    if mixed:
        return f"revocable and other resources of '{mixed}'"
    roles = {one.allocation_info.role for one in asked if one.HasField("allocation_info")}
    if roles - {known.role}:
        return "resources of more than one allocation role, or not of the offers' role"
    return None


def _command_problem(command: CommandInfo) -> str | None:
    for variable in command.environment.variables:
        found = _variable_problem(variable)
        if found:
            return f"environment variable '{variable.name}': {found}"
    return None


def _variable_problem(variable: Environment.Variable) -> str | None:
    if variable.type == Environment.Variable.UNKNOWN:
        return "unknown type"
    secret = variable.type == Environment.Variable.SECRET
    if secret != variable.HasField("secret") or secret == variable.HasField("value"):
        return "the type does not match the member that is set"
    if not secret:
        return None
    members = {Secret.REFERENCE: (True, False), Secret.VALUE: (False, True)}
    given = variable.secret.HasField("reference"), variable.secret.HasField("value")
    if members.get(variable.secret.type) != given:
        return "the secret's type does not match its member"
    return "a NUL in the secret" if b"\0" in variable.secret.value.data else None


def _container_problem(container: ContainerInfo) -> str | None:
    if container.type == ContainerInfo.DOCKER:
        if not container.HasField("docker"):
            return "a DOCKER container without docker"
        if any(one.key == "name" for one in container.docker.parameters):
            return "docker parameter 'name' is not allowed"
    return next((_volume_problem(one) for one in container.volumes if _volume_problem(one)), None)


def _volume_problem(volume: Volume) -> str | None:
    given = [volume.HasField("host_path"), volume.HasField("image"), volume.HasField("source")]
    if sum(given) != 1:
        return "a volume needs exactly one of host_path, image, source"
    if not volume.HasField("source"):
        return None
    kinds = Volume.Source
    present = {
        kinds.DOCKER_VOLUME: volume.source.HasField("docker_volume"),
        kinds.SANDBOX_PATH: volume.source.HasField("sandbox_path"),
        kinds.SECRET: volume.source.HasField("secret"),
        kinds.HOST_PATH: volume.source.HasField("host_path"),
        kinds.CSI_VOLUME: volume.source.HasField("csi_volume"),
    }
    return None if present.get(volume.source.type) else "a volume source without its member"


def _limits_problem(task: TaskInfo) -> str | None:
    for name, limit in task.limits.items():
        if name not in ("cpus", "mem"):
            return f"a limit for '{name}'; only cpus and mem have one"
        asked = sum(one.scalar.value for one in task.resources if one.name == name)
        if not limit.value >= asked:
            return f"the limit of '{name}' is below what is asked"
    return None


def _executor_problem(task: TaskInfo, known: Known) -> str | None:
    executor = task.executor
    if not good_id(executor.executor_id.value):
        return "the executor id is not valid"
    if executor.HasField("framework_id") and executor.framework_id.value != known.framework_id:
        return "the executor names another framework"
    if executor.type not in (executor.UNKNOWN, executor.CUSTOM):
        return "the executor of a task is of type CUSTOM"
    return None if executor.HasField("command") else "a custom executor needs a command"
