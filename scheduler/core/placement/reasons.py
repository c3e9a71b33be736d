"""Why instances are not placed: counted over offers or agents, and as a sentence for people.

Values only: `matcher.py` counts over the rows held, `outlook.py` over all agents known. Each is
counted once, under the first cause that rules it out (constraints, then hosts taken, then amounts,
then ports, then why nothing is offered), so the counts sum up.
"""

import enum
from collections.abc import Iterable
from typing import Final

import msgspec

from scheduler.core.model.job import Condition
from scheduler.core.model.resources import MILLI, SCALAR_NAMES
from scheduler.core.placement.constraints import text_of


class Reason(enum.StrEnum):
    """What users are shown, and may rely on. First of an offer or agent, then of a whole job."""

    CONSTRAINT = "constraint"
    ATTRIBUTE_MISSING = "attribute_missing"
    HOST_TAKEN = "host_taken"
    CPUS = "cpus"
    MEM = "mem"
    DISK = "disk"
    GPUS = "gpus"
    REVOCABLE_CPUS = "revocable_cpus"
    PORTS = "ports"
    FIXED_PORT = "fixed_port"
    AGENT_INACTIVE = "agent_inactive"
    AGENT_AVOIDED = "agent_avoided"
    MAINTENANCE = "maintenance"
    OTHER_ROLE = "other_role"
    OFFERED_ELSEWHERE = "offered_elsewhere"
    SUPPRESSED = "suppressed"
    REFUSED = "refused"
    OFFER_CONSTRAINTS = "offer_constraints"
    GPU_AGENT = "gpu_agent"
    NOT_OFFERED = "not_offered"
    ITS_TURN = "its_turn"

    NO_OFFERS = "no_offers"
    NO_AGENTS = "no_agents"
    DISCONNECTED = "disconnected"
    STORE_REFUSING = "store_refusing"
    RECONCILING = "reconciling"
    BACK_OFF = "back_off"


LACKS: Final = frozenset({*map(Reason, SCALAR_NAMES), Reason.PORTS})
"""Those that have a measure: of a resource that jobs ask for there is too little."""


class Basis(enum.StrEnum):
    """Of what an amount falls short."""

    OFFERED = "offered"
    """What is offered to us, or was when it was last offered."""
    FREE = "free"
    """What the master lists as free on the agent."""
    TOTAL = "total"
    """All that the agent has."""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """One reason, the `rows` (offers, agents) counted under it, and those among them that fail by
    nothing else.

    `short` is what the best of them lacks (thousandths; whole ports): the best of those that fail
    `alone` where there are any, else of all counted. 0 where lack has no measure. `until` (wall) is
    when the first of what we refused may be offered again.
    """

    reason: Reason
    rows: int
    alone: int = 0
    short: int = 0
    constraint: Condition | None = None
    port: int | None = None
    of: Basis = Basis.OFFERED
    until: float | None = None


class Shortfall(msgspec.Struct, frozen=True, gc=False):
    """`missing` instances of a group were not placed on any of the `rows` held for its role."""

    missing: int
    rows: int
    causes: tuple[Cause, ...]


def sentence(shortfall: Shortfall) -> str:
    """`12 offers: 8 lack cpus (the best by 0.5), 4 fail `rack is r1``; most rows first."""
    if not shortfall.rows:
        return "no offers"
    return counted("offer", shortfall.rows, shortfall.causes)


def counted(noun: str, count: int, causes: Iterable[Cause]) -> str:
    """How many there are, and how many each cause rules out."""
    ordered = sorted(causes, key=lambda cause: -cause.rows)
    many = f"1 {noun}" if count == 1 else f"{count} {noun}s"
    return f"{many}: " + ", ".join(clause(cause) for cause in ordered)


def clause(cause: Cause) -> str:
    """What one cause rules out: `8 lack cpus (the best by 0.5)`."""
    rows = cause.rows
    match cause.reason:
        case reason if reason in LACKS:
            return _lacking(cause)
        case Reason.FIXED_PORT:
            return f"{_verb(rows, 'lacks', 'lack')} port {cause.port}"
        case Reason.CONSTRAINT:
            text = text_of(cause.constraint) if cause.constraint else "a constraint"
            return f"{_verb(rows, 'fails', 'fail')} `{text}`"
        case Reason.ATTRIBUTE_MISSING:
            text = text_of(cause.constraint) if cause.constraint else "a constraint"
            return f"{_verb(rows, 'has', 'have')} no attribute for `{text}`"
        case Reason.HOST_TAKEN:
            where = _verb(rows, "is on a host", "are on hosts")
            return f"{where} that the job has a task on"
        case Reason.REFUSED:
            return f"{_verb(rows, 'would do and was', 'would do and were')} refused for a while"
        case _:
            return f"{rows} {_WORDS[cause.reason]}"


_WORDS = {
    Reason.AGENT_INACTIVE: "not active",
    Reason.AGENT_AVOIDED: "avoided, as tasks failed there",
    Reason.MAINTENANCE: "with maintenance planned too soon",
    Reason.OTHER_ROLE: "with the rest reserved for other roles",
    Reason.OFFERED_ELSEWHERE: "offered to another framework",
    Reason.SUPPRESSED: "not offered, as offers for the role are suppressed",
    Reason.OFFER_CONSTRAINTS: "not offered, as the master still knows other needs of ours",
    Reason.GPU_AGENT: "kept for work that asks for gpus",
    Reason.NOT_OFFERED: "with enough free, and not offered",
    Reason.ITS_TURN: "would do, when its turn comes",
    Reason.NO_OFFERS: "without an offer",
    Reason.NO_AGENTS: "known",
    Reason.DISCONNECTED: "without a master",
    Reason.STORE_REFUSING: "while the store takes no writes",
    Reason.RECONCILING: "unknown to the master yet",
    Reason.BACK_OFF: "in back-off",
}


def _lacking(cause: Cause) -> str:
    rows = cause.rows
    by = "by" if rows == 1 else "the best by"
    what = resource_text(cause.reason)
    amount = amount_text(cause.reason, cause.short)
    match cause.of:
        case Basis.OFFERED:
            return f"{_verb(rows, 'lacks', 'lack')} {what} ({by} {amount})"
        case Basis.FREE:
            text = _verb(rows, "has too few", "have too few")
            return f"{text} {what} free ({by} {amount})"
        case Basis.TOTAL:
            return f"{_verb(rows, 'is', 'are')} too small in {what} ({by} {amount})"


def _verb(rows: int, one: str, many: str) -> str:
    return f"{rows} {one if rows == 1 else many}"


def resource_text(reason: Reason) -> str:
    """What it is that is lacking, in words."""
    return reason.replace("_", " ")


def amount_text(reason: Reason, milli: int) -> str:
    """An amount of what the reason names, with its unit: `512 MiB`, `0.5`; ports are whole."""
    match reason:
        case Reason.PORTS:
            return str(milli)
        case Reason.MEM | Reason.DISK:
            return f"{_decimal(milli)} MiB"
        case _:
            return _decimal(milli)


def _decimal(milli: int) -> str:
    whole, part = divmod(milli, MILLI)
    return f"{whole}.{part:03d}".rstrip("0").rstrip(".")
