"""Placement alone, against a naive first fit on the same workload: no daemon, no store, no wire.

Timed from offers as values to a carved piece of an offer for each task. The offers are made before,
as the codec would have made them.
"""

import time
from collections import Counter
from collections.abc import Sequence

from benchmarks import naive, workload
from benchmarks.children import BenchmarkFailed
from benchmarks.values import Figures, Load
from benchmarks.workload import Agent, Workload
from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.job import Operator
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import OfferedResource, PortRange
from scheduler.core.placement.matcher import Group, assign, place
from scheduler.core.placement.rows import Rows

ROLE = Role("*")
Placements = Sequence[tuple[str, str]]


def run(load: Load) -> Figures:
    made = workload.make(load.agents, load.tasks)
    offers = [_offer(agent) for agent in made.agents]
    began = time.perf_counter()
    placed = grouped(made, offers)
    ours_s = time.perf_counter() - began
    began = time.perf_counter()
    yardstick = naive.first_fit(made)
    naive_s = time.perf_counter() - began
    check(made, placed)
    check(made, yardstick)
    return Figures(
        {
            "placed tasks/s": len(placed) / ours_s,
            "naive: placed tasks/s": len(yardstick) / naive_s,
            "against naive": naive_s / ours_s,
            "placed, share of the tasks": len(placed) / load.tasks,
            "naive: placed, share": len(yardstick) / load.tasks,
        }
    )


def grouped(made: Workload, offers: Sequence[Offer]) -> list[tuple[str, str]]:
    """(job, agent) of each task that was placed."""
    rows = Rows()
    for offer in offers:
        rows.add(offer)
    placed = []
    for job in made.jobs:
        constraints = (job.constraint,) if job.constraint is not None else ()
        group = Group(ROLE, job.amounts, constraints=constraints)
        for row, instances in place(rows, group, job.tasks).shares:
            cut = assign(rows, group, row, instances, seed=len(placed))
            placed += [(job.name, rows[row].agent.hostname)] * len(cut)
    return placed


def check(made: Workload, placed: Placements) -> None:
    """Raises if an agent holds more than it has, or a task is where it may not be."""
    jobs = {job.name: job for job in made.jobs}
    agents = {agent.name: agent for agent in made.agents}
    cpus: Counter[str] = Counter()
    mem: Counter[str] = Counter()
    for pair, count in Counter(placed).items():
        job, agent = jobs[pair[0]], agents[pair[1]]
        cpus[agent.name] += count * job.amounts.cpus
        mem[agent.name] += count * job.amounts.mem
        constraint = job.constraint
        if constraint is None:
            continue
        if constraint.operator is Operator.UNIQUE:
            fits = count == 1
        else:
            fits = agent.attributes[constraint.attribute] == constraint.value
        if not fits:
            raise BenchmarkFailed(f"{job.name} may not run {count} times on {agent.name}")
    for agent in made.agents:
        if cpus[agent.name] > agent.cpus or mem[agent.name] > agent.mem:
            raise BenchmarkFailed(f"{agent.name} was given more than it has")


def _offer(agent: Agent) -> Offer:
    info = AgentInfo(
        AgentId(agent.name), agent.name, attributes=tuple(sorted(agent.attributes.items()))
    )
    resources = (
        OfferedResource("cpus", b"cpus", scalar=agent.cpus),
        OfferedResource("mem", b"mem", scalar=agent.mem),
        OfferedResource("ports", b"ports", ranges=(PortRange(31_000, 32_000),)),
    )
    return Offer(OfferId(f"offer-{agent.name}"), ROLE, info, resources)
