"""Why a job's instances wait: one question, taken from the live tables as values, and its answer.

`explain` is slow for the engine's step (it looks at every agent), so the runtime's threads may run
it. Neighbours: `queue_views` (asks), `placement/outlook.py` (what stands in the way on each agent),
`waiting_views` (the answer's shape).
"""

from collections.abc import Sequence

import msgspec

from scheduler.core.history import Told
from scheduler.core.known import Known
from scheduler.core.model.ids import JobId
from scheduler.core.model.resources import MILLI
from scheduler.core.placement.constraints import text_of
from scheduler.core.placement.group import Group
from scheduler.core.placement.outlook import Help, Outlook, alone, informed, obstacles, outlook
from scheduler.core.placement.reasons import (
    Cause,
    Reason,
    amount_text,
    clause,
    counted,
    resource_text,
)
from scheduler.core.waiting_views import (
    BackOffView,
    ExplanationView,
    HelpView,
    OnAgentView,
    ReasonView,
    ToldView,
)

_HIDDEN = frozenset({Reason.SUPPRESSED, Reason.REFUSED, Reason.NOT_OFFERED})
"""What a REVIVE may end."""


class AgentUnknown(LookupError):
    """Nobody has heard of an agent or host of this name."""


class Question(msgspec.Struct, frozen=True):
    """What there is to know of a job that may wait. `waiting` instances may be placed now, the
    longest since `since`; of `unconfirmed` ones the master has not said what became of them.

    `blocked` is what keeps every job from being placed, with a sentence."""

    job: JobId
    state: str
    owner: str
    priority: int
    instances: int
    live: int
    unconfirmed: int
    waiting: int
    since: float | None
    back_off: BackOffView | None
    tries: int
    group: Group
    blocked: tuple[tuple[Reason, str], ...]
    known: Known
    history: Sequence[Told]


def explain(question: Question, agent: str = "") -> ExplanationView:
    """`agent`: the id or the host of one to look at closely; AgentUnknown for one that is not
    known."""
    on_agent = _on_agent(question, agent) if agent else None
    seen = _seen(question)
    reasons = [ReasonView(reason, text) for reason, text in _of_the_whole(question)]
    if seen is not None:
        reasons += [reason_view(cause) for cause in seen.causes]
    return ExplanationView(
        job=question.job,
        state=question.state,
        role=question.group.role,
        owner=question.owner,
        priority=question.priority,
        instances=question.instances,
        waiting=question.waiting,
        since=question.since,
        back_off=question.back_off,
        tries=question.tries,
        agents=seen.agents if seen is not None else None,
        agents_seen_s_ago=question.known.listed_s_ago,
        agents_hidden=question.known.hidden,
        reasons=tuple(reasons),
        helps=tuple(_help_view(help_) for help_ in seen.helps) if seen is not None else (),
        history=tuple(ToldView(told.at, told.reasons, told.text) for told in question.history),
        text=" ".join(_sentences(question, seen)),
        on_agent=on_agent,
    )


def _on_agent(question: Question, name: str) -> OnAgentView:
    spots = list(question.known.spots())
    group = informed(question.group, spots, question.known.access)
    for spot in spots:
        agent = spot.agent
        if name in (agent.agent_id, agent.hostname):
            found = obstacles(group, spot, question.known.access)
            reasons = tuple(reason_view(alone(one)) for one in found)
            return OnAgentView(agent.agent_id, agent.hostname, reasons)
    raise AgentUnknown(name)


def _seen(question: Question) -> Outlook | None:
    """The agents are worth a look where something may be placed at all."""
    if not question.waiting or question.blocked:
        return None
    known = question.known
    seen = outlook(question.group, known.spots(), known.access)
    if seen.fit:
        its_turn = Cause(Reason.ITS_TURN, seen.fit, seen.fit)
        seen = msgspec.structs.replace(seen, causes=(its_turn, *seen.causes))
    return seen


