"""Notices as log lines. One line a change of a job or of the connection; a task's changes are at
debug, since a line a task would cost more than the task."""

import structlog

from scheduler.core.effects import Notice, NoticeKind

log = structlog.get_logger()

_WARNINGS = frozenset(
    {
        NoticeKind.DISCONNECTED,
        NoticeKind.CALL_FAILED,
        NoticeKind.STORE_REFUSING,
        NoticeKind.TASK_UNKNOWN_SEEN,
        NoticeKind.AGENTS_HIDDEN,
    }
)


def write(notice: Notice) -> None:
    fields = {
        name: value
        for name, value in (
            ("job", notice.job),
            ("task_id", notice.task_id),
            ("state", notice.state),
            ("text", notice.text),
        )
        if value
    }
    if notice.kind is NoticeKind.TASK_CHANGED:
        log.debug(notice.kind.value, **fields)
    elif notice.kind in _WARNINGS:
        log.warning(notice.kind.value, **fields)
    else:
        log.info(notice.kind.value, **fields)
