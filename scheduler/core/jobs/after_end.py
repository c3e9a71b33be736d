"""What follows the end of an attempt: another one, and when, or the instance's outcome.

One function a kind of job, in a table. Values in, values out.
"""

from collections.abc import Callable

import msgspec

from scheduler.core.model.instance import Attempt, AttemptState, EndReason, Outcome
from scheduler.core.model.job import JobSpec, Kind, Restart, RestartPolicy


class Again(msgspec.Struct, frozen=True):
    """Another attempt after `delay_s`. `failures` is the new number of failures in a row."""

    delay_s: float
    failures: int


class Settled(msgspec.Struct, frozen=True):
    """No further attempt."""

    outcome: Outcome
    failures: int


Next = Again | Settled

NO_FAULT_DELAY_S = 1.0
"""An end that is not the task's fault is retried soon, but not in a hot loop: each launch costs the
master and an agent."""

_NO_FAULT_STATES = frozenset({AttemptState.DROPPED, AttemptState.LOST, AttemptState.GONE})
_NO_FAULT_REASONS = frozenset({"agent_draining", "container_preempted"})
"""The agent ended it to get rid of all that it runs, or to take back what it had lent (the QoS
controller of Mesos' oversubscription)."""
_ASKED_FOR = frozenset(EndReason) - {EndReason.LAUNCH_TIMEOUT}


def after_end(spec: JobSpec, attempt: Attempt, failures: int, stable_run_s: float) -> Next:
    """`failures` is the number in a row before this attempt; a run of at least `stable_run_s`
    starts the row anew."""
    if attempt.started_at is not None and attempt.since - attempt.started_at >= stable_run_s:
        failures = 0
    if attempt.state is AttemptState.ERROR:
        # guide §4: TASK_ERROR means that the description is refused; the same one will be again.
        return Settled(Outcome.ERROR, failures)
    if attempt.end is not None and attempt.end.reason in _ASKED_FOR:
        if attempt.state is not AttemptState.FINISHED or spec.kind is Kind.SERVICE:
            return Again(0.0, failures)
    elif attempt.state in _NO_FAULT_STATES or attempt.reason in _NO_FAULT_REASONS:
        return Again(NO_FAULT_DELAY_S, failures)
    return _BY_KIND[spec.kind](spec.restart, attempt, failures)


def _service(restart: Restart, attempt: Attempt, failures: int) -> Next:
    finished = attempt.state is AttemptState.FINISHED
    match restart.policy:
        case RestartPolicy.NEVER:
            return Settled(Outcome.FINISHED if finished else Outcome.FAILED, failures)
        case RestartPolicy.ON_FAILURE if finished:
            return Settled(Outcome.FINISHED, 0)
        case RestartPolicy.ON_FAILURE | RestartPolicy.ALWAYS:
            # A service that ends at once, even well, is in a crash loop.
            return _retry(restart, failures + 1)


def _batch(restart: Restart, attempt: Attempt, failures: int) -> Next:
    if attempt.state is AttemptState.FINISHED:
        return Settled(Outcome.FINISHED, 0)
    return _retry(restart, failures + 1)


def _retry(restart: Restart, failures: int) -> Next:
    if restart.attempts and failures >= restart.attempts:
        return Settled(Outcome.FAILED, failures)
    return Again(backoff_s(restart, failures), failures)


def backoff_s(restart: Restart, failures: int) -> float:
    """The delay after `failures` (≥ 1) failures in a row; never overflows."""
    delay_s = restart.backoff_initial_s
    for _ in range(failures - 1):
        delay_s *= restart.backoff_factor
        if delay_s >= restart.backoff_s_max:
            return restart.backoff_s_max
    return min(delay_s, restart.backoff_s_max)


_BY_KIND: dict[Kind, Callable[[Restart, Attempt, int], Next]] = {
    Kind.SERVICE: _service,
    Kind.BATCH: _batch,
}
