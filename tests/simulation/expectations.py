"""What users were promised, and whether a healed cluster keeps it."""

from dataclasses import dataclass, field

from scheduler.core.effects import Verdict
from scheduler.core.events import (
    ApplyJob,
    DeleteJob,
    KillTask,
    ScaleJob,
    StopJob,
    TaskState,
    Ticket,
)
from scheduler.core.model.ids import InstanceKey, JobId, TaskId, Uid, parse_task_id
from scheduler.core.model.instance import Outcome
from scheduler.core.model.job import JobSpec, Kind
from scheduler.core.records import Desired, JobRecord
from tests.simulation.daemon import Daemon
from tests.simulation.mesos_model import MesosModel, Standing

HEALED_WITHIN_S = 3 * 3600.0


@dataclass
class Promises:
    """`jobs` is what users asked for and were told is done; None: deleted."""

    daemon: Daemon
    world: MesosModel
    jobs: dict[JobId, tuple[JobSpec, Desired] | None] = field(default_factory=dict)
    tickets: int = 0
    uids: int = 0

    def ask(self, command: ApplyJob | ScaleJob | StopJob | DeleteJob | KillTask) -> Verdict:
        """Gives the command, and waits until it is durable."""
        self.daemon.handle(command)
        self.daemon.flush()
        answer = self.daemon.answers[command.ticket]
        if answer.verdict is Verdict.DONE:
            self._note(command)
        return answer.verdict

    def ask_and_crash(self, command: ApplyJob | ScaleJob | StopJob | DeleteJob) -> None:
        """Nobody was answered, so whatever is stored is as good: what was, or what was asked."""
        job = command.spec.job if isinstance(command, ApplyJob) else command.job
        self.daemon.flush()
        self.daemon.lagging = True
        self.daemon.handle(command)
        self.daemon.crash()
        self.daemon.lagging = False
        self.daemon.flush()
        known = self.daemon.engine.state.jobs.get(job)
        if known is not None and known.record.desired is not Desired.DELETE:
            self.jobs[job] = (known.spec, known.record.desired)
        elif job in self.jobs:
            self.jobs[job] = None

    def ticket(self) -> Ticket:
        self.tickets += 1
        return Ticket(self.tickets)

    def uid(self) -> Uid:
        self.uids += 1
        return Uid(f"u{self.uids}")

    def _note(self, command: ApplyJob | ScaleJob | StopJob | DeleteJob | KillTask) -> None:
        match command:
            case ApplyJob(spec=spec):
                self.jobs[spec.job] = (spec, Desired.RUN)
            case ScaleJob(job=job):
                self.jobs[job] = (self.daemon.engine.state.jobs[job].spec, Desired.RUN)
            case StopJob(job=job):
                noted = self.jobs[job]
                assert noted is not None
                self.jobs[job] = (noted[0], Desired.STOP)
            case DeleteJob(job=job):
                self.jobs[job] = None
            case KillTask():
                pass

    # --- healing ---------------------------------------------------------------------------------

    def heal_and_check(self) -> None:
        """No more faults; then, in bounded time, all is as it was promised."""
        daemon, world = self.daemon, self.world
        world.service_failures = world.launches_lost = 0.0
        daemon.lagging = False
        daemon.flush()
        for agent in list(world.agents.values()):
            if agent.dead:
                world.mark_gone(agent)
            else:
                world.rejoin(agent)
        daemon.connect()
        problem = "not looked yet"
        until = daemon.mono + HEALED_WITHIN_S
        while problem and daemon.mono < until:
            daemon.connect()
            daemon.advance(20.0, quantum_s=4.0)
            problem = self.broken()
        assert not problem, problem

    def broken(self) -> str:
        """The first promise that is not kept now, or ''."""
        unacknowledged = self.world.unacknowledged()
        if unacknowledged:
            return f"{unacknowledged[0]} waits for an acknowledgement"
        if self.world.outstanding:
            return "an offer is held"
        strangers = {task.id for task in self.daemon.engine.views.unknown_tasks()}
        live = [task for task in self.world.live_tasks() if task not in strangers]
        for job, wanted in self.jobs.items():
            problem = self._broken_job(job, wanted, live)
            if problem:
                return problem
        for task in live:
            parts = parse_task_id(task)
            if parts is None or self.jobs.get(parts.job) is None:
                return f"{task} runs, and nobody wants it"
        return ""

    def _broken_job(
        self, job: JobId, wanted: tuple[JobSpec, Desired] | None, live: list[TaskId]
    ) -> str:
        mine = [task for task in live if task.rsplit(".", 3)[0] == job]
        known = self.daemon.engine.state.jobs.get(job)
        if wanted is None or wanted[1] is Desired.STOP:
            if wanted is None and known is not None:
                return f"{job} is not deleted"
            return f"{mine[0]} runs, though {job} is stopped" if mine else ""
        spec = wanted[0]
        if known is None or known.spec != spec:
            return f"{job} is not what was applied"
        stored = self.daemon.stored[job]
        assert isinstance(stored, JobRecord)
        assert stored.spec == spec, f"{job}: stored otherwise"
        for index in range(spec.instances):
            tasks = [task for task in mine if task.rsplit(".", 3)[1] == str(index)]
            problem = self._broken_instance(spec, index, tasks)
            if problem:
                return f"{job} {index}: {problem}"
        if any(int(task.rsplit(".", 3)[1]) >= spec.instances for task in mine):
            return f"{job}: more than {spec.instances} instances"
        return ""

    def _broken_instance(self, spec: JobSpec, index: int, tasks: list[TaskId]) -> str:
        record = self.daemon.stored.get(InstanceKey(spec.job, index))
        if spec.kind is Kind.BATCH:
            if tasks:
                return "still runs"
            finished = getattr(record, "outcome", None) is Outcome.FINISHED
            return "" if finished else "has not finished"
        if len(tasks) != 1:
            return f"{len(tasks)} tasks run"
        task = self.world.live_tasks()[tasks[0]]
        if task.state is not TaskState.RUNNING:
            return f"is {task.state}"
        if task.launch.template != spec.template:
            return "runs an old template"
        agent = self.world.agents[task.launch.agent_id]
        return "" if agent.standing is Standing.REGISTERED else "cannot be reached"
