"""How much memory is left behind by tasks that finished and whose jobs were deleted.

The engine alone, in a process of its own and in virtual time: batches are applied, launched on
offers, finish, and are deleted. What grows is the process, between a tenth of the tasks and all.
"""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.children import PAGE_BYTES, PROJECT_ROOT, PYTHON, BenchmarkFailed
from scheduler.core.effects import Accept, Launch, Step
from scheduler.core.engine import Engine
from scheduler.core.events import (
    ApplyJob,
    CallEnded,
    CallOutcome,
    DeleteJob,
    Event,
    Now,
    OffersMade,
    StatusUpdated,
    Subscribed,
    TaskState,
    Ticket,
)
from scheduler.core.model.ids import AgentId, FrameworkId, JobId, MasterId, OfferId, Role, Uid
from scheduler.core.model.job import JobSpec, Kind, Shell, Template
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts, OfferedResource
from scheduler.core.policy import Budget, Policy

BATCH_TASKS: Final = 1_000
AGENTS: Final = 10
ROLE: Final = Role("*")
RUN_S_MAX: Final = 600.0
GATHERED_S: Final = 1.0
"""By then offers that are gathered are used."""


def grown_bytes(tasks: int) -> int:
    """Measured in a fresh process."""
    done = subprocess.run(
        [*PYTHON, "benchmarks.forgotten", str(tasks)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=RUN_S_MAX, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchmarkFailed(f"forgetting tasks failed: {done.stderr[-2000:]}")
    return int(done.stdout)


class _Cluster:
    """A master that gives what is asked for, and tasks that finish at once."""

    def __init__(self) -> None:
        self._mono = 0.0
        self._tickets = 0
        self._offers = 0
        self.engine = Engine(Policy(roles=(ROLE,)), term=1, seed=1)
        self.engine.start(self._now())
        self.engine.wanted()
        self._handle(Subscribed(FrameworkId("F"), MasterId("M"), "http://master", "1.11.0"))

    def batch(self, name: str) -> None:
        template = Template(role=ROLE, command=Shell("true"), amounts=Amounts(100, 32_000))
        spec = JobSpec(job=JobId(name), kind=Kind.BATCH, instances=BATCH_TASKS, template=template)
        self._handle(ApplyJob(self._ticket(), spec, Uid(name)))
        launches = self._handle(OffersMade(tuple(self._offer(n) for n in range(AGENTS))))
        launches += self._pass_time(GATHERED_S)
        if len(launches) != BATCH_TASKS:
            raise BenchmarkFailed(f"{len(launches)} of {BATCH_TASKS} tasks were launched")
        for number, launch in enumerate(launches):
            uuid = number.to_bytes(16, "big")
            self._handle(
                StatusUpdated(launch.task_id, TaskState.FINISHED, launch.agent_id, 0.0, uuid)
            )
        self._handle(DeleteJob(self._ticket(), JobId(name)))
        if self.engine.state.jobs:
            raise BenchmarkFailed(f"{name} was not forgotten")

    def _handle(self, *events: Event) -> list[Launch]:
        launches: list[Launch] = []
        steps = [self.engine.handle(self._now(), events, Budget())]
        while steps:
            step = steps.pop()
            launches += self._sent(step)
            if step.calls:
                ended = [CallEnded(call.call_id, CallOutcome.SENT) for call in step.calls]
                steps.append(self.engine.handle(self._now(), ended, Budget()))
            elif step.more:
                steps.append(self.engine.handle(self._now(), [], Budget()))
        return launches

    def _pass_time(self, seconds: float) -> list[Launch]:
        self._mono += seconds
        return self._handle()

    def _sent(self, step: Step) -> list[Launch]:
        accepts = [call for call in step.calls if isinstance(call, Accept)]
        return [launch for accept in accepts for launch in accept.launches]

    def _offer(self, number: int) -> Offer:
        self._offers += 1
        agent = AgentInfo(AgentId(f"S{number}"), f"host-{number}")
        each = BATCH_TASKS // AGENTS
        resources = (
            OfferedResource("cpus", b"cpus", scalar=100 * each),
            OfferedResource("mem", b"mem", scalar=32_000 * each),
        )
        return Offer(OfferId(f"O{self._offers}"), ROLE, agent, resources)

    def _ticket(self) -> Ticket:
        self._tickets += 1
        return Ticket(self._tickets)

    def _now(self) -> Now:
        self._mono += 0.01
        return Now(1_000_000.0 + self._mono, self._mono)


def _rss_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> None:
    batches = int(sys.argv[1]) // BATCH_TASKS
    cluster = _Cluster()
    after_a_tenth = 0
    for number in range(batches):
        cluster.batch(f"batch-{number}")
        if number + 1 == batches // 10:
            after_a_tenth = _rss_bytes()
    print(_rss_bytes() - after_a_tenth)


if __name__ == "__main__":
    main()
