"""Any order of commands, statuses, faults and crashes: what must never happen does not happen, and
a healed cluster keeps every promise."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from scheduler.core.events import ApplyJob, DeleteJob, KillTask, ScaleJob, StopJob
from scheduler.core.model.ids import JobId
from scheduler.core.model.job import JobSpec, OnReturn, Unreachable
from scheduler.core.policy import Budget, Policy
from tests.builders import ROLE, a_batch, a_service, a_template
from tests.simulation.daemon import Daemon
from tests.simulation.expectations import Promises
from tests.simulation.mesos_model import Agent, MesosModel

JOBS = st.sampled_from(["batch-a", "batch-b", "web", "api"])
PICK = st.integers(0, 10_000)
UNREACHABLE = st.builds(
    Unreachable,
    replace_after_s=st.sampled_from([0.0, 30.0, 300.0, None]),
    on_return=st.sampled_from(list(OnReturn)),
)
BUDGETS = st.sampled_from([Budget(), Budget(rows=1, launches=1), Budget(rows=25, launches=2)])


class EngineMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**16), budget=BUDGETS)
    def begin(self, seed: int, budget: Budget) -> None:
        self.templates = 0
        self.world = MesosModel(agents=3, cpus=4000, seed=seed, role=ROLE)
        self.daemon = Daemon(Policy(roles=(ROLE,)), self.world, seed)
        self.daemon.budget = budget
        self.promises = Promises(self.daemon, self.world)
        self.daemon.connect()
        self.daemon.advance(1.0)
        for job in ("web", "batch-a"):
            self._change(job, 2, Unreachable(replace_after_s=30.0), anew=True)
        self.daemon.advance(5.0)

    # --- users -----------------------------------------------------------------------------------

    def _change(self, job: str, instances: int, unreachable: Unreachable, anew: bool) -> None:
        spec = self._spec(job, instances, unreachable, anew)
        self.promises.ask(ApplyJob(self.promises.ticket(), spec, self.promises.uid()))

    def _spec(self, job: str, instances: int, unreachable: Unreachable, anew: bool) -> JobSpec:
        known = self.daemon.engine.state.jobs.get(JobId(job))
        template = known.spec.template if known is not None and not anew else None
        if template is None:
            self.templates += 1
            template = a_template(line=f"run {self.templates}", cpus=500)
        if job.startswith("batch"):
            return a_batch(
                job, instances=instances, retries=1000, template=template, unreachable=unreachable
            )
        return a_service(
            job,
            instances=instances,
            template=template,
            unreachable=unreachable,
            min_healthy_s=2.0,
        )

    @rule(job=JOBS, instances=st.integers(0, 3), unreachable=UNREACHABLE, anew=st.booleans())
    def apply(self, job: str, instances: int, unreachable: Unreachable, anew: bool) -> None:
        self._change(job, instances, unreachable, anew)

    @rule(job=JOBS, instances=st.integers(0, 4))
    def scale(self, job: str, instances: int) -> None:
        self.promises.ask(ScaleJob(self.promises.ticket(), JobId(job), instances))

    @rule(job=JOBS)
    def stop(self, job: str) -> None:
        self.promises.ask(StopJob(self.promises.ticket(), JobId(job)))

    @rule(job=JOBS)
    def delete(self, job: str) -> None:
        self.promises.ask(DeleteJob(self.promises.ticket(), JobId(job)))

    @rule(pick=PICK)
    def kill(self, pick: int) -> None:
        tasks = sorted(self.world.live_tasks())
        if tasks:
            self.promises.ask(KillTask(self.promises.ticket(), tasks[pick % len(tasks)]))

    # --- the master, its agents and the way to them ----------------------------------------------

    @rule(seconds=st.sampled_from([0.2, 1.0, 5.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.daemon.advance(seconds, quantum_s=max(seconds / 20, 0.2))

    @rule(seconds=st.sampled_from([400.0, 1000.0]))
    def much_time_passes(self, seconds: float) -> None:
        self.daemon.advance(seconds, quantum_s=10.0)

    @rule(events=st.integers(1, 3))
    def only_a_part_of_the_stream_is_read(self, events: int) -> None:
        self.world.tick(self.daemon.mono)
        self.daemon.read(events)

    @rule()
    def connect(self) -> None:
        self.daemon.connect()

    @rule()
    def the_stream_breaks(self) -> None:
        self.daemon.disconnect()

    @rule()
    def the_master_fails_over(self) -> None:
        self.daemon.fail_master_over()

    def _agent(self, pick: int) -> Agent:
        agents = list(self.world.agents.values())
        return agents[pick % len(agents)]

    @rule(pick=PICK)
    def an_agent_is_cut_off(self, pick: int) -> None:
        self.world.part(self._agent(pick))

    @rule(pick=PICK)
    def an_agent_is_back(self, pick: int) -> None:
        self.world.rejoin(self._agent(pick))

    @rule(pick=PICK)
    def an_agent_reboots(self, pick: int) -> None:
        self.world.reboot(self._agent(pick))

    @rule(pick=PICK)
    def an_unreachable_agent_is_pruned(self, pick: int) -> None:
        self.world.prune(self._agent(pick))

    @precondition(lambda self: len(self.world.agents) < 8)
    @rule(pick=PICK, how=st.sampled_from(["die", "remove", "gone"]))
    def an_agent_is_lost_for_good(self, pick: int, how: str) -> None:
        agent = self._agent(pick)
        match how:
            case "die":
                self.world.die(agent)
            case "remove":
                self.world.remove(agent)
            case _:
                self.world.mark_gone(agent)
        self.world.add_agent()

    @rule(pick=PICK)
    def a_task_fails(self, pick: int) -> None:
        tasks = sorted(self.world.live_tasks())
        if tasks:
            self.world.fail_task(tasks[pick % len(tasks)])

    @rule(pick=PICK)
    def an_update_comes_again(self, pick: int) -> None:
        tasks = self.world.unacknowledged()
        if tasks:
            self.world.repeat(tasks[pick % len(tasks)])

    @rule(pick=PICK)
    def an_offer_is_rescinded(self, pick: int) -> None:
        offers = list(self.world.outstanding)
        if offers:
            self.world.rescind(offers[pick % len(offers)])

    @rule(share=st.sampled_from([0.0, 0.5, 1.0]))
    def launches_are_lost(self, share: float) -> None:
        self.world.launches_lost = share

    # --- ourselves -------------------------------------------------------------------------------

    @rule(lagging=st.booleans())
    def the_store_is_slow(self, lagging: bool) -> None:
        self.daemon.lagging = lagging
        if not lagging:
            self.daemon.flush()

    @rule(steps=st.integers(1, 4))
    def the_store_does_a_little(self, steps: int) -> None:
        self.daemon.flush(steps)

    @rule()
    def the_daemon_is_killed(self) -> None:
        self.daemon.crash()

    @rule(job=JOBS, instances=st.integers(0, 3), delete=st.booleans())
    def the_daemon_is_killed_while_asked(self, job: str, instances: int, delete: bool) -> None:
        ticket = self.promises.ticket()
        if delete:
            self.promises.ask_and_crash(DeleteJob(ticket, JobId(job)))
        else:
            spec = self._spec(job, instances, Unreachable(), anew=True)
            self.promises.ask_and_crash(ApplyJob(ticket, spec, self.promises.uid()))

    @rule()
    def the_daemon_is_killed_in_the_midst_of_work(self) -> None:
        self.daemon.lagging = True
        self.daemon.advance(3.0)
        self.daemon.crash()
        self.daemon.lagging = False
        self.daemon.connect()

    def teardown(self) -> None:
        if hasattr(self, "promises"):
            self.promises.heal_and_check()


EngineMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestEngineMachine = EngineMachine.TestCase
