"""What a job asks for now: the group that its waiting instances are placed as.

A function of the durable state: what the job's own tasks and those of others rule out is in it.
Neighbours: `placing.py` places such groups, `placement/` knows nothing of jobs and state.
"""

from collections.abc import Iterable, Mapping

from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import AgentId, JobId
from scheduler.core.model.job import Combined, Condition, Constraint, JobSpec, Junction, Operator
from scheduler.core.placement.constraints import AGENT, JOB
from scheduler.core.placement.filters import about_jobs
from scheduler.core.placement.group import Group
from scheduler.core.state import State

SOON_S = 3600.0
LONG_S = 86_400.0
"""A task that may run for long is placed on no agent whose maintenance begins soon, and rather on
one that has none planned for long. One that says how long it runs needs its agent for that time."""


def present_group(state: State, job: Job, wall: float, seed: int = 0) -> Group:
    counts = {attribute: dict(job.placed(attribute)) for attribute in job.counted_by}
    return group_of(state, job.spec, counts, wall, seed)


def group_of(
    state: State,
    spec: JobSpec,
    counts: Mapping[str, Mapping[str, int]],
    wall: float,
    seed: int = 0,
) -> Group:
    """`counts` are of the tasks that stay, by each attribute that the job counts by."""
    template, prefer = spec.template, spec.prefer
    constraints = (*template.constraints, *_kept_off_by(state, spec.job))
    conditions = (*constraints, *(affinity.condition for affinity in prefer.affinities))
    runs_s = template.max_runtime_s
    return Group(
        role=template.role,
        amounts=template.amounts,
        ports=template.ports,
        constraints=constraints,
        prefer=prefer,
        counts=counts,
        company={
            leaf: _agents_of(state, state.neighbours.named(leaf) - {spec.job})
            for condition in conditions
            for leaf in about_jobs(condition)
        },
        instances=spec.instances,
        seed=seed,
        avoided=state.avoided,
        needs_until=wall + (SOON_S if runs_s is None else runs_s),
        stays_until=wall + (LONG_S if runs_s is None else runs_s),
    )


def _kept_off_by(state: State, job: JobId) -> tuple[Condition, ...]:
    """Keeping away is mutual: else it would hold or not by who came first."""
    others = [other for other in state.neighbours.keeping_away_from(job) if state.jobs[other].live]
    if not others:
        return ()
    them = Constraint(JOB, Operator.IN, values=tuple(sorted(others)))
    return (Combined(Junction.NOT, (them,)),)


def _agents_of(state: State, jobs: Iterable[JobId]) -> frozenset[AgentId]:
    """Where their live tasks are."""
    placed = [state.jobs[job].placed(AGENT) for job in jobs]
    return frozenset(AgentId(agent) for agents in placed for agent in agents)
