"""Replacing a service's tasks after its template changed: one at a time, the old one first.

The next one follows when all that run the new template have settled. So when one fails to run, the
rest stay as they are, and the job says why; when it runs after all, the rollout goes on by itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import TaskId
from scheduler.core.model.instance import AWAY, Attempt, AttemptState, Instance, Outcome
from scheduler.core.model.job import JobSpec


class Wait(NamedTuple):
    """Why the next one is not replaced yet."""

    text: str
    halts: bool = False


class Rollout(msgspec.Struct, frozen=True):
    """`replace` is the task that is to end now; `look_again_at` a wall time when something will
    have settled; `over` when no attempt of an older template is left; `halted` when an attempt of
    the new template has ended and none follows it yet."""

    replace: TaskId | None = None
    look_again_at: float | None = None
    over: bool = False
    text: str = ""
    halted: bool = False


def next_replacement(job: Job, confirmed: Callable[[TaskId], bool], wall: float) -> Rollout:
    """Attempts that the present master has not spoken of (`confirmed`) are left alone, and nothing
    is built on what was stored of them."""
    spec, version = job.spec, job.record.template_version
    old: list[TaskId] = []
    waits: list[Wait] = []
    look_again_at: float | None = None
    for index in range(spec.instances):
        instance = job.instances.get(index)
        attempt = _present(instance)
        if attempt is None or attempt.end is not None:
            if instance is None or job.outcome(instance) is not Outcome.FINISHED:
                waits.append(_why_absent(job, instance, index))
        elif not confirmed(attempt.task_id):
            waits.append(Wait(f"the master has not spoken of instance {index} yet"))
        elif attempt.version < version:
            old.append(attempt.task_id)
        elif (settles_at := _settles_at(spec, attempt)) is None:
            waits.append(Wait(f"instance {index} is not {_aim(spec)} yet"))
        elif settles_at > wall:
            waits.append(Wait(f"instance {index} has not run long enough yet"))
            look_again_at = min(look_again_at or settles_at, settles_at)
    if not old and not _any_older(job, version):
        return Rollout(over=True)
    left = f"{len(old)} of {spec.instances} instances run an older version"
    if waits:
        first = max(waits, key=lambda wait: wait.halts)
        return Rollout(None, look_again_at, text=f"{left}; {first.text}", halted=first.halts)
    return Rollout(replace=old[0] if old else None, text=left)


def _present(instance: Instance | None) -> Attempt | None:
    """The newest attempt that is not away."""
    if instance is None:
        return None
    for attempt in reversed(instance.live):
        if attempt.state not in AWAY:
            return attempt
    return None


def _settles_at(spec: JobSpec, attempt: Attempt) -> float | None:
    """The wall time from which the attempt counts as running well; None when it does not run."""
    if attempt.state is not AttemptState.RUNNING or attempt.started_at is None:
        return None
    if spec.template.health is not None and attempt.healthy is not True:
        return None
    return attempt.started_at + spec.update.min_healthy_s


def _any_older(job: Job, version: int) -> bool:
    return any(
        attempt.version < version
        for instance in job.instances.values()
        if instance.index < job.spec.instances
        for attempt in instance.live
    )


def _why_absent(job: Job, instance: Instance | None, index: int) -> Wait:
    if (
        instance is not None
        and instance.ended
        and instance.ended[0].version >= (job.record.template_version)
    ):
        last = instance.ended[0]
        said = f": {last.message}" if last.message else ""
        return Wait(f"halted, instance {index} {last.state}{said}", halts=True)
    return Wait(f"instance {index} does not run yet")


def _aim(spec: JobSpec) -> str:
    return "running" if spec.template.health is None else "healthy"
