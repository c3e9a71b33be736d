"""Why instances were not placed: counted over the rows, and as a sentence for people.

Values only; `matcher.py` counts. Each row is counted once, under the first cause that rules it out
(constraints, then hosts taken, then amounts, then ports), so the counts sum up to the rows.
"""

import enum

import msgspec

from scheduler.core.model.job import Condition
from scheduler.core.model.resources import MILLI
from scheduler.core.placement.constraints import text_of


class Reason(enum.StrEnum):
    NO_OFFERS = "no_offers"
    CONSTRAINT = "constraint"
    HOST_TAKEN = "host_taken"
    CPUS = "cpus"
    MEM = "mem"
    DISK = "disk"
    GPUS = "gpus"
    PORTS = "ports"
    FIXED_PORT = "fixed_port"


class Cause(msgspec.Struct, frozen=True, gc=False):
    """One reason, the `rows` counted under it, and those among them that fail by nothing else.

    `short` is what the best row lacks (thousandths; whole ports): the best of those that fail
    `alone` where there are any, else of all counted. 0 where lack has no measure.
    """

    reason: Reason
    rows: int
    alone: int = 0
    short: int = 0
    constraint: Condition | None = None
    port: int | None = None


class Shortfall(msgspec.Struct, frozen=True, gc=False):
    """`missing` instances of a group were not placed on any of the `rows` held for its role."""

    missing: int
    rows: int
    causes: tuple[Cause, ...]


def sentence(shortfall: Shortfall) -> str:
    """`12 offers: 8 lack cpus (the best by 0.5), 4 fail `rack is r1``; most rows first."""
    if not shortfall.rows:
        return "no offers"
    causes = sorted(shortfall.causes, key=lambda cause: -cause.rows)
    offers = "1 offer" if shortfall.rows == 1 else f"{shortfall.rows} offers"
    return f"{offers}: " + ", ".join(_clause(cause) for cause in causes)


def _clause(cause: Cause) -> str:
    rows = cause.rows
    lack = f"{rows} lacks" if rows == 1 else f"{rows} lack"
    match cause.reason:
        case Reason.CPUS | Reason.MEM | Reason.DISK | Reason.GPUS | Reason.PORTS:
            best = "by" if rows == 1 else "the best by"
            return f"{lack} {cause.reason} ({best} {_amount(cause)})"
        case Reason.FIXED_PORT:
            return f"{lack} port {cause.port}"
        case Reason.CONSTRAINT:
            text = text_of(cause.constraint) if cause.constraint else "a constraint"
            return f"{rows} {'fails' if rows == 1 else 'fail'} `{text}`"
        case Reason.HOST_TAKEN:
            whose = "is on a host" if rows == 1 else "are on hosts"
            return f"{rows} {whose} that the job has a task on"
        case Reason.NO_OFFERS:
            return "no offers"


def _amount(cause: Cause) -> str:
    match cause.reason:
        case Reason.PORTS:
            return str(cause.short)
        case Reason.MEM | Reason.DISK:
            return f"{_decimal(cause.short)} MiB"
        case _:
            return _decimal(cause.short)


def _decimal(milli: int) -> str:
    whole, part = divmod(milli, MILLI)
    return f"{whole}.{part:03d}".rstrip("0").rstrip(".")
