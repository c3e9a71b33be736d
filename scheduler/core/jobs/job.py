"""One job's live table: its record, its instances, and indexes kept up per transition.

Instances that were never attempted have no record and are not in the table: what merely waits is
derived from the job.
"""

from collections import Counter, deque
from collections.abc import Mapping

from scheduler.core.model.instance import Attempt, AttemptState, Instance, Outcome
from scheduler.core.model.job import Kind
from scheduler.core.placement.group import counted_attributes
from scheduler.core.records import Desired, JobRecord


class Job:
    """`todo` holds the indexes that are to be planned; `rolling` is set while attempts of an older
    template may be left to replace, `rollout` then says how that goes, `halted` that it does not
    go on by itself. `counted_by` are the attributes whose values the job's placement counts. The
    ids of the job's tasks have its `ending`, those of another job of the same name have not."""

    __slots__ = (
        "_placed",
        "_wanted",
        "counted_by",
        "counts",
        "ending",
        "halted",
        "id",
        "instances",
        "known",
        "live",
        "outcomes",
        "record",
        "rolling",
        "rollout",
        "spec",
        "todo",
    )

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        self.id = record.spec.job
        self.spec = record.spec
        self.ending = f".{record.uid}"
        self.instances: dict[int, Instance] = {}
        self.todo: deque[int] = deque()
        self.rolling = False
        self.rollout = ""
        self.halted = False
        self._reset()

    @property
    def state(self) -> str:
        """running, stopping, stopped, deleting, ended."""
        match self.record.desired:
            case Desired.RUN:
                return "ended" if self.record.ended_at is not None else "running"
            case Desired.STOP:
                return "stopped" if self.live == 0 else "stopping"
            case Desired.DELETE:
                return "deleting"

    @property
    def runs(self) -> bool:
        return self.record.desired is Desired.RUN

    def wants(self, index: int) -> bool:
        return index < self._wanted

    def set_record(self, record: JobRecord) -> None:
        """Outcomes and counts are judged by the record, so the indexes are made anew; but not where
        only times have changed, as at the end of a job: there may be very many instances."""
        before, self.record, self.spec = self.record, record, record.spec
        if _judged_by(before) != _judged_by(record):
            self._reset()
            for instance in self.instances.values():
                self._count(instance, 1)

    def set_instance(self, instance: Instance) -> None:
        before = self.instances.get(instance.index)
        if before is not None:
            self._count(before, -1)
        self.instances[instance.index] = instance
        self._count(instance, 1)

    def drop_instance(self, index: int) -> None:
        before = self.instances.pop(index, None)
        if before is not None:
            self._count(before, -1)

    def outcome(self, instance: Instance) -> Outcome | None:
        """The instance's outcome, if it still holds: a new template gives what failed another
        chance, and a batch that is run again runs what had finished too."""
        if instance.outcome is None:
            return None
        if instance.outcome is Outcome.FINISHED and self.spec.kind is Kind.BATCH:
            since = self.record.run_version
        else:
            since = self.record.template_version
        return instance.outcome if instance.outcome_version >= since else None

    def failures(self, instance: Instance) -> int:
        """Failures in a row of the present template."""
        return 0 if self._failed_before(instance) else instance.failures

    def not_before(self, instance: Instance) -> float | None:
        """The wall time until which the present template backs off."""
        return None if self._failed_before(instance) else instance.not_before

    def _failed_before(self, instance: Instance) -> bool:
        """What failed was another template; the present one starts with a clean record."""
        return bool(instance.ended) and instance.ended[0].version < self.record.template_version

    def shown_state(self, instance: Instance) -> str:
        """What users see: the newest live attempt's state, else the outcome, else `queued`."""
        if instance.live:
            return instance.live[-1].state
        return self.outcome(instance) or AttemptState.QUEUED

    def state_counts(self) -> dict[str, int]:
        """Instances by shown state; those never attempted count as queued while they are wanted.
        Instances beyond the wanted number that have ended are not counted."""
        counts = {state: count for state, count in self.counts.items() if count > 0}
        never_attempted = self.spec.instances - self.known if self.runs else 0
        if never_attempted:
            queued = counts.get(AttemptState.QUEUED, 0) + never_attempted
            counts[AttemptState.QUEUED] = queued
        return counts

    @property
    def lacks_tasks(self) -> bool:
        """Some wanted instance has neither a live task nor an outcome, planned yet or not."""
        never_attempted = self.spec.instances - self.known if self.runs else 0
        return never_attempted > 0 or self.counts[AttemptState.QUEUED] > 0

    def lacking_first(self) -> list[int]:
        """The indexes of all instances, wanted or there; first those without a task."""
        indexes = list(range(self.spec.instances))
        if self.instances and self.lacks_tasks:
            indexes.sort(key=lambda index: bool(self._live_of(index)))
        if len(self.instances) > self.known:
            indexes += [index for index in self.instances if index >= self.spec.instances]
        return indexes

    def _live_of(self, index: int) -> tuple[Attempt, ...]:
        instance = self.instances.get(index)
        return instance.live if instance is not None else ()

    @property
    def ended(self) -> bool:
        """Every wanted instance has its outcome."""
        return self.outcomes >= self.spec.instances and self.live == 0

    def placed(self, attribute: str) -> Mapping[str, int]:
        """How many live attempts each value of the attribute has. Counted when first asked for, and
        kept up from then on."""
        counter = self._placed.get(attribute)
        if counter is None:
            counter = self._placed[attribute] = Counter()
            for instance in self.instances.values():
                _count_values(counter, instance, attribute, 1)
        return counter

    def _reset(self) -> None:
        self._wanted = self.spec.instances if self.runs else 0
        self.counts: Counter[str] = Counter()
        self.known = 0
        self.live = 0
        self.outcomes = 0
        self.counted_by = counted_attributes(self.spec.template.constraints, self.spec.prefer)
        self._placed: dict[str, Counter[str]] = {}

    def _count(self, instance: Instance, sign: int) -> None:
        wanted = instance.index < self._wanted
        outcome = self.outcome(instance)
        if wanted:
            self.known += sign
            self.outcomes += sign * (outcome is not None)
        if instance.live:
            self.live += sign * len(instance.live)
            self.counts[instance.live[-1].state] += sign
        elif wanted:
            self.counts[outcome or AttemptState.QUEUED] += sign
        for attribute, counter in self._placed.items():
            _count_values(counter, instance, attribute, sign)


def _judged_by(record: JobRecord) -> tuple[object, ...]:
    return record.spec, record.desired, record.template_version, record.run_version


def _count_values(counter: Counter[str], instance: Instance, attribute: str, sign: int) -> None:
    for attempt in instance.live:
        value = attempt.value_of(attribute)
        if value is not None:
            counter[value] += sign
            if not counter[value]:
                del counter[value]
