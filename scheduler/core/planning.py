"""From the live tables to what declaring a job would do to its instances (`plan.py` finds room).

It judges as `commands` and `attempts` would, and changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from scheduler.core.asking import group_of
from scheduler.core.commands import refusal_of
from scheduler.core.desk import Desk
from scheduler.core.jobs.job import Job
from scheduler.core.known import Known
from scheduler.core.model.ids import Role
from scheduler.core.model.instance import Attempt, Instance, Outcome
from scheduler.core.model.job import JobSpec, Kind
from scheduler.core.placement.group import counted_attributes
from scheduler.core.plan import Freed, Planned, PlanQuestion


def plan_question(
    desk: Desk, specs: Sequence[JobSpec], known: Callable[[Role], Known]
) -> PlanQuestion:
    waiting = Counter((group.role, group.priority) for group in desk.queue if group.active)
    return PlanQuestion(
        connected=desk.connected,
        jobs=tuple(_planned(desk, spec, _ahead(desk, spec, waiting)) for spec in specs),
        known={role: known(role) for role in {spec.template.role for spec in specs}},
    )


def _planned(desk: Desk, spec: JobSpec, ahead: int) -> Planned:
    job = desk.state.jobs.get(spec.job)
    version = job.record.version if job is not None else None
    refusal = refusal_of(desk, spec)
    if refusal is not None:
        return Planned(spec, job.spec if job else None, version, refusal=refusal[1])
    if job is None:
        group = group_of(desk.state, spec, {}, desk.now.wall)
        return Planned(spec, add=spec.instances, group=group, ahead=ahead)
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
        runs=job.runs,
        keep=len(kept),
        add=spec.instances - len(kept) - len(replaced),
        replace=len(replaced),
        stop=len(gone) - len(replaced),
        freed=tuple(_freed(job, attempt) for instance in gone for attempt in instance.live),
        group=group_of(desk.state, spec, _counts(spec, kept), desk.now.wall),
        ahead=ahead,
    )


def _counts(spec: JobSpec, kept: Iterable[Instance]) -> dict[str, Counter[str]]:
    attempts = [attempt for instance in kept for attempt in instance.live]
    return {
        name: Counter(value for one in attempts if (value := one.value_of(name)) is not None)
        for name in counted_attributes(spec.template.constraints, spec.prefer)
    }


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


def _ahead(desk: Desk, spec: JobSpec, waiting: Mapping[tuple[Role, int], int]) -> int:
    """Other jobs of the role that wait with the same priority or a higher one."""
    role, priority = spec.template.role, spec.priority
    count = sum(jobs for (at, with_), jobs in waiting.items() if at == role and with_ >= priority)
    own = desk.queue.group(spec.job)
    counted = own is not None and own.active and own.role == role and own.priority >= priority
    return count - bool(counted)
