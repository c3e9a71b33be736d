"""Days of a cluster under faults, in virtual time: 20 agents, 30 jobs, and everything that breaks.

`OFFERD_SIMULATION_SEEDS` says how many days (3 without it); each has its own seed, named in the
test's id, so `pytest -k day_17` runs that day again.
"""

import os
from random import Random

import pytest

from scheduler.core.events import ApplyJob, DeleteJob, KillTask, ScaleJob, StopJob
from scheduler.core.model.ids import JobId, Uid
from scheduler.core.model.job import JobSpec, OnReturn, Unreachable
from scheduler.core.policy import EndedPolicy, Policy
from tests.builders import ROLE, a_batch, a_service, a_template
from tests.simulation.daemon import Daemon
from tests.simulation.expectations import Promises
from tests.simulation.mesos_model import Agent, MesosModel

SEEDS = int(os.environ.get("OFFERD_SIMULATION_SEEDS", "3"))
AGENTS = 20
JOBS = 30
DAY_S = 86_400.0
FAULT_EVERY_S = 240.0
"""On average; most last for some minutes, so several overlap."""


class Day:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = MesosModel(agents=AGENTS, cpus=8000, seed=seed, role=ROLE)
        self.world.service_failures = 0.02
        policy = Policy(roles=(ROLE,), ended=EndedPolicy(keep_s=30 * DAY_S))
        self.daemon = Daemon(policy, self.world, seed)
        self.promises = Promises(self.daemon, self.world)
        self.templates = 0
        self.names = [f"{'batch' if n % 3 == 0 else 'web'}-{n}" for n in range(JOBS)]

    def spec(self, name: str) -> JobSpec:
        dice = self.random
        known = self.daemon.engine.state.jobs.get(JobId(name))
        if known is not None and dice.random() < 0.5:
            template = known.spec.template
        else:
            self.templates += 1
            template = a_template(line=f"run {self.templates}", cpus=dice.choice([200, 500, 900]))
        unreachable = Unreachable(
            dice.choice([0.0, 60.0, 300.0, None]), dice.choice(list(OnReturn))
        )
        instances = dice.randint(0, 8)
        if name.startswith("batch"):
            return a_batch(
                name,
                instances=instances,
                retries=1000,
                template=template,
                unreachable=unreachable,
            )
        return a_service(name, instances=instances, template=template, unreachable=unreachable)

    def run(self) -> None:
        self.daemon.connect()
        self.daemon.advance(1.0)
        for name in self.names:
            self.promises.ask(ApplyJob(self.promises.ticket(), self.spec(name), self.uid()))
        while self.daemon.mono < DAY_S:
            self.daemon.advance(self.random.expovariate(1.0 / FAULT_EVERY_S), quantum_s=6.0)
            self.random.choice([self.break_something, self.mend, self.mend, self.user])()
        self.promises.heal_and_check()

    def uid(self) -> Uid:
        return self.promises.uid()

    # --- what happens ----------------------------------------------------------------------------

    def agent(self) -> Agent:
        return self.random.choice(list(self.world.agents.values()))

    def break_something(self) -> None:
        match self.random.randrange(11):
            case 0:
                self.daemon.disconnect()
            case 1:
                self.daemon.fail_master_over()
            case 2 | 3:
                self.world.part(self.agent())
            case 4:
                self.world.reboot(self.agent())
            case 5:
                self.world.prune(self.agent())
            case 6:
                self.lose_an_agent()
            case 7:
                self.world.launches_lost = 0.3
            case 8:
                self.daemon.lagging = True
            case 9:
                self.daemon.crash()
            case _:
                self.daemon.lagging = True
                self.daemon.advance(2.0)
                self.daemon.crash()
                self.daemon.lagging = False

    def lose_an_agent(self) -> None:
        agent = self.agent()
        self.random.choice([self.world.die, self.world.remove, self.world.mark_gone])(agent)
        self.world.add_agent()

    def mend(self) -> None:
        self.daemon.connect()
        self.daemon.lagging = False
        self.daemon.flush()
        self.world.launches_lost = 0.0
        for agent in self.world.agents.values():
            if self.random.random() < 0.5:
                self.world.rejoin(agent)

    def user(self) -> None:
        name, ticket = self.random.choice(self.names), self.promises.ticket()
        match self.random.randrange(8):
            case 0 | 1 | 2:
                self.promises.ask(ApplyJob(ticket, self.spec(name), self.uid()))
            case 3 | 4:
                self.promises.ask(ScaleJob(ticket, JobId(name), self.random.randint(0, 8)))
            case 5:
                self.promises.ask(StopJob(ticket, JobId(name)))
            case 6:
                self.promises.ask(DeleteJob(ticket, JobId(name)))
            case _:
                tasks = sorted(self.world.live_tasks())
                if tasks:
                    self.promises.ask(KillTask(ticket, self.random.choice(tasks)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"day_{seed}")
def test_after_a_day_of_faults_every_promise_is_kept(seed: int) -> None:
    day = Day(seed)
    day.run()
    assert day.daemon.launches > JOBS
    assert day.daemon.terms > 5
