"""The vocabulary of jobs as this version carries it out, one body a mapping.

What the vocabulary has and this version does not carry out stands in `later`, so that it is refused
with that word. Descriptions are read by people: they are in the JSON schema, in docs/jobs.md and in
the message for a missing key. What only shows between keys is judged in `cross`; defaults that the
core has are taken from there. Neighbours: `documents` turns a body into a core job and back.
"""

from functools import partial
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from scheduler.core.model.job import (
    INSTANCES_MAX,
    Affinity,
    Condition,
    ContainerType,
    HealthCheck,
    HttpProbe,
    Kind,
    OnReturn,
    Restart,
    RestartPolicy,
    Strategy,
    TcpProbe,
    Unreachable,
    Update,
)
from scheduler.core.model.resources import MILLI, to_milli
from scheduler.jobspec.bodies import Body, Checked
from scheduler.jobspec.constraints import (
    AFFINITY_SCHEMA,
    CONDITION_SCHEMA,
    FORMS,
    WEIGHT_DEFAULT,
    WEIGHT_MAX,
    parse_affinity,
    parse_condition,
    parse_spread_attribute,
)
from scheduler.jobspec.fields import (
    DURATION,
    NEVER,
    SIZE,
    SIZE_ABOVE_ZERO,
    TEXT,
    Command,
    Duration,
    EnvName,
    EnvValue,
    Flag,
    Interval,
    JobName,
    LabelKey,
    LabelValue,
    PortName,
    RoleName,
    Text,
    UserName,
    choice,
    only,
    parse_replace_after,
    whole,
)
from scheduler.jobspec.quantities import CPUS_MAX, parse_decimal, parse_size
from scheduler.jobspec.words import (
    JOB_NAME_FORM,
    PATH_PATTERN,
    URI_PATTERN,
    parse_http_path,
    parse_output_file,
    parse_uri,
)

GPUS_MAX = 1_000
PORTS_MAX = 100
ARTIFACTS_MAX = 100
CONSTRAINTS_MAX = 20
AFFINITIES_MAX = 20
SPREADS_MAX = 5
TARGETS_MAX = 100
RETRIES_MAX = 1_000
RETRIES_DEFAULT = 3
ATTEMPTS_MAX = RETRIES_MAX + 1
FACTOR_MAX = 100
KILL_GRACE_S_DEFAULT = 3.0
"""Mesos' own grace, and the core's."""

_HTTP = HttpProbe(port="")
_HEALTH = HealthCheck(TcpProbe(port=""))
_RESTART = Restart()
_UNREACHABLE = Unreachable()
_UPDATE = Update()


class ContainerBody(Body):
    image: Text = Field(description="the image's name")
    type: Annotated[str, choice(*ContainerType)] = Field(
        default=ContainerType.MESOS.value,
        description="`mesos` (the agent's own containerizer) or `docker`",
    )


Cpus = Annotated[
    int,
    Checked(
        partial(parse_decimal, least_milli=1, most_milli=CPUS_MAX * MILLI),
        {"type": "number", "minimum": 0.001, "maximum": CPUS_MAX},
    ),
]
Memory = Annotated[int, Checked(partial(parse_size, least_milli=MILLI), SIZE_ABOVE_ZERO)]


class ResourcesBody(Body):
    cpus: Cpus = Field(description="cpus of one instance, at most three decimals: 0.5")
    mem: Memory = Field(description="memory of one instance: 256MiB")
    disk: Annotated[int, Checked(parse_size, SIZE)] = Field(
        default=0, description="disk of one instance: 1GiB"
    )
    gpus: Annotated[int, whole(0, GPUS_MAX)] = Field(
        default=0, description="whole gpus of one instance"
    )
    revocable: Flag = Field(
        default=False,
        description="its cpus are such as the agent may take back by ending the task",
    )


class LimitsBody(Body):
    cpus: Cpus | None = Field(
        default=None,
        description="cpus that an instance may use where they are idle; "
        "those of `resources` without",
    )
    mem: Memory | None = Field(
        default=None,
        description="memory that ends an instance which uses more; that of `resources` without",
    )


class PortBody(Body):
    name: PortName = Field(description="its name: `http` is $PORT_HTTP in the task")
    host: Annotated[int, whole(1, 65_535)] | None = Field(
        default=None, description="a fixed port of the agent; any free one when left out"
    )


class ArtifactBody(Body):
    uri: Annotated[str, Checked(parse_uri, {"type": "string", "pattern": URI_PATTERN})] = Field(
        description="where the agent fetches it"
    )
    extract: Flag = Field(default=True, description="unpack it when it is an archive")
    executable: Flag = Field(default=False, description="make it executable")
    cache: Flag = Field(default=False, description="keep it in the agent's cache")
    output_file: Annotated[str, Checked(parse_output_file, TEXT)] | None = Field(
        default=None, description="its name in the sandbox; that of the address when left out"
    )


