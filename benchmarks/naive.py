"""Placement as one would write it first: each task looks at agent after agent.

Yardsticks that any reader understands, on the same workload; nothing of the scheduler is in them.
They only choose: no resources are cut.
"""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.workload import Agent, Job, Workload
from scheduler.core.model.job import Operator

CPU_IN_MIB = 4096
"""What a cpu weighs in best fit, the same as in the scheduler: machines have 4 GiB a cpu."""


class _Free:
    """What an agent has left, and which jobs run on it."""

    __slots__ = ("attributes", "cpus", "jobs", "mem", "name")

    def __init__(self, agent: Agent) -> None:
        self.name = agent.name
        self.cpus = agent.cpus
        self.mem = agent.mem
        self.attributes = agent.attributes
        self.jobs: set[str] = set()


class _Task(NamedTuple):
    """`attribute` and `value`: where alone it may run; empty: anywhere."""

    job: str
    cpus: int
    mem: int
    unique: bool
    attribute: str
    value: str


def first_fit(workload: Workload) -> list[tuple[str, str]]:
    """(job, agent) of each task that was placed, each on the first agent that takes it."""
    agents = [_Free(agent) for agent in workload.agents]
    placed = []
    for task in _tasks(workload.jobs):
        for free in agents:
            if _takes(free, task):
                placed.append(_use(free, task))
                break
    return placed


def best_fit(workload: Workload) -> list[tuple[str, str]]:
    """Likewise, each on the agent that has the least left of those that take it."""
    agents = [_Free(agent) for agent in workload.agents]
    placed = []
    for task in _tasks(workload.jobs):
        best = None
        least = 0
        for free in agents:
            if _takes(free, task):
                left = free.cpus * CPU_IN_MIB + free.mem
                if best is None or left < least:
                    best, least = free, left
        if best is not None:
            placed.append(_use(best, task))
    return placed


def _tasks(jobs: list[Job]) -> Iterator[_Task]:
    for job in jobs:
        unique, attribute, value = False, "", ""
        if job.constraint is not None:
            unique = job.constraint.operator is Operator.UNIQUE
            if not unique:
                attribute, value = job.constraint.attribute, job.constraint.value
        task = _Task(job.name, job.amounts.cpus, job.amounts.mem, unique, attribute, value)
        for _ in range(job.tasks):
            yield task


def _takes(free: _Free, task: _Task) -> bool:
    if free.cpus < task.cpus or free.mem < task.mem:
        return False
    if task.unique:
        return task.job not in free.jobs
    if task.attribute:
        return free.attributes[task.attribute] == task.value
    return True


def _use(free: _Free, task: _Task) -> tuple[str, str]:
    free.cpus -= task.cpus
    free.mem -= task.mem
    free.jobs.add(task.job)
    return task.job, free.name
