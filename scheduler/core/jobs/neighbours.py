"""Which jobs name which others in their constraints about `@job`.

An index over the declared jobs, kept up as they come, change and go, so that a job that names no
other, and is named by none, costs nothing. Where the jobs run is their own tables' business
(`job.py`).
"""

from collections.abc import Iterable

from scheduler.core.model.ids import JobId
from scheduler.core.model.job import Combined, Condition, Constraint, JobSpec, Junction, Operator
from scheduler.core.placement.constraints import JOB
from scheduler.core.placement.filters import about_jobs, names

NAMED_MAX = 1024
"""Constraints whose jobs are remembered; beyond that all are forgotten and come back as used."""


class Neighbours:
    def __init__(self) -> None:
        self._jobs: set[JobId] = set()
        self._named: dict[Constraint, set[JobId]] = {}
        self._asking: dict[JobId, tuple[Constraint, ...]] = {}
        self._keeping_away: dict[JobId, tuple[Constraint, ...]] = {}

    def put(self, spec: JobSpec) -> None:
        """The job is new, or has changed."""
        self.remove(spec.job)
        self._jobs.add(spec.job)
        for constraint, jobs in self._named.items():
            if names(constraint, spec.job):
                jobs.add(spec.job)
        constraints = spec.template.constraints
        asked = tuple(leaf for condition in constraints for leaf in about_jobs(condition))
        if asked:
            self._asking[spec.job] = asked
            self._keeping_away[spec.job] = tuple(_kept_away_from(constraints))

    def remove(self, job: JobId) -> None:
        self._jobs.discard(job)
        self._asking.pop(job, None)
        self._keeping_away.pop(job, None)
        for jobs in self._named.values():
            jobs.discard(job)

    def named(self, constraint: Constraint) -> set[JobId]:
        """The jobs that a constraint about `@job` names, or names as unlike."""
        jobs = self._named.get(constraint)
        if jobs is None:
            if len(self._named) >= NAMED_MAX:
                self._named.clear()
            jobs = {job for job in self._jobs if names(constraint, job)}
            self._named[constraint] = jobs
        return jobs

    def asking_for(self, job: JobId) -> list[JobId]:
        """Other jobs that may run somewhere or not because this one does."""
        return _who_name(self._asking, job)

    def keeping_away_from(self, job: JobId) -> list[JobId]:
        """Other jobs that do not run where this one does."""
        return _who_name(self._keeping_away, job)


def _who_name(naming: dict[JobId, tuple[Constraint, ...]], job: JobId) -> list[JobId]:
    return [
        other
        for other, constraints in naming.items()
        if other != job and any(names(constraint, job) for constraint in constraints)
    ]


def _kept_away_from(conditions: Iterable[Condition]) -> Iterable[Constraint]:
    """Only what holds whatever else does: `@job unlike …`, and `not` of single constraints."""
    for condition in conditions:
        match condition:
            case Constraint(attribute="@job", operator=Operator.UNLIKE):
                yield condition
            case Combined(junction=Junction.NOT):
                for one in condition.conditions:
                    if (
                        isinstance(one, Constraint)
                        and one.attribute == JOB
                        and one.operator is not Operator.UNLIKE
                    ):
                        yield one
            case _:
                pass
