"""What is true between any two steps. Tests check it after every step; it reads, never mends."""

from collections import Counter

from scheduler.core.engine import Engine
from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import InstanceKey, TaskIdParts, parse_task_id
from scheduler.core.model.instance import ENDED_KEPT_MAX, TERMINAL
from scheduler.errors import InvariantBroken


def check(engine: Engine) -> None:
    """Raises InvariantBroken, naming the first thing that is not as it must be."""
    for job in engine.state.jobs.values():
        _check_indexes(job)
        for instance in job.instances.values():
            _check_attempts(job, instance.index)
            _check_queue(engine, job, instance.index)


def _check_indexes(job: Job) -> None:
    live = sum(len(instance.live) for instance in job.instances.values())
    _demand(job.live == live, f"{job.id}: {job.live} live attempts counted, there are {live}")
    fresh = Counter(
        job.shown_state(instance)
        for instance in job.instances.values()
        if instance.live or job.wants(instance.index)
    )
    kept = {state: count for state, count in job.counts.items() if count}
    _demand(kept == dict(fresh), f"{job.id}: counts {kept} are not {dict(fresh)}")


def _check_attempts(job: Job, index: int) -> None:
    instance = job.instances[index]
    name = f"{job.id} {index}"
    numbers = [attempt.number for attempt in (*instance.live, *instance.ended)]
    _demand(len(set(numbers)) == len(numbers), f"{name}: an attempt is there twice")
    _demand(max(numbers, default=0) <= instance.attempts, f"{name}: attempts are not counted")
    _demand(len(instance.ended) <= ENDED_KEPT_MAX, f"{name}: too much history")
    for attempt in instance.live:
        parts = parse_task_id(attempt.task_id)
        _demand(attempt.state not in TERMINAL, f"{attempt.task_id}: ended, among the live")
        _demand(
            parts == TaskIdParts(job.id, index, attempt.number, job.record.uid),
            f"{attempt.task_id}: not an id of {name}",
        )
    for attempt in instance.ended:
        _demand(attempt.state in TERMINAL, f"{attempt.task_id}: live, among the ended")


def _check_queue(engine: Engine, job: Job, index: int) -> None:
    """An instance waits exactly when it may be given another attempt."""
    waits = engine.waits(InstanceKey(job.id, index))
    if waits:
        _demand(job.wants(index), f"{job.id} {index}: waits, though it is not wanted")
        _demand(
            job.outcome(job.instances[index]) is None,
            f"{job.id} {index}: waits, though it has its outcome",
        )
    elif job.wants(index) and not job.todo and not job.instances[index].live:
        _demand(
            job.outcome(job.instances[index]) is not None,
            f"{job.id} {index}: neither runs nor waits",
        )


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantBroken(message)
