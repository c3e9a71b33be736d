"""What users ask for: each command changes records, marks what is to be planned, and is answered.

The answer says that the wish is stored; tasks follow it in later steps.
"""

from collections import deque

import msgspec

from scheduler.core.attempts import Attempts
from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import NoticeKind, Reconcile, Verdict
from scheduler.core.events import (
    ApplyJob,
    CallId,
    DeleteJob,
    KillTask,
    ScaleJob,
    StopJob,
    Ticket,
)
from scheduler.core.jobs.job import Job
from scheduler.core.model.ids import InstanceKey, JobId
from scheduler.core.model.instance import EndReason
from scheduler.core.model.job import INSTANCES_MAX, JobSpec, Kind
from scheduler.core.reconcile import MARKER_AGENT, SWEEP_MARKER
from scheduler.core.records import Desired, JobRecord
from scheduler.core.unknown import Unknown

JobCommand = ApplyJob | ScaleJob | StopJob | DeleteJob | KillTask


class Commands:
    def __init__(self, desk: Desk, attempts: Attempts, unknown: Unknown) -> None:
        self._desk = desk
        self._attempts = attempts
        self._unknown = unknown

    def handle(self, command: JobCommand) -> None:
        if self._desk.store_refusing:
            self._answer(
                command.ticket,
                Verdict.UNAVAILABLE,
                f"the store takes no writes: {self._desk.store_refusing}",
            )
            return
        match command:
            case ApplyJob():
                self._apply(command)
            case ScaleJob():
                self._scale(command)
            case StopJob():
                self._stop(command)
            case DeleteJob():
                self._delete(command)
            case KillTask():
                self._kill(command)

    # --- apply -----------------------------------------------------------------------------------

    def _apply(self, command: ApplyJob) -> None:
        spec = command.spec
        job = self._desk.state.jobs.get(spec.job)
        refusal = refusal_of(self._desk, spec)
        if refusal is not None:
            self._answer(command.ticket, *refusal)
        elif job is None:
            self._create(command)
        elif job.spec == spec and job.runs:
            self._answer(command.ticket, Verdict.UNCHANGED, "", job.record.version)
        else:
            self._change(command.ticket, job, spec)

    def _create(self, command: ApplyJob) -> None:
        wall = self._desk.now.wall
        record = JobRecord(
            spec=command.spec,
            uid=command.uid,
            version=1,
            template_version=1,
            desired=Desired.RUN,
            created_at=wall,
            changed_at=wall,
        )
        self._store(record, NoticeKind.JOB_CREATED)
        self._answer(command.ticket, Verdict.DONE, "created", 1)

    def _change(self, ticket: Ticket, job: Job, spec: JobSpec) -> None:
        before = job.record
        version = before.version + (spec != before.spec)
        template_version, run_version = before.template_version, before.run_version
        if spec.template != before.spec.template:
            template_version = version
            if job.ended:
                run_version = version
        record = msgspec.structs.replace(
            before,
            spec=spec,
            version=version,
            template_version=template_version,
            run_version=run_version,
            desired=Desired.RUN,
            changed_at=self._desk.now.wall,
            ended_at=None,
        )
        # What waits in the queue waits with the old description.
        self._desk.queue.discard_job(job.id)
        job.rolling = job.rolling or template_version != before.template_version
        self._store(record, NoticeKind.JOB_CHANGED)
        if spec.unreachable != before.spec.unreachable:
            self._attempts.watch_all_away(job)
        self._answer(
            ticket, Verdict.DONE, "changed" if before.desired is Desired.RUN else "started", version
        )

    # --- scale, stop, delete, kill ---------------------------------------------------------------

    def _scale(self, command: ScaleJob) -> None:
        job = self._running(command.ticket, command.job)
        if job is None:
            return
        if not 0 <= command.instances <= INSTANCES_MAX:
            self._answer(
                command.ticket, Verdict.INVALID, f"instances: 0 to {INSTANCES_MAX} are allowed"
            )
        elif command.instances == job.spec.instances:
            self._answer(command.ticket, Verdict.UNCHANGED, "", job.record.version)
        else:
            spec = msgspec.structs.replace(job.spec, instances=command.instances)
            self._change(command.ticket, job, spec)

    def _running(self, ticket: Ticket, job_id: JobId) -> Job | None:
        """The job, if it is there and not stopped; else the answer is given."""
        job = self._desk.state.jobs.get(job_id)
        if job is None:
            self._answer(ticket, Verdict.NOT_FOUND, f"there is no job `{job_id}`")
            return None
        if not job.runs:
            word = "stopped" if job.record.desired is Desired.STOP else "being deleted"
            self._answer(ticket, Verdict.CONFLICT, f"the job is {word}")
            return None
        return job

    def _stop(self, command: StopJob) -> None:
        self._end(command.ticket, command.job, Desired.STOP, NoticeKind.JOB_STOPPED)

    def _delete(self, command: DeleteJob) -> None:
        self._end(command.ticket, command.job, Desired.DELETE, NoticeKind.JOB_DELETING)

    def _end(self, ticket: Ticket, job_id: JobId, desired: Desired, kind: NoticeKind) -> None:
        job = self._desk.state.jobs.get(job_id)
        if job is None:
            self._answer(ticket, Verdict.NOT_FOUND, f"there is no job `{job_id}`")
            return
        if job.record.desired in (desired, Desired.DELETE):
            self._answer(ticket, Verdict.UNCHANGED, "", job.record.version)
            return
        wall = self._desk.now.wall
        record = msgspec.structs.replace(job.record, desired=desired, changed_at=wall)
        self._desk.queue.discard_job(job_id)
        self._store(record, kind)
        self._answer(ticket, Verdict.DONE, "", record.version)

    def _kill(self, command: KillTask) -> None:
        if command.task_id in self._unknown.tasks:
            if not self._desk.connected:
                self._answer(command.ticket, Verdict.UNAVAILABLE, "there is no master to ask")
                return
            self._unknown.kill(command.task_id, command.grace_s or 0.0)
            self._answer(command.ticket, Verdict.DONE, "a task that is in no record of ours")
            return
        found = self._desk.state.find(command.task_id)
        if found is None:
            self._answer(command.ticket, Verdict.NOT_FOUND, f"there is no task `{command.task_id}`")
        elif not found.attempt.live:
            self._answer(command.ticket, Verdict.UNCHANGED, f"it is {found.attempt.state} already")
        else:
            reason = found.attempt.end.reason if found.attempt.end else EndReason.USER_KILL
            self._attempts.want_end(found, reason, command.grace_s)
            self._answer(command.ticket, Verdict.DONE)

    # --- shared ----------------------------------------------------------------------------------

    def _store(self, record: JobRecord, kind: NoticeKind) -> None:
        self._desk.store(record)
        self._desk.step.notice(kind, job=record.spec.job)
        self._desk.plan_all(record.spec.job)

    def _answer(
        self, ticket: Ticket, verdict: Verdict, detail: str = "", version: int | None = None
    ) -> None:
        self._desk.step.answer(ticket, verdict, detail, version)


