"""The table of what follows an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.jobs.after_end import (
    NO_FAULT_DELAY_S,
    Again,
    Next,
    Settled,
    after_end,
    backoff_s,
)
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.model.instance import Attempt, AttemptState, EndReason, Outcome, WantedEnd
from scheduler.core.model.job import JobSpec, Restart, RestartPolicy
from tests.builders import a_batch, a_service

S = AttemptState
STABLE_RUN_S = 60.0
ALWAYS = a_service()
ON_FAILURE = a_service(restart=Restart(RestartPolicy.ON_FAILURE))
NEVER = a_service(restart=Restart(RestartPolicy.NEVER))
LIMITED = a_service(restart=Restart(attempts=3))
BATCH = a_batch(retries=2)


def an_end(
    state: AttemptState,
    *,
    ran_s: float | None = 1.0,
    end: EndReason | None = None,
    reason: str = "",
) -> Attempt:
    return Attempt(
        task_id=TaskId("web.0.1.u1"),
        number=1,
        version=1,
        state=state,
        agent_id=AgentId("S-a1"),
        hostname="a1",
        since=2000.0,
        launched_at=900.0,
        started_at=None if ran_s is None else 2000.0 - ran_s,
        reason=reason,
        end=None if end is None else WantedEnd(end, 3.0, 1990.0),
    )


@pytest.mark.parametrize(
    ("spec", "ended", "failures", "follows"),
    [
        # A service
        (ALWAYS, an_end(S.FAILED), 0, Again(1.0, 1)),
        (ALWAYS, an_end(S.FINISHED), 0, Again(1.0, 1)),
        (ALWAYS, an_end(S.FAILED), 3, Again(8.0, 4)),
        (ALWAYS, an_end(S.FAILED), 100, Again(300.0, 101)),
        (ALWAYS, an_end(S.FAILED, ran_s=60.0), 7, Again(1.0, 1)),
        (ALWAYS, an_end(S.FAILED, ran_s=None), 1, Again(2.0, 2)),
        (ON_FAILURE, an_end(S.FINISHED), 2, Settled(Outcome.FINISHED, 0)),
        (ON_FAILURE, an_end(S.FAILED), 0, Again(1.0, 1)),
        (NEVER, an_end(S.FINISHED), 0, Settled(Outcome.FINISHED, 0)),
        (NEVER, an_end(S.FAILED), 0, Settled(Outcome.FAILED, 0)),
        (LIMITED, an_end(S.FAILED), 1, Again(2.0, 2)),
        (LIMITED, an_end(S.FAILED), 2, Settled(Outcome.FAILED, 3)),
        (LIMITED, an_end(S.FAILED, ran_s=61.0), 2, Again(1.0, 1)),
        # Killed by its health check: nobody asked for it.
        (ALWAYS, an_end(S.KILLED), 1, Again(2.0, 2)),
        # Not the task's fault
        (LIMITED, an_end(S.DROPPED), 2, Again(NO_FAULT_DELAY_S, 2)),
        (LIMITED, an_end(S.LOST), 2, Again(NO_FAULT_DELAY_S, 2)),
        (LIMITED, an_end(S.GONE), 2, Again(NO_FAULT_DELAY_S, 2)),
        (LIMITED, an_end(S.KILLED, reason="agent_draining"), 2, Again(NO_FAULT_DELAY_S, 2)),
        (NEVER, an_end(S.GONE, reason="container_preempted"), 0, Again(NO_FAULT_DELAY_S, 0)),
        (LIMITED, an_end(S.FAILED, reason="container_preempted"), 2, Again(NO_FAULT_DELAY_S, 2)),
        (NEVER, an_end(S.LOST), 0, Again(NO_FAULT_DELAY_S, 0)),
        (BATCH, an_end(S.GONE), 2, Again(NO_FAULT_DELAY_S, 2)),
        # Asked for
        (LIMITED, an_end(S.KILLED, end=EndReason.USER_KILL), 2, Again(0.0, 2)),
        (ALWAYS, an_end(S.FINISHED, end=EndReason.REPLACED), 2, Again(0.0, 2)),
        (NEVER, an_end(S.FAILED, end=EndReason.REPLACED), 0, Again(0.0, 0)),
        (BATCH, an_end(S.KILLED, end=EndReason.JOB_STOPPED), 1, Again(0.0, 1)),
        # It never came to life.
        (ALWAYS, an_end(S.KILLED, ran_s=None, end=EndReason.LAUNCH_TIMEOUT), 0, Again(1.0, 1)),
        (ALWAYS, an_end(S.GONE, ran_s=None, end=EndReason.LAUNCH_TIMEOUT), 4, Again(1.0, 4)),
        # The description is refused.
        (ALWAYS, an_end(S.ERROR, ran_s=None), 1, Settled(Outcome.ERROR, 1)),
        (BATCH, an_end(S.ERROR, end=EndReason.USER_KILL), 0, Settled(Outcome.ERROR, 0)),
        # A batch
        (BATCH, an_end(S.FINISHED), 2, Settled(Outcome.FINISHED, 0)),
        (BATCH, an_end(S.FINISHED, end=EndReason.JOB_STOPPED), 0, Settled(Outcome.FINISHED, 0)),
        (BATCH, an_end(S.FAILED), 1, Again(2.0, 2)),
        (BATCH, an_end(S.FAILED), 2, Settled(Outcome.FAILED, 3)),
    ],
)
def test_what_follows(spec: JobSpec, ended: Attempt, failures: int, follows: Next) -> None:
    assert after_end(spec, ended, failures, STABLE_RUN_S) == follows


@given(
    failures=st.integers(1, 100_000),
    initial=st.floats(0.0, 1e6),
    factor=st.floats(1.0, 1e6),
    most=st.floats(0.0, 1e9),
)
def test_the_back_off_never_overflows_and_never_passes_its_limit(
    failures: int, initial: float, factor: float, most: float
) -> None:
    restart = Restart(backoff_initial_s=initial, backoff_factor=factor, backoff_s_max=most)
    if factor > 1.0:
        assert 0.0 <= backoff_s(restart, min(failures, 500)) <= most
