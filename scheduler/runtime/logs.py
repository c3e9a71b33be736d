"""structlog, set up once a process: JSON lines for machines, or columns for people, on stderr; or
JSON lines in a file, where the terminal belongs to somebody else."""

import logging
import sys
from pathlib import Path
from typing import BinaryIO, cast

import orjson
import structlog

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, form: str) -> None:
    """`level` is a key of LEVELS, `form` `json` or `console`."""
    filtering = structlog.make_filtering_bound_logger(LEVELS[level])
    if form == "console":
        structlog.configure(
            processors=[*_SHARED, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())],
            wrapper_class=filtering,
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    else:
        _configure_json(filtering, sys.stderr.buffer)


def configure_file(path: Path) -> None:
    """JSON lines at level info, appended to a file that stays open for the process's life."""
    _configure_json(
        structlog.make_filtering_bound_logger(logging.INFO),
        cast(BinaryIO, path.open("ab", buffering=0)),
    )


def _configure_json(filtering: type[structlog.typing.BindableLogger], out: BinaryIO) -> None:
    structlog.configure(
        processors=[
            *_SHARED,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=filtering,
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
