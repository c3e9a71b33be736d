"""What a status makes of an attempt, for every order in which Mesos may deliver it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.events import TaskState
from scheduler.core.model.ids import AgentId, TaskId
from scheduler.core.model.instance import AWAY, TERMINAL, Attempt, AttemptState
from scheduler.core.transitions import MAY_RETURN, after_status, declared, state_of
from tests.builders import a_status

TASK = TaskId("web.0.1.u1")
WALL = 5000.0


def an_attempt(
    state: AttemptState, *, healthy: bool | None = None, away_since: float | None = None
) -> Attempt:
    return Attempt(
        task_id=TASK,
        number=1,
        version=1,
        state=state,
        agent_id=AgentId("S-a1"),
        hostname="a1",
        since=1000.0,
        launched_at=900.0,
        healthy=healthy,
        away_since=away_since,
    )


def after(attempt: Attempt, state: TaskState, healthy: bool | None = None) -> Attempt | None:
    return after_status(attempt, a_status(TASK, state, healthy=healthy), WALL)


@pytest.mark.parametrize(
    ("before", "status"),
    [
        (AttemptState.RUNNING, TaskState.STAGING),
        (AttemptState.RUNNING, TaskState.STARTING),
        (AttemptState.KILLING, TaskState.RUNNING),
        (AttemptState.STARTING, TaskState.STAGING),
        (AttemptState.UNREACHABLE, TaskState.UNREACHABLE),
        (AttemptState.FINISHED, TaskState.RUNNING),
        (AttemptState.KILLED, TaskState.UNREACHABLE),
        (AttemptState.FAILED, TaskState.GONE),
        (AttemptState.ERROR, TaskState.RUNNING),
        (AttemptState.GONE, TaskState.LOST),
        (AttemptState.GONE, TaskState.UNKNOWN),
        (AttemptState.LOST, TaskState.FINISHED),
    ],
)
def test_late_and_repeated_statuses_tell_nothing_new(
    before: AttemptState, status: TaskState
) -> None:
    assert after(an_attempt(before), status) is None


@pytest.mark.parametrize("before", sorted(MAY_RETURN))
@pytest.mark.parametrize("status", [TaskState.RUNNING, TaskState.STARTING, TaskState.KILLING])
def test_a_task_given_up_by_declaration_may_return(before: AttemptState, status: TaskState) -> None:
    changed = after(an_attempt(before), status)
    assert changed is not None
    assert changed.state is state_of(status)


@pytest.mark.parametrize("before", sorted(AWAY))
@pytest.mark.parametrize("status", [TaskState.STAGING, TaskState.RUNNING, TaskState.FINISHED])
def test_what_was_away_may_be_in_any_state_when_it_returns(
    before: AttemptState, status: TaskState
) -> None:
    changed = after(an_attempt(before, away_since=1000.0), status)
    assert changed is not None
    assert changed.state is state_of(status)
    assert changed.away_since is None


def test_away_counts_from_when_the_master_said_so_first() -> None:
    away = after(an_attempt(AttemptState.RUNNING), TaskState.UNREACHABLE)
    assert away is not None
    assert away.away_since == WALL
    unknown = after_status(away, a_status(TASK, TaskState.UNKNOWN), WALL + 100)
    assert unknown is not None
    assert unknown.away_since == WALL


def test_a_change_of_health_is_news_and_does_not_restart_the_time_in_the_state() -> None:
    changed = after(an_attempt(AttemptState.RUNNING), TaskState.RUNNING, healthy=True)
    assert changed is not None
    assert (changed.healthy, changed.since) == (True, 1000.0)


def test_a_status_that_is_silent_about_health_changes_nothing() -> None:
    assert after(an_attempt(AttemptState.RUNNING, healthy=True), TaskState.RUNNING) is None


def test_the_first_running_is_when_it_started() -> None:
    started = after(an_attempt(AttemptState.LAUNCHING), TaskState.RUNNING)
    assert started is not None
    assert started.started_at == WALL
    away = after_status(started, a_status(TASK, TaskState.UNREACHABLE), WALL + 5)
    assert away is not None
    back = after_status(away, a_status(TASK, TaskState.RUNNING), WALL + 9)
    assert back is not None
    assert (back.started_at, back.since) == (WALL, WALL + 9)


def test_what_we_declare_ourselves_keeps_who_and_where() -> None:
    gone = declared(
        an_attempt(AttemptState.UNKNOWN, away_since=1.0), AttemptState.GONE, "why", "", WALL
    )
    assert (gone.state, gone.reason, gone.since, gone.away_since) == (
        AttemptState.GONE,
        "why",
        WALL,
        None,
    )


@given(
    before=st.sampled_from([s for s in AttemptState if s is not AttemptState.QUEUED]),
    states=st.lists(st.sampled_from(list(TaskState)), max_size=8),
)
def test_an_end_that_the_task_itself_reported_is_final(
    before: AttemptState, states: list[TaskState]
) -> None:
    attempt = an_attempt(before)
    for state in states:
        was = attempt.state
        attempt = after(attempt, state) or attempt
        if was in TERMINAL - MAY_RETURN:
            assert attempt.state is was


@given(states=st.lists(st.sampled_from(list(TaskState)), max_size=8))
def test_each_status_is_idempotent(states: list[TaskState]) -> None:
    attempt = an_attempt(AttemptState.LAUNCHING)
    for state in states:
        attempt = after(attempt, state) or attempt
        assert after(attempt, state) is None
