"""Clusters under faults, in virtual time: long days of a middling one, dense hours of tiny ones.

`OFFERD_SIMULATION_SEEDS` says how many (3 without it); each has its own seed, named in the test's
id, so `pytest -k day_17` runs that day again.
"""

import os
from dataclasses import dataclass
from random import Random

import pytest

from scheduler.core.events import ApplyJob, DeleteJob, KillTask, ScaleJob, StopJob
from scheduler.core.model.ids import JobId, Uid
from scheduler.core.model.job import JobSpec, OnReturn, Unreachable
from scheduler.core.policy import Budget, EndedPolicy, OfferPolicy, Policy
from tests.builders import ROLE, a_batch, a_service, a_template
from tests.simulation.daemon import Daemon
from tests.simulation.expectations import Promises
from tests.simulation.mesos_model import Agent, MesosModel

SEEDS = int(os.environ.get("OFFERD_SIMULATION_SEEDS", "3"))
WALKS_A_SEED = 25
DAY_S = 86_400.0
BUDGETS = [Budget(), Budget(), Budget(rows=1, launches=1), Budget(rows=25, launches=2)]


@dataclass(frozen=True)
class Setting:
    """`fault_every_s` on average; most last for some minutes, so several overlap."""

    agents: int
    jobs: int
    lasts_s: float
    fault_every_s: float
    quantum_s: float


DAY = Setting(agents=20, jobs=30, lasts_s=DAY_S, fault_every_s=240.0, quantum_s=6.0)
DENSE_HOUR = Setting(agents=3, jobs=4, lasts_s=2400.0, fault_every_s=15.0, quantum_s=1.5)


class Simulation:
    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        self.random = Random(seed)
        self.world = MesosModel(agents=setting.agents, cpus=8000, seed=seed, role=ROLE)
        self.world.service_failures = 0.02
        policy = Policy(
            roles=(ROLE,),
            offers=OfferPolicy(narrow_after_s=5.0),
            ended=EndedPolicy(keep_s=30 * DAY_S),
        )
        self.daemon = Daemon(policy, self.world, seed)
        self.faults = [
            self.daemon.disconnect,
            self.daemon.fail_master_over,
            self.part_an_agent,
            self.part_an_agent,
            self.reboot_an_agent,
            self.prune_an_agent,
            self.lose_an_agent,
            self.lose_launches,
            self.slow_the_store_down,
            self.daemon.crash,
            self.crash_in_the_midst_of_work,
            self.crash_while_asked,
            self.read_a_part_of_the_stream,
            self.rescind_offers,
            self.repeat_updates,
        ]
        self.daemon.budget = self.random.choice(BUDGETS)
        self.promises = Promises(self.daemon, self.world)
        self.templates = 0
        self.names = [f"{'batch' if n % 3 == 0 else 'web'}-{n}" for n in range(setting.jobs)]

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
        setting = self.setting
        while self.daemon.mono < setting.lasts_s:
            pause_s = self.random.expovariate(1.0 / setting.fault_every_s)
            self.daemon.advance(pause_s, quantum_s=setting.quantum_s)
            self.random.choice([self.break_something, self.mend, self.mend, self.user])()
        self.promises.heal_and_check()

    def uid(self) -> Uid:
        return self.promises.uid()

    # --- what happens ----------------------------------------------------------------------------

    def agent(self) -> Agent:
        return self.random.choice(list(self.world.agents.values()))

    def break_something(self) -> None:
        self.random.choice(self.faults)()

    def part_an_agent(self) -> None:
        self.world.part(self.agent())

    def reboot_an_agent(self) -> None:
        self.world.reboot(self.agent())

    def prune_an_agent(self) -> None:
        self.world.prune(self.agent())

    def lose_launches(self) -> None:
        self.world.launches_lost = 0.3

    def slow_the_store_down(self) -> None:
        self.daemon.lagging = True
        self.daemon.flush(self.random.randint(0, 4))

    def crash_in_the_midst_of_work(self) -> None:
        self.daemon.lagging = True
        self.daemon.advance(2.0)
        self.daemon.crash()
        self.daemon.lagging = False

    def crash_while_asked(self) -> None:
        job, ticket = JobId(self.random.choice(self.names)), self.promises.ticket()
        commands: list[ApplyJob | ScaleJob | StopJob | DeleteJob] = [
            ApplyJob(ticket, self.spec(job), self.uid()),
            ScaleJob(ticket, job, self.random.randint(0, 8)),
            StopJob(ticket, job),
            DeleteJob(ticket, job),
            DeleteJob(ticket, job),
        ]
        self.promises.ask_and_crash(self.random.choice(commands))

    def read_a_part_of_the_stream(self) -> None:
        self.world.tick(self.daemon.mono)
        self.daemon.read(self.random.randint(1, 3))

    def rescind_offers(self) -> None:
        for offer_id in list(self.world.outstanding)[:2]:
            self.world.rescind(offer_id)

    def repeat_updates(self) -> None:
        for task in self.world.unacknowledged()[:2]:
            self.world.repeat(task)

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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"day_{seed}")
def test_after_a_day_of_faults_every_promise_is_kept(seed: int) -> None:
    day = Simulation(DAY, seed)
    day.run()
    assert day.daemon.launches > DAY.jobs
    assert day.daemon.terms > 5


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS * WALKS_A_SEED), ids=lambda seed: f"hour_{seed}")
def test_after_an_hour_of_dense_faults_every_promise_is_kept(seed: int) -> None:
    Simulation(DENSE_HOUR, seed).run()
