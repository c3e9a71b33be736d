"""Agents and jobs for placement alone: three sizes of agents with attributes, jobs of a hundred
tasks of which half may run anywhere, a quarter once a host, a quarter only where an attribute fits.

The same seed gives the same workload, in values that neither engine has to convert.
"""

from random import Random
from typing import NamedTuple

from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.resources import MILLI, Amounts

SEED = 42
TASKS_A_JOB = 100
AGENT_SIZES = ((16, 65_536), (32, 131_072), (64, 262_144))
CPU_MILLIS = (100, 250, 500, 1_000, 2_000)
MEM_MIB = (128, 256, 512, 1_024, 2_048)
RACKS = 200
ATTRIBUTES = {
    "zone": tuple(f"z{number}" for number in range(3)),
    "generation": tuple(f"g{number}" for number in range(4)),
    "disk": ("ssd", "hdd"),
}


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


class Workload(NamedTuple):
    agents: list[Agent]
    jobs: list[Job]


def make(agents: int, tasks: int) -> Workload:
    random = Random(SEED)
    jobs = -(-tasks // TASKS_A_JOB)
    return Workload(
        [_agent(random, number) for number in range(agents)],
        [
            _job(random, number, min(TASKS_A_JOB, tasks - number * TASKS_A_JOB))
            for number in range(jobs)
        ],
    )


def _agent(random: Random, number: int) -> Agent:
    cpus, mem = random.choice(AGENT_SIZES)
    attributes = {name: random.choice(values) for name, values in ATTRIBUTES.items()}
    attributes["rack"] = f"r{number % RACKS}"
    return Agent(f"agent-{number}", cpus * MILLI, mem * MILLI, attributes)


def _job(random: Random, number: int, tasks: int) -> Job:
    amounts = Amounts(random.choice(CPU_MILLIS), random.choice(MEM_MIB) * MILLI)
    constraint = None
    if number % 4 == 1:
        constraint = Constraint("hostname", Operator.UNIQUE)
    elif number % 4 == 3:
        attribute = random.choice(list(ATTRIBUTES))
        constraint = Constraint(attribute, Operator.IS, random.choice(ATTRIBUTES[attribute]))
    return Job(f"job-{number}", tasks, amounts, constraint)
