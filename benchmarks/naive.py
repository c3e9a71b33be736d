"""First fit as one would write it first: each task looks at agent after agent until one fits.

A yardstick that any reader understands, on the same workload; nothing of the scheduler is in it.
"""

from benchmarks.workload import Agent, Job, Workload
from scheduler.core.model.job import Operator


class _Free:
    """What an agent has left, and which jobs run on it."""

    __slots__ = ("agent", "cpus", "jobs", "mem")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.cpus = agent.cpus
        self.mem = agent.mem
        self.jobs: set[str] = set()

    def takes(self, job: Job) -> bool:
        if self.cpus < job.amounts.cpus or self.mem < job.amounts.mem:
            return False
        constraint = job.constraint
        if constraint is None:
            return True
        if constraint.operator is Operator.UNIQUE:
            return job.name not in self.jobs
        return self.agent.attributes[constraint.attribute] == constraint.value


def first_fit(workload: Workload) -> list[tuple[str, str]]:
    """(job, agent) of each task that was placed."""
    agents = [_Free(agent) for agent in workload.agents]
    placed = []
    for job in workload.jobs:
        for _ in range(job.tasks):
            for free in agents:
                if free.takes(job):
                    free.cpus -= job.amounts.cpus
                    free.mem -= job.amounts.mem
                    free.jobs.add(job.name)
                    placed.append((job.name, free.agent.name))
                    break
    return placed
