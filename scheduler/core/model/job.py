"""A job as it was declared: validated, complete, with every default filled in.

`Template` is what a running task was made from: a change of it replaces tasks. Everything else in
`JobSpec` (labels, priority, instances, policies) changes without touching a task.
Durations are seconds.
"""

import enum
from typing import NamedTuple

import msgspec

from scheduler.core.model.ids import JobId, Role
from scheduler.core.model.resources import Amounts


class Kind(enum.StrEnum):
    SERVICE = "service"
    BATCH = "batch"


class Shell(msgspec.Struct, frozen=True, gc=False, tag="shell"):
    """A command line for `/bin/sh -c`."""

    line: str


class Argv(msgspec.Struct, frozen=True, gc=False, tag="argv"):
    """A program and its arguments, no shell between. `argv[0]` is the program."""

    argv: tuple[str, ...]


class ContainerType(enum.StrEnum):
    MESOS = "mesos"
    DOCKER = "docker"


class Container(msgspec.Struct, frozen=True, gc=False):
    image: str
    type: ContainerType = ContainerType.MESOS


class Port(msgspec.Struct, frozen=True, gc=False):
    """A port of the task: any free one of the agent's, or the fixed one named by `host`."""

    name: str
    host: int | None = None


class Artifact(msgspec.Struct, frozen=True, gc=False):
    """Something that the agent fetches into the sandbox before the start."""

    uri: str
    extract: bool = True
    executable: bool = False
    cache: bool = False
    output_file: str | None = None


class Operator(enum.StrEnum):
    """How a constraint compares. The last four are *counted*: they look at the job's live tasks."""

    IS = "is"
    IN = "in"
    LIKE = "like"
    UNLIKE = "unlike"
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    UNIQUE = "unique"
    MAX_PER = "max_per"
    CLUSTER = "cluster"
    GROUP_BY = "group_by"

    @property
    def counted(self) -> bool:
        return self in COUNTED


COUNTED = frozenset({Operator.UNIQUE, Operator.MAX_PER, Operator.CLUSTER, Operator.GROUP_BY})


class Constraint(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`attribute operator value`. The attribute is `hostname`, `@agent` (the agent's id),
    `@region`, `@zone`, `@job` (the jobs that have live tasks on the agent) or one of the agent's
    own.

    `values` are what `in` allows; `count` is the number of `max_per`, and of values that `group_by`
    expects at least (0: those that are seen); `value` is for the rest. `like` and `unlike` take a
    regular expression for the whole value; `placement/constraints.py` has each operator's rule.
    """

    attribute: str
    operator: Operator
    value: str = ""
    values: tuple[str, ...] = ()
    count: int = 0


class Junction(enum.StrEnum):
    ALL = "all"
    ANY = "any"
    NOT = "not"


class Combined(NamedTuple):
    """`all` of some conditions, `any` of them, or `not` a single one. There is one at least.
    Counted constraints are not combined: they stand for themselves."""

    junction: Junction
    conditions: "tuple[Condition, ...]"


Condition = Constraint | Combined


class Affinity(msgspec.Struct, frozen=True, gc=False):
    """Agents that fulfil the condition are preferred, or avoided if the weight is negative."""

    condition: Condition
    weight: int


class Target(msgspec.Struct, frozen=True, gc=False):
    value: str
    percent: int


class Spread(msgspec.Struct, frozen=True, gc=False):
    """The job's tasks are shared out among the values of an attribute: by `targets`, which sum up
    to 100 at most; what they leave is shared evenly by the other values."""

    attribute: str
    targets: tuple[Target, ...] = ()
    weight: int = 50


class Strategy(enum.StrEnum):
    """Which agent is taken among those that are preferred alike: the fullest, so that others stay
    free for what is large; the emptiest; or any."""

    BIN_PACK = "bin_pack"
    SPREAD = "spread"
    RANDOM = "random"


class Preferences(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What decides among agents that may run a task. It rules none out."""

    affinities: tuple[Affinity, ...] = ()
    spread: tuple[Spread, ...] = ()
    strategy: Strategy = Strategy.BIN_PACK


class HttpProbe(msgspec.Struct, frozen=True, gc=False, tag="http"):
    port: str
    path: str = "/"
    scheme: str = "http"


class TcpProbe(msgspec.Struct, frozen=True, gc=False, tag="tcp"):
    port: str


class CommandProbe(msgspec.Struct, frozen=True, gc=False, tag="command"):
    line: str


class HealthCheck(msgspec.Struct, frozen=True, gc=False):
    """The agent's executor kills the task after `failures` failed probes in a row.

    `port` of a probe names one of the template's ports.
    """

    probe: HttpProbe | TcpProbe | CommandProbe
    delay_s: float = 0.0
    interval_s: float = 10.0
    timeout_s: float = 20.0
    grace_s: float = 10.0
    failures: int = 3


class Limits(msgspec.Struct, frozen=True):
    """How much more than it asked for a task may use where the agent has it, in thousandths; None:
    no more than that. Only what it asked for counts when it is placed."""

    cpus: int | None = None
    mem: int | None = None


class Template(msgspec.Struct, frozen=True, gc=False):
    role: Role
    command: Shell | Argv | None
    amounts: Amounts
    container: Container | None = None
    user: str | None = None
    ports: tuple[Port, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    constraints: tuple[Condition, ...] = ()
    health: HealthCheck | None = None
    kill_grace_s: float = 3.0
    max_runtime_s: float | None = None
    limits: Limits = Limits()


class RestartPolicy(enum.StrEnum):
    ALWAYS = "always"
    ON_FAILURE = "on_failure"
    NEVER = "never"


class Restart(msgspec.Struct, frozen=True, gc=False):
    """When an ended attempt is followed by another, and how long after.

    The delay is `initial * factor ** (failures in a row - 1)`, at most `max`. `attempts` bounds the
    failures in a row; 0 is no limit. A batch's `retries: n` is `attempts = n + 1` here.
    """

    policy: RestartPolicy = RestartPolicy.ALWAYS
    backoff_initial_s: float = 1.0
    backoff_factor: float = 2.0
    backoff_s_max: float = 300.0
    attempts: int = 0


class OnReturn(enum.StrEnum):
    KEEP_NEW = "keep_new"
    KEEP_OLD = "keep_old"


class Unreachable(msgspec.Struct, frozen=True, gc=False):
    """What to do with a task on a partitioned agent: wait, then replace; when it returns, keep one.

    `replace_after_s` None: never replace, wait for ever.
    """

    replace_after_s: float | None = 300.0
    on_return: OnReturn = OnReturn.KEEP_NEW


class Update(msgspec.Struct, frozen=True, gc=False):
    """One instance at a time, the old one stopped first; the next follows when the new one has run
    (healthy, where it has a check) for `min_healthy_s`."""

    min_healthy_s: float = 10.0


class JobSpec(msgspec.Struct, frozen=True, gc=False):
    job: JobId
    kind: Kind
    instances: int
    template: Template
    priority: int = 50
    labels: tuple[tuple[str, str], ...] = ()
    restart: Restart = Restart()
    unreachable: Unreachable = Unreachable()
    update: Update = Update()
    prefer: Preferences = Preferences()


INSTANCES_MAX = 100_000
"""Instances that one job may have."""
