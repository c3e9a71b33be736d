"""What a job asks for now: the group that its waiting instances are placed as.

A function of the durable state: what the job's own tasks and those of others rule out is in it.
Neighbours: `placing.py` places such groups, `placement/` knows nothing of jobs and state.
"""

from collections.abc import Mapping

from scheduler.core.jobs.job import Job
from scheduler.core.model.job import JobSpec
from scheduler.core.placement.group import Group
from scheduler.core.state import State


def present_group(state: State, job: Job, seed: int = 0) -> Group:
    counts = {attribute: dict(job.placed(attribute)) for attribute in job.counted_by}
    return group_of(state, job.spec, counts, seed)


def group_of(
    state: State, spec: JobSpec, counts: Mapping[str, Mapping[str, int]], seed: int = 0
) -> Group:
    """`counts` are of the tasks that stay, by each attribute that the job counts by."""
    template = spec.template
    return Group(
        role=template.role,
        amounts=template.amounts,
        ports=template.ports,
        constraints=template.constraints,
        prefer=spec.prefer,
        counts=counts,
        instances=spec.instances,
        seed=seed,
    )
