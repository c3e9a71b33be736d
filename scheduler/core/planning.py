"""From the live tables to what declaring a job would do to its instances (`plan.py` finds room).

It judges as `commands` and `attempts` would, and changes nothing.
"""

from scheduler.core.commands import refusal_of
from scheduler.core.desk import Desk
from scheduler.core.jobs.job import Job
from scheduler.core.model.instance import Attempt, Instance, Outcome
from scheduler.core.model.job import JobSpec, Kind
from scheduler.core.plan import Freed, Planned


def planned(desk: Desk, spec: JobSpec) -> Planned:
    job = desk.state.jobs.get(spec.job)
    version = job.record.version if job is not None else None
    refusal = refusal_of(desk, spec)
    if refusal is not None:
        return Planned(spec, job.spec if job else None, version, refusal=refusal[1])
    ahead = _ahead(desk, spec)
    if job is None:
        return Planned(spec, add=spec.instances, ahead=ahead)
    kept = [instance for instance in job.instances.values() if _keeps(job, spec, instance)]
    gone = [
        instance
        for instance in job.instances.values()
        if instance.live and not _keeps(job, spec, instance)
    ]
    replaced = [instance for instance in gone if instance.index < spec.instances]
    return Planned(
        spec=spec,
        before=job.spec,
        version=version,
        keep=len(kept),
        add=spec.instances - len(kept) - len(replaced),
        replace=len(replaced),
        stop=len(gone) - len(replaced),
        freed=tuple(_freed(job, attempt) for instance in gone for attempt in instance.live),
        taken_hosts=frozenset(a.hostname for instance in kept for a in instance.live),
        ahead=ahead,
    )


def _keeps(job: Job, spec: JobSpec, instance: Instance) -> bool:
    """The instance stays as it is: with its task, or with its outcome."""
    if instance.index >= spec.instances:
        return False
    same = spec.template == job.spec.template
    batch = spec.kind is Kind.BATCH
    if instance.live:
        # A batch's tasks run to their end, whatever the next ones are made from.
        return batch or (same and instance.live[-1].version >= job.record.template_version)
    outcome = job.outcome(instance)
    if outcome is Outcome.FINISHED and batch:
        return same or not job.ended
    return outcome is not None and same


def _freed(job: Job, attempt: Attempt) -> Freed:
    """By what the job asks for now: what an older version asked for is not known any more."""
    return Freed(attempt.agent_id, job.spec.template.amounts, attempt.ports)


def _ahead(desk: Desk, spec: JobSpec) -> int:
    return sum(
        bool(group.active)
        and group.role == spec.template.role
        and group.job != spec.job
        and group.priority >= spec.priority
        for group in desk.queue
    )
