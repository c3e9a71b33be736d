"""Placement alone, against naive ways on the same workload: no daemon, no store, no wire.

Timed from offers as values to a carved piece of an offer for each task. The offers are made before,
as the codec would have made them. All times are CPU time.
"""

import functools
import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from benchmarks import naive, workload
from benchmarks.children import BenchmarkFailed
from benchmarks.values import Benchmark, Figures, Load
from benchmarks.workload import UNIQUE_HOST, Agent, Described, Job, Workload
from scheduler.core.model.ids import AgentId, OfferId, Role
from scheduler.core.model.job import Operator
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import OfferedResource, PortRange
from scheduler.core.placement.constraints import value_of
from scheduler.core.placement.group import Group, counted_attributes
from scheduler.core.placement.matcher import Placed, assign, place
from scheduler.core.placement.rows import Rows
from scheduler.core.placing import DECISION_INSTANCES_MAX, ONE_BY_ONE_MAX

ROLE = Role("*")
FIRST_FIT_A_S_MIN = 10_000
"""A machine on which naive first fit on a large workload is slower than this is too busy."""
LARGE = 100_000

T = TypeVar("T")
Placements = Sequence[tuple[str, str]]
NAIVE: Mapping[str, Callable[[Workload], Placements]] = {
    "first_fit": naive.first_fit,
    "best_fit": naive.best_fit,
}


class Ours(NamedTuple):
    """(job, agent) of each task that was placed, and what each decision took."""

    placed: Placements
    decisions_s: Sequence[float]


def benchmarks() -> dict[str, Benchmark]:
    """One for each file in `workloads/`."""
    return {
        name: Benchmark(
            functools.partial(run, described),
            Load(described.agents, described.tasks),
            f"placement alone: {described.about}",
            described.floors,
            described.on_request,
        )
        for name, described in workload.described().items()
    }


def run(described: Described, load: Load) -> Figures:
    jobs = -(-load.tasks // described.tasks_a_job)
    made = workload.make(msgspec.structs.replace(described, agents=load.agents, jobs=jobs))
    offers = [offer_of(agent) for agent in made.agents]
    ours, ours_s = _timed(lambda: grouped(offers, in_queue_order(made.jobs)))
    check(made, ours.placed)
    tasks = sum([job.tasks for job in made.jobs])
    values = {
        "placed tasks/s": len(ours.placed) / ours_s,
        "placed, share of the tasks": len(ours.placed) / tasks,
        "a decision, p99, ms of CPU": p99(ours.decisions_s) * 1_000,
    }
    valid = True
    for name in described.against:
        words = name.replace("_", " ")
        placed, naive_s = _timed(functools.partial(NAIVE[name], made))
        check(made, placed)
        values[f"naive {words}, placed tasks/s"] = len(placed) / naive_s
        values[f"faster than {words}, times"] = naive_s / ours_s
        values[f"placed, against {words}"] = len(ours.placed) / len(placed)
        if name == "first_fit" and len(placed) >= LARGE:
            valid = len(placed) / naive_s >= FIRST_FIT_A_S_MIN
        if name == "best_fit":
            as_they_came = grouped(offers, made.jobs).placed
            values["hosts used, in order of arrival, against best fit"] = _hosts(
                as_they_came
            ) / _hosts(placed)
    return Figures(values, valid)


def in_queue_order(jobs: Sequence[Job]) -> list[Job]:
    """As the queue has jobs of one priority: those with a constraint first."""
    return sorted(jobs, key=lambda job: job.constraint is None)


def grouped(offers: Sequence[Offer], jobs: Sequence[Job]) -> Ours:
    rows = Rows()
    for offer in offers:
        rows.add(offer)
    placed: list[tuple[str, str]] = []
    decisions_s = []
    for job in jobs:
        group = _group_of(job, seed=len(placed))
        left = job.tasks
        while left:
            began = time.process_time()
            made = place(rows, group, min(left, DECISION_INSTANCES_MAX), ONE_BY_ONE_MAX)
            cuts = assign(rows, group, made.shares, seed=len(placed))
            for (row, _), cut in zip(made.shares, cuts, strict=True):
                placed += [(job.name, rows[row].agent.hostname)] * len(cut)
            decisions_s.append(time.process_time() - began)
            left -= made.instances
            if made.shortfall is not None:
                break
            group = _counting_too(rows, group, made)
    return Ours(placed, decisions_s)


def _group_of(job: Job, seed: int) -> Group:
    constraints = (job.constraint,) if job.constraint is not None else ()
    if job.asked is None:
        return Group(ROLE, job.amounts, constraints=constraints)
    constraints, prefer = job.asked
    counts: dict[str, dict[str, int]] = {
        attribute: {} for attribute in counted_attributes(constraints, prefer)
    }
    return Group(
        ROLE,
        job.amounts,
        constraints=constraints,
        prefer=prefer,
        counts=counts,
        instances=job.tasks,
        seed=seed,
    )


def _counting_too(rows: Rows, group: Group, made: Placed) -> Group:
    """As the group is when the next part of its job is decided on."""
    counts = {attribute: Counter(values) for attribute, values in group.counts.items()}
    for row, instances in made.shares:
        for attribute, counter in counts.items():
            value = value_of(rows[row].agent, attribute)
            if value is not None:
                counter[value] += instances
    return msgspec.structs.replace(group, counts=counts)


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
        if job.asked is not None and UNIQUE_HOST in job.asked[0] and count > 1:
            raise BenchmarkFailed(f"{job.name} may not run {count} times on {agent.name}")
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


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and the CPU time it took; it does not pay for garbage made before."""
    gc.collect()
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def _hosts(placed: Placements) -> int:
    return len({agent for _, agent in placed})


def offer_of(agent: Agent) -> Offer:
    info = AgentInfo(
        AgentId(agent.name), agent.name, attributes=tuple(sorted(agent.attributes.items()))
    )
    resources = (
        OfferedResource("cpus", b"cpus", scalar=agent.cpus),
        OfferedResource("mem", b"mem", scalar=agent.mem),
        OfferedResource("ports", b"ports", ranges=(PortRange(31_000, 32_000),)),
    )
    return Offer(OfferId(f"offer-{agent.name}"), ROLE, info, resources)
