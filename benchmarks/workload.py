"""Agents and jobs for placement alone, as a file in `workloads/` describes them, and what a round
on them must reach.

Agents of three sizes carry five attributes besides their hostname. Of every four jobs two may run
anywhere, one once a host, and one only where an attribute has a certain value. Or each of them asks
for something by which its own tasks are counted or rows compared (`ASKING`). The same file gives
the same workload each time, in values that neither engine has to convert.
"""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from benchmarks.values import Floor
from scheduler.core.model.job import (
    Affinity,
    Constraint,
    Operator,
    Preferences,
    Spread,
    Strategy,
    Target,
)
from scheduler.core.model.resources import MILLI, Amounts

FOLDER = Path(__file__).parent / "workloads"
SEED = 42
AGENT_SIZES = ((16, 65_536), (32, 131_072), (64, 262_144))
CPU_MILLIS = (100, 250, 500, 1_000, 2_000)
MEM_MIB = (128, 256, 512, 1_024, 2_048)
RACKS = tuple(f"rack{number}" for number in range(200))
ZONES = tuple(f"zone{number}" for number in range(3))
SYSTEMS = ("deb", "rhel")
GENERATIONS = tuple(f"gen{number}" for number in range(4))
DISKS = ("ssd", "hdd")

Asked = tuple[tuple[Constraint, ...], Preferences]

UNIQUE_HOST = Constraint("hostname", Operator.UNIQUE)
LEVEL_ZONES = Constraint("zone", Operator.GROUP_BY)
TARGETS = (Target("zone0", 50), Target("zone1", 30))
ON_SSD = Affinity(Constraint("disktype", Operator.IS, "ssd"), 50)
NOTHING = Preferences()

ASKING: tuple[Asked, ...] = (
    ((LEVEL_ZONES,), NOTHING),
    ((Constraint("rack", Operator.GROUP_BY),), NOTHING),
    ((UNIQUE_HOST, LEVEL_ZONES), NOTHING),
    ((Constraint("rack", Operator.MAX_PER, count=6),), NOTHING),
    ((Constraint("hostname", Operator.MAX_PER, count=2),), NOTHING),
    ((Constraint("zone", Operator.CLUSTER),), NOTHING),
    ((), Preferences(spread=(Spread("zone", TARGETS),))),
    ((), Preferences(spread=(Spread("zone"), Spread("rack")))),
    ((UNIQUE_HOST,), Preferences(spread=(Spread("rack"),))),
    ((), Preferences(spread=(Spread("hostname"),))),
    ((), Preferences(spread=(Spread("zone"), Spread("disktype")))),
    ((LEVEL_ZONES,), Preferences(affinities=(ON_SSD,))),
    ((), Preferences(strategy=Strategy.SPREAD)),
    ((), Preferences(strategy=Strategy.RANDOM)),
)
"""What jobs ask for in turn. One of them counts by attributes that cross each other."""


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in `workloads/`. `distinct`: no two jobs ask for the same amounts. `against` names the
    functions of `naive.py` that a round is compared with. What takes minutes a round is run
    `on_request`, by its whole name, and not with all others. `counted`: each job asks for one of
    `ASKING`, which the naive ways know nothing of, and racks lie in zones."""

    about: str
    agents: int
    jobs: int
    tasks_a_job: int
    against: tuple[str, ...]
    floors: Mapping[str, Floor]
    distinct: bool = False
    on_request: bool = False
    counted: bool = False

    @property
    def tasks(self) -> int:
        return self.jobs * self.tasks_a_job


class Agent(NamedTuple):
    """`cpus` and `mem` in thousandths; `attributes` without the hostname."""

    name: str
    cpus: int
    mem: int
    attributes: dict[str, str]


class Job(NamedTuple):
    name: str
    tasks: int
    amounts: Amounts
    constraint: Constraint | None
    asked: Asked | None = None


class Workload(NamedTuple):
    agents: list[Agent]
    jobs: list[Job]


def described() -> dict[str, Described]:
    """All files, by name."""
    return {
        file.stem: msgspec.yaml.decode(file.read_bytes(), type=Described)
        for file in sorted(FOLDER.glob("*.yaml"))
    }


def make(described: Described) -> Workload:
    random = Random(SEED)
    agents = [_agent(random, number, described) for number in range(described.agents)]
    jobs = [_job(random, number, described) for number in range(described.jobs)]
    return Workload(agents, jobs)


def _agent(random: Random, number: int, described: Described) -> Agent:
    cpus, mem = random.choice(AGENT_SIZES)
    zone = number % len(RACKS) if described.counted else number
    attributes = {
        "rack": RACKS[number % len(RACKS)],
        "zone": ZONES[zone % len(ZONES)],
        "os": random.choice(SYSTEMS),
        "gen": random.choice(GENERATIONS),
        "disktype": random.choice(DISKS),
    }
    return Agent(f"agent-{number}", cpus * MILLI, mem * MILLI, attributes)


def _job(random: Random, number: int, described: Described) -> Job:
    cpus, mem = random.choice(CPU_MILLIS), random.choice(MEM_MIB) * MILLI
    if described.distinct:
        mem += number
    amounts = Amounts(cpus, mem)
    if described.counted:
        asked = ASKING[number % len(ASKING)]
        return Job(f"job-{number}", described.tasks_a_job, amounts, None, asked)
    constraint = None
    if number % 4 == 1:
        constraint = Constraint("hostname", Operator.UNIQUE)
    elif number % 4 == 3:
        constraint = _attribute_is(random)
    return Job(f"job-{number}", described.tasks_a_job, amounts, constraint)


def _attribute_is(random: Random) -> Constraint:
    attribute = random.choice(("zone", "os", "gen", "disktype", "rack"))
    values = {
        "zone": random.choice(ZONES),
        "os": random.choice(SYSTEMS),
        "gen": random.choice(GENERATIONS),
        "disktype": random.choice(DISKS),
        "rack": random.choice(RACKS),
    }
    return Constraint(attribute, Operator.IS, values[attribute])
