"""Agents that fail tasks by their own fault: they are avoided for a while, which is stored.

    in use ─ failures of its own making ─► avoided ─ its time is over ─► in use ─ long ─► forgotten
       ▲                                      │
       └────────── an operator forgives ──────┘

What an agent is to blame for is a guess, so a failure counts only if it may not be the job's: other
jobs failed there as well, or the job runs elsewhere. Neighbours: `attempts.py` tells of ends,
`placement/` heeds `State.avoided`.
"""

from collections import deque
from typing import Final, NamedTuple

import msgspec

from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import NoticeKind, Verdict
from scheduler.core.events import ForgiveAgent
from scheduler.core.inventory import Inventory
from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import AgentId, JobId
from scheduler.core.model.instance import Attempt, AttemptState, EndReason
from scheduler.core.records import AgentRecord

AGENTS_MAX: Final = 1000
FAULTS_MAX: Final = 32
"""Agents that failures are counted of at once, and failures counted of each."""

BLAMED: Final = frozenset(
    {
        "container_launch_failed",
        "container_update_failed",
        "executor_registration_timeout",
        "executor_reregistration_timeout",
        "io_switchboard_exited",
        "resources_unknown",
    }
)
"""Reasons of statuses that the agent gives when it could not do its part (Mesos, `TaskStatus`).
`gc_error` is none: Mesos 1.11 says it of tasks that ask for what its agents are not set up for."""

LAUNCH_TIMEOUT: Final = "launch_timeout"
FEW_AGENTS: Final = 3
"""In a cluster of so many, one may be avoided whatever its share."""


class Fault(NamedTuple):
    wall: float
    job: JobId
    elsewhere: bool
    """The job ran on another agent when it failed on this one."""


def fault_of(ended: Attempt) -> str:
    """What an agent did wrong by this end; empty: nothing that we know of."""
    if ended.reason in BLAMED and ended.state is not AttemptState.KILLED:
        return ended.reason
    silent = ended.end is not None and ended.end.reason is EndReason.LAUNCH_TIMEOUT
    return LAUNCH_TIMEOUT if silent and ended.started_at is None else ""


class AgentHealth:
    def __init__(self, desk: Desk, inventory: Inventory) -> None:
        self._desk = desk
        self._inventory = inventory
        self._faults: dict[AgentId, deque[Fault]] = {}

    def resume(self) -> None:
        for record in self._desk.state.agents.values():
            self._set_deadline(record)

    def ended(self, job: Job, attempt: Attempt) -> None:
        """An attempt ended: count it if its agent is to blame."""
        fault = fault_of(attempt)
        policy = self._desk.policy.avoid
        known = self._desk.state.agents.get(attempt.agent_id)
        if not fault or not policy.failures or (known is not None and known.avoided):
            return
        faults = self._counted(attempt.agent_id)
        elsewhere = job.counts[AttemptState.RUNNING] > 0
        faults.append(Fault(self._desk.now.wall, job.id, elsewhere))
        while faults[0].wall < self._desk.now.wall - policy.window_s:
            faults.popleft()
        if self._guilty(faults) and self._may_avoid_one_more():
            self._avoid(attempt, known, fault)

    def due(self, agent_id: AgentId) -> None:
        """The time of avoiding it, or of remembering that, may be over."""
        desk = self._desk
        record = desk.state.agents.get(agent_id)
        if record is None:
            return
        if desk.now.wall < self._due_at(record):
            # The wall clock, which the record counts in, ran behind the deadline's or was set back.
            self._set_deadline(record)
            return
        if not record.avoided:
            desk.remove(record.key)
            return
        self._use_again(msgspec.structs.replace(record, avoided=False))

    def forgive(self, command: ForgiveAgent) -> None:
        desk = self._desk
        if desk.store_refusing:
            detail = f"the store takes no writes: {desk.store_refusing}"
            desk.step.answer(command.ticket, Verdict.UNAVAILABLE, detail)
            return
        record = desk.state.agents.get(command.agent_id)
        self._faults.pop(command.agent_id, None)
        if record is not None:
            desk.remove(record.key)
            if record.avoided:
                desk.step.notice(NoticeKind.AGENT_IN_USE_AGAIN, text=_text(record))
            desk.step.answer(command.ticket, Verdict.DONE)
        elif command.agent_id in self._inventory.agents:
            desk.step.answer(command.ticket, Verdict.UNCHANGED, "it was not avoided")
        else:
            detail = f"there is no agent `{command.agent_id}`"
            desk.step.answer(command.ticket, Verdict.NOT_FOUND, detail)

    # --- judging ---------------------------------------------------------------------------------

    def _counted(self, agent_id: AgentId) -> deque[Fault]:
        """The agent's failures; those of the agent that failed the longest ago make room."""
        faults = self._faults.pop(agent_id, None)
        if faults is None:
            faults = deque(maxlen=FAULTS_MAX)
            if len(self._faults) >= AGENTS_MAX:
                del self._faults[next(iter(self._faults))]
        self._faults[agent_id] = faults
        return faults

    def _guilty(self, faults: deque[Fault]) -> bool:
        if len(faults) < self._desk.policy.avoid.failures:
            return False
        return len({fault.job for fault in faults}) > 1 or all(one.elsewhere for one in faults)

    def _may_avoid_one_more(self) -> bool:
        known = len(self._inventory.agents)
        most = max(int(known * self._desk.policy.avoid.share_max), int(known >= FEW_AGENTS))
        return len(self._desk.state.avoided) < most

    # --- avoiding --------------------------------------------------------------------------------

    def _avoid(self, attempt: Attempt, known: AgentRecord | None, fault: str) -> None:
        desk, policy = self._desk, self._desk.policy.avoid
        del self._faults[attempt.agent_id]
        times = known.times + 1 if known is not None else 1
        # Thirty doublings are beyond every limit; more would only make large numbers.
        avoid_s = min(policy.avoid_s_initial * 2.0 ** min(times - 1, 30), policy.avoid_s_max)
        wall = desk.now.wall
        record = AgentRecord(
            agent_id=attempt.agent_id,
            hostname=attempt.hostname,
            avoided=True,
            since=wall,
            until=wall + avoid_s,
            times=times,
            fault=fault,
        )
        desk.store(record)
        self._set_deadline(record)
        desk.step.notice(NoticeKind.AGENT_AVOIDED, text=_text(record))

    def _use_again(self, record: AgentRecord) -> None:
        self._desk.store(record)
        self._set_deadline(record)
        self._desk.step.notice(NoticeKind.AGENT_IN_USE_AGAIN, text=_text(record))

    def _due_at(self, record: AgentRecord) -> float:
        return record.until if record.avoided else record.until + self._desk.policy.avoid.forget_s

    def _set_deadline(self, record: AgentRecord) -> None:
        at = self._desk.mono_of(self._due_at(record))
        self._desk.deadlines.add(at, Due.AGENT_DUE, record.agent_id)


def _text(record: AgentRecord) -> str:
    return f"{record.hostname} ({record.agent_id}): {record.fault}"
