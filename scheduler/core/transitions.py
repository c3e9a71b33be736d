"""How a status changes an attempt. Pure: attempt and status in, attempt out.

Mesos delivers updates at least once, and reconciliation answers in between, so the same state may
come again and an old one may come late (guide: "apply by state machine, not blindly").
"""

import msgspec

from scheduler.core.events import StatusUpdated, TaskState
from scheduler.core.model.instance import AWAY, TERMINAL, Attempt, AttemptState

_STATES: dict[TaskState, AttemptState] = {
    TaskState.STAGING: AttemptState.LAUNCHING,
    TaskState.STARTING: AttemptState.STARTING,
    TaskState.RUNNING: AttemptState.RUNNING,
    TaskState.KILLING: AttemptState.KILLING,
    TaskState.FINISHED: AttemptState.FINISHED,
    TaskState.FAILED: AttemptState.FAILED,
    TaskState.KILLED: AttemptState.KILLED,
    TaskState.ERROR: AttemptState.ERROR,
    TaskState.LOST: AttemptState.LOST,
    TaskState.DROPPED: AttemptState.DROPPED,
    TaskState.UNREACHABLE: AttemptState.UNREACHABLE,
    TaskState.GONE: AttemptState.GONE,
    TaskState.GONE_BY_OPERATOR: AttemptState.GONE,
    TaskState.UNKNOWN: AttemptState.UNKNOWN,
}

_PROGRESS = {
    AttemptState.LAUNCHING: 0,
    AttemptState.STARTING: 1,
    AttemptState.RUNNING: 2,
    AttemptState.KILLING: 3,
}

MAY_RETURN = frozenset({AttemptState.LOST, AttemptState.GONE, AttemptState.DROPPED})
"""Ends that the master declared, not the task: a healed partition may prove them wrong."""


def state_of(state: TaskState) -> AttemptState:
    return _STATES[state]


def after_status(attempt: Attempt, status: StatusUpdated, wall: float) -> Attempt | None:
    """The attempt after this status; None when it tells nothing new.

    An ended attempt stays ended, except one whose end was only declared (`MAY_RETURN`) and that
    shows itself alive. Among states of progress none goes back, except from `AWAY`.
    """
    new = _STATES[status.state]
    old = attempt.state
    if old in TERMINAL:
        if old not in MAY_RETURN or new in TERMINAL or new in AWAY:
            return None
    elif new in _PROGRESS and old in _PROGRESS:
        if _PROGRESS[new] < _PROGRESS[old]:
            return None
        if new is old and status.healthy in (None, attempt.healthy):
            return None
    elif new is old:
        return None
    return _changed(attempt, status, new, wall)


def _changed(attempt: Attempt, status: StatusUpdated, new: AttemptState, wall: float) -> Attempt:
    same = new is attempt.state
    started_at = attempt.started_at
    if started_at is None and new is AttemptState.RUNNING:
        started_at = wall
    away_since = (attempt.away_since or wall) if new in AWAY else None
    return msgspec.structs.replace(
        attempt,
        state=new,
        since=attempt.since if same else wall,
        started_at=started_at,
        healthy=status.healthy if status.healthy is not None else attempt.healthy,
        reason=status.reason,
        message=status.message,
        away_since=away_since,
    )


def declared(
    attempt: Attempt, state: AttemptState, reason: str, message: str, wall: float
) -> Attempt:
    """The attempt after a change that we conclude ourselves, without a status."""
    return msgspec.structs.replace(
        attempt, state=state, since=wall, reason=reason, message=message, away_since=None
    )