def _artifact(value: object) -> object:
    return {"uri": value} if isinstance(value, str) else value


ArtifactEntry = Annotated[
    ArtifactBody, BeforeValidator(_artifact, json_schema_input_type=ArtifactBody | str)
]


class HttpProbeBody(Body):
    port: PortName = Field(description="the name of one of the job's ports")
    path: Annotated[str, Checked(parse_http_path, {"type": "string", "pattern": PATH_PATTERN})] = (
        Field(default=_HTTP.path, description="what is asked for; 200 to 399 is healthy")
    )
    scheme: Annotated[str, choice("http", "https")] = Field(
        default=_HTTP.scheme, description="`http` or `https` (certificates are not verified)"
    )


class TcpProbeBody(Body):
    port: PortName = Field(description="the name of one of the job's ports")


class HealthBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [probe]} for probe in ("http", "tcp", "command")]}
    )

    http: HttpProbeBody | None = Field(default=None, description="healthy when it answers a GET")
    tcp: TcpProbeBody | None = Field(default=None, description="healthy when it takes a connection")
    command: Text | None = Field(
        default=None, description="healthy when this shell line exits with 0"
    )
    delay: Duration = Field(
        default=_HEALTH.delay_s, description="from the start to the first probe"
    )
    interval: Interval = Field(default=_HEALTH.interval_s, description="from one probe to the next")
    timeout: Interval = Field(
        default=_HEALTH.timeout_s, description="a probe that takes longer failed"
    )
    grace: Duration = Field(
        default=_HEALTH.grace_s,
        description="failures count only after this time, or after a success",
    )
    failures: Annotated[int, whole(1, 1_000)] = Field(
        default=_HEALTH.failures, description="so many failed probes in a row end the task"
    )


class ChecksBody(Body):
    later: ClassVar[frozenset[str]] = frozenset({"ready"})

    health: HealthBody | None = Field(default=None, description="ends a task that is not healthy")


class KillBody(Body):
    grace: Duration = Field(
        default=KILL_GRACE_S_DEFAULT, description="from SIGTERM to SIGKILL when a task is stopped"
    )


class BackoffBody(Body):
    initial: Duration = Field(
        default=_RESTART.backoff_initial_s, description="wait after one failure"
    )
    factor: Annotated[
        int,
        Checked(
            partial(parse_decimal, least_milli=MILLI, most_milli=FACTOR_MAX * MILLI),
            {"type": "number", "minimum": 1, "maximum": FACTOR_MAX},
        ),
    ] = Field(
        default=to_milli(_RESTART.backoff_factor),
        description="times this after each further failure",
    )
    max: Duration = Field(default=_RESTART.backoff_s_max, description="never longer than this")


class RestartBody(Body):
    policy: Annotated[str, choice(*RestartPolicy)] = Field(
        default=_RESTART.policy.value,
        description="when an ended task is followed by another (service)",
    )
    backoff: BackoffBody = Field(default=BackoffBody(), description="how long to wait before it")
    attempts: Annotated[int, whole(0, ATTEMPTS_MAX)] = Field(
        default=_RESTART.attempts,
        description="so many failures in a row, and it stays failed; 0: no limit (service)",
    )


class UnreachableBody(Body):
    replace_after: Annotated[
        float | None,
        Checked(parse_replace_after, {"anyOf": [DURATION, {"const": NEVER}]}),
    ] = Field(
        default=_UNREACHABLE.replace_after_s,
        description="how long to wait for a task on an unreachable agent; `never`: for ever",
    )
    on_return: Annotated[str, choice(*OnReturn)] = Field(
        default=_UNREACHABLE.on_return.value,
        description="which to keep when a replaced task comes back",
    )


class UpdateBody(Body):
    later: ClassVar[frozenset[str]] = frozenset({"canary", "progress_deadline", "auto_revert"})

    min_healthy_time: Duration = Field(
        default=_UPDATE.min_healthy_s,
        description="a new task must run (healthy) so long before the next",
    )
    order: Annotated[str, only("stop_first")] = Field(
        default="stop_first", description="the old task is stopped before the new one starts"
    )
    max_surge: Annotated[int, only(0)] = Field(
        default=0, description="tasks above the number wanted"
    )
    max_unavailable: Annotated[int, only(1)] = Field(
        default=1, description="tasks replaced at a time"
    )