def refusal_of(desk: Desk, spec: JobSpec) -> tuple[Verdict, str] | None:
    """Why this job would not be taken as things are; None: it would."""
    policy, job = desk.policy, desk.state.jobs.get(spec.job)
    role = spec.template.role
    if role not in policy.roles:
        known = ", ".join(policy.roles)
        return Verdict.INVALID, (
            f"role: this framework does not subscribe to `{role}` (it has: {known})"
        )
    if job is None:
        if len(desk.state.jobs) >= policy.jobs_max:
            return Verdict.CONFLICT, f"there are {policy.jobs_max} jobs already, the most"
        return None
    if job.record.desired is Desired.DELETE:
        return Verdict.CONFLICT, "the job is being deleted; apply it again when it has gone"
    if job.spec.kind is not spec.kind:
        return Verdict.CONFLICT, (
            f"the job is a {job.spec.kind}; delete it before it becomes a {spec.kind}"
        )
    return None


class Endings:
    """Jobs that have nothing left to do: ended batches, and jobs that were deleted.

    Of any crash any part of the open writes may survive. An instance's record without its job is
    known to be left over; a job without its instances' records would make task ids that were used
    before. So the instances' go only when the job's own is surely gone: a call that has ended,
    sent or not, proves that what was written before it is durable. `_leaving` are this step's,
    `_swept_by` those that wait for their call, `_gone` those whose records may go now."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._kept: dict[JobId, None] = {}
        self._leaving: list[InstanceKey] = []
        self._swept_by: dict[CallId, list[InstanceKey]] = {}
        self._gone: deque[InstanceKey] = deque()

    def resume(self) -> None:
        """After loading: those that ended first are the first to be forgotten again. What jobs left
        that a crash kept from going goes now."""
        self._gone.extend(self._desk.state.take_orphans())
        ended = [j for j in self._desk.state.jobs.values() if j.record.ended_at is not None]
        for job in sorted(ended, key=lambda job: job.record.ended_at or 0.0):
            self.keep(job)

    def check(self, job: Job) -> None:
        """Call when instances of the job have changed."""
        desk, record = self._desk, job.record
        if record.desired is Desired.DELETE:
            if job.live == 0 and not job.todo:
                self._forget(job, NoticeKind.JOB_DELETED)
        elif not job.runs:
            return
        elif record.ended_at is not None and not job.ended:
            # A task that had been given up is back.
            desk.store(msgspec.structs.replace(record, ended_at=None))
        elif record.ended_at is None and job.spec.instances and job.ended:
            desk.store(msgspec.structs.replace(record, ended_at=desk.now.wall))
            desk.step.notice(NoticeKind.JOB_ENDED, job=job.id)
            self.keep(job)

    def keep(self, job: Job) -> None:
        """An ended batch is kept for a while, and only so many; services stay."""
        desk = self._desk
        if job.spec.kind is not Kind.BATCH or job.record.ended_at is None:
            return
        self._kept.pop(job.id, None)
        self._kept[job.id] = None
        at = desk.mono_of(job.record.ended_at + desk.policy.ended.keep_s)
        desk.deadlines.add(at, Due.FORGET_JOB, job.id)
        while len(self._kept) > desk.policy.ended.keep_max:
            self.forget(next(iter(self._kept)), early=True)

    def forget(self, job_id: JobId, *, early: bool = False) -> None:
        """The time of an ended batch is over; one that was run again meanwhile is not ended."""
        desk = self._desk
        self._kept.pop(job_id, None)
        job = desk.state.jobs.get(job_id)
        if job is None or job.record.ended_at is None or job.live:
            return
        if early or job.record.ended_at + desk.policy.ended.keep_s <= desk.now.wall:
            self._forget(job, NoticeKind.JOB_FORGOTTEN)
        else:
            self.keep(job)

    def _forget(self, job: Job, kind: NoticeKind) -> None:
        desk = self._desk
        self._leaving += [instance.key for instance in job.instances.values()]
        desk.queue.discard_job(job.id)
        desk.shares.forget(job.id)
        desk.history.forget(job.id)
        desk.remove(job.id)
        desk.step.notice(kind, job=job.id)

    def sweep(self) -> None:
        """At the end of each step: ask a question whose answer is nothing to us, for its end."""
        if self._leaving:
            step = self._desk.step
            call = step.call_id()
            self._swept_by[call] = self._leaving
            self._leaving = []
            step.call(Reconcile(call, ((SWEEP_MARKER, MARKER_AGENT),)))

    def on_call_ended(self, call: CallId) -> None:
        self._gone.extend(self._swept_by.pop(call, ()))

    def clear(self, rows: int) -> bool:
        """Remove what has gone; True when some is left for the next step. A job of the same name
        may have come meanwhile; what it has written stays."""
        state = self._desk.state
        for _ in range(min(rows, len(self._gone))):
            key = self._gone.popleft()
            job = state.jobs.get(key.job)
            if job is None or key.instance not in job.instances:
                self._desk.remove(key)
        return bool(self._gone)