def _of_the_whole(question: Question) -> list[tuple[Reason, str]]:
    """The reasons that are no agent's."""
    found = list(question.blocked) if question.waiting else []
    if question.back_off is not None:
        found.append((Reason.BACK_OFF, _back_off_text(question.back_off)))
    if question.unconfirmed:
        which = _instances(question.unconfirmed)
        found.append((Reason.RECONCILING, f"the master has not said yet what became of {which}"))
    if question.waiting and not question.blocked and not question.known.agents:
        hidden = f": the master lists none ({question.known.hidden})" * bool(question.known.hidden)
        found.append((Reason.NO_AGENTS, f"no agent is known{hidden}"))
    return found


def _sentences(question: Question, seen: Outlook | None) -> list[str]:
    live, waiting = question.live, question.waiting
    if question.state != "running":
        return [f"The job is {question.state}; nothing of it is to be placed."]
    sentences = []
    if waiting:
        of = f"{waiting} of {question.instances} instances"
        sentences.append(f"{of} {'waits' if waiting == 1 else 'wait'} for an offer.")
    elif question.back_off is None:
        sentences.append(f"Nothing waits: {live} of {question.instances} instances have a task.")
    sentences += [f"{_capital(text)}." for _, text in _of_the_whole(question)]
    if seen is not None and seen.agents:
        sentences.append(f"{counted('agent', seen.agents, seen.causes)}.")
        if question.known.hidden:
            hidden = question.known.hidden
            sentences.append(f"Other agents may be there: the master lists none ({hidden}).")
        access = question.known.access
        if access.revive_at is not None and any(one.reason in _HIDDEN for one in seen.causes):
            in_s = max(0.0, access.revive_at - access.wall)
            sentences.append(f"All offers are asked for anew in {in_s:.1f} s.")
        sentences += [f"{_capital(_help_text(help_))}." for help_ in seen.helps]
    return sentences


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"


def _back_off_text(back_off: BackOffView) -> str:
    which = _instances(back_off.instances)
    verb = "is" if back_off.instances == 1 else "are"
    said = ": ".join(part for part in (back_off.reason, back_off.message) if part)
    after = f" after it ended as {back_off.state}" if back_off.state else ""
    return f"{which} {verb} in back-off{after}" + (f" ({said})" if said else "")


def reason_view(cause: Cause) -> ReasonView:
    lacks = bool(cause.short)
    return ReasonView(
        reason=cause.reason,
        text=clause(cause),
        agents=cause.rows,
        alone=cause.alone,
        short=_units(cause.reason, cause.short) if lacks else None,
        of=cause.of if lacks else "",
        constraint=text_of(cause.constraint) if cause.constraint is not None else "",
        port=cause.port,
        until=cause.until,
    )


def _help_view(help_: Help) -> HelpView:
    return HelpView(
        reason=help_.reason,
        text=_help_text(help_),
        agents=help_.agents,
        by=_units(help_.reason, help_.by) if help_.by else None,
        constraint=text_of(help_.constraint) if help_.constraint is not None else "",
        port=help_.port,
    )


def _help_text(help_: Help) -> str:
    where = "fits on 1 agent" if help_.agents == 1 else f"fits on {help_.agents} agents"
    match help_.reason:
        case Reason.HOST_TAKEN:
            return f"{where} if its tasks may share a host"
        case Reason.FIXED_PORT:
            return f"{where} with another port than {help_.port}"
        case _ if help_.constraint is not None:
            return f"{where} without `{text_of(help_.constraint)}`"
        case _:
            amount, what = amount_text(help_.reason, help_.by), resource_text(help_.reason)
            return f"{where} with {amount} less {what}"


def _units(reason: Reason, amount: int) -> float:
    """As Mesos counts: mem and disk in MiB, all else by number."""
    return float(amount) if reason is Reason.PORTS else amount / MILLI