class SpreadBody(Body):
    attribute: Annotated[str, Checked(parse_spread_attribute, TEXT)] = Field(
        description="whose values share the tasks: zone"
    )
    targets: Annotated[dict[Text, Annotated[int, whole(0, 100)]], Field(max_length=TARGETS_MAX)] = (
        Field(
            default={},
            description="percent for each value; what they leave is for the other values",
        )
    )
    weight: Annotated[int, whole(1, WEIGHT_MAX)] = Field(
        default=WEIGHT_DEFAULT, description="how much it counts beside affinities and other spreads"
    )


ConditionEntry = Annotated[Condition, Checked(parse_condition, CONDITION_SCHEMA)]
AffinityEntry = Annotated[Affinity, Checked(parse_affinity, AFFINITY_SCHEMA)]
_NO_POLICY: dict[str, JsonValue] = {"policy": False, "attempts": False}


def _when_kind(kind: str, properties: dict[str, JsonValue]) -> JsonValue:
    return {
        "if": {"properties": {"kind": {"const": kind}}},
        "then": {"properties": properties},
    }


class JobBody(Body):
    """A job: one YAML document."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["command"]}, {"required": ["container"]}],
            "allOf": [
                _when_kind("service", {"retries": False, "max_runtime": False}),
                _when_kind("batch", {"update": False, "restart": {"properties": _NO_POLICY}}),
            ],
        }
    )
    later: ClassVar[frozenset[str]] = frozenset(
        {
            *("volumes", "networks", "pod"),
            *("after", "gang", "schedule", "timezone", "overlap", "missed", "deadline"),
        }
    )

    job: JobName = Field(description=f"the job's name: {JOB_NAME_FORM}")
    kind: Annotated[str, choice(*Kind, later=("cron", "daemon"))] = Field(
        description="`service` (kept running) or `batch` (each instance runs until it finishes)"
    )
    role: RoleName | None = Field(
        default=None, description="Mesos role; that of the settings if left out"
    )
    priority: Annotated[int, whole(0, 100)] = Field(
        default=50,
        description="higher ones are placed first; among equals jobs with constraints, then the "
        "older",
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default={}, description="names and values for people"
    )
    instances: Annotated[int, whole(0, INSTANCES_MAX)] = Field(
        default=1, description="how many tasks"
    )
    command: Command | None = Field(
        default=None,
        description="text for `/bin/sh -c`, or a list: a program and its arguments. "
        "May be left out when there is a container, whose own command then runs",
    )
    container: ContainerBody | None = Field(
        default=None, description="an image; a plain process without"
    )
    user: UserName | None = Field(
        default=None, description="who runs it; the framework's user without"
    )
    resources: ResourcesBody = Field(description="what one instance gets: cpus and mem at least")
    limits: LimitsBody = Field(
        default=LimitsBody(), description="how far one instance may go beyond its `resources`"
    )
    ports: Annotated[list[PortBody], Field(max_length=PORTS_MAX)] = Field(
        default=[], description="ports of the task: $PORT_NAME, $PORT0, $PORTS"
    )
    env: dict[EnvName, EnvValue] = Field(default={}, description="environment variables")
    artifacts: Annotated[list[ArtifactEntry], Field(max_length=ARTIFACTS_MAX)] = Field(
        default=[], description="fetched into the sandbox before the start: addresses, or mappings"
    )
    constraints: Annotated[list[ConditionEntry], Field(max_length=CONSTRAINTS_MAX)] = Field(
        default=[], description=f"where it may run: {FORMS}"
    )
    affinities: Annotated[list[AffinityEntry], Field(max_length=AFFINITIES_MAX)] = Field(
        default=[],
        description="where it would rather run: constraints with `weight N`, from -100 to 100",
    )
    spread: Annotated[list[SpreadBody], Field(max_length=SPREADS_MAX)] = Field(
        default=[], description="attributes among whose values the tasks are shared out"
    )
    placement: Annotated[str, choice(*Strategy)] = Field(
        default=Strategy.BIN_PACK.value,
        description="which agent is taken among equals: the fullest (`bin_pack`), the emptiest "
        "(`spread`) or any (`random`)",
    )
    checks: ChecksBody = Field(default=ChecksBody(), description="how a task proves that it works")
    kill: KillBody = Field(default=KillBody(), description="how a task is stopped")
    restart: RestartBody = Field(default=RestartBody(), description="what follows when a task ends")
    unreachable: UnreachableBody = Field(
        default=UnreachableBody(), description="what to do when an agent cannot be reached"
    )
    update: UpdateBody = Field(
        default=UpdateBody(), description="how a change is rolled out (service)"
    )
    retries: Annotated[int, whole(0, RETRIES_MAX)] = Field(
        default=RETRIES_DEFAULT, description="failures in a row that are tried again (batch)"
    )
    max_runtime: Interval | None = Field(
        default=None, description="a task that runs longer is ended (batch)"
    )
