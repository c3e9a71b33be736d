"""Notices as log lines. One line a change of a job or of the connection; a task's changes are at
debug, since a line a task would cost more than the task."""

import logging
from collections.abc import Callable

import structlog

from scheduler.core.effects import Notice, NoticeKind

_WARNINGS = frozenset(
    {
        NoticeKind.DISCONNECTED,
        NoticeKind.CALL_FAILED,
        NoticeKind.TASK_UNKNOWN_SEEN,
        NoticeKind.AGENTS_HIDDEN,
        NoticeKind.NEEDS_REFUSED,
    }
)


def writer() -> Callable[[Notice], None]:
    """What writes notices, for a process whose logging is set up."""
    # Bound once: an unbound logger asks for its configuration at each line, also at those that are
    # not written, of which each task has some.
    log = structlog.get_logger().bind()
    tells_tasks = log.is_enabled_for(logging.DEBUG)

    def write(notice: Notice) -> None:
        kind = notice.kind
        if kind is NoticeKind.TASK_CHANGED:
            if tells_tasks:
                log.debug(kind, **_fields(notice))
        elif kind in _WARNINGS:
            log.warning(kind, **_fields(notice))
        else:
            log.info(kind, **_fields(notice))

    return write


def _fields(notice: Notice) -> dict[str, str]:
    """Those that say something."""
    fields = {
        "job": notice.job,
        "task_id": notice.task_id,
        "state": notice.state,
        "text": notice.text,
    }
    return {name: value for name, value in fields.items() if value}
