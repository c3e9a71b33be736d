"""The life of attempts: what statuses change, what is wanted to end, and what must be done next.

Owns the kill retries. It decides which instances wait in the queue, and never places them
(placing.py) nor talks of offers. Neighbour: `launch_watch` (tasks that say nothing).
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from scheduler.core.agent_health import AgentHealth
from scheduler.core.deadlines import Due
from scheduler.core.desk import Desk
from scheduler.core.effects import Acknowledge, Kill, NoticeKind
from scheduler.core.events import StatusUpdated
from scheduler.core.jobs.after_end import Again, Settled, after_end
from scheduler.core.jobs.job import Job
from scheduler.core.jobs.rollout import next_replacement
from scheduler.core.launch_watch import LaunchWatch
from scheduler.core.model.ids import InstanceKey, JobId, TaskId
from scheduler.core.model.instance import (
    AWAY,
    ENDED_KEPT_MAX,
    Attempt,
    AttemptState,
    EndReason,
    Instance,
    Outcome,
    WantedEnd,
)
from scheduler.core.model.job import Kind, OnReturn
from scheduler.core.records import Desired
from scheduler.core.state import Found
from scheduler.core.transitions import after_status, declared


class KillSent(NamedTuple):
    """The last KILL of a task; only the deadline `again_at` of it counts."""

    tries: int
    at: float
    again_at: float


class Attempts:
    def __init__(self, desk: Desk, health: AgentHealth) -> None:
        self._desk = desk
        self._health = health
        self._kills: dict[TaskId, KillSent] = {}
        self.launches = LaunchWatch(desk)

    # --- what the master says --------------------------------------------------------------------

    def on_status(self, status: StatusUpdated, found: Found) -> None:
        """Apply, then acknowledge: the acknowledgement leaves when the change is durable.

        Each copy with a uuid is acknowledged (scheduler-api §14), also one that changes nothing.
        """
        desk = self._desk
        before = found.attempt
        within_reach = desk.reconciliation.answered(status.task_id)
        after = after_status(before, status, desk.now.wall)
        if after is not None:
            within_reach |= before.state in AWAY or not before.live
            self.change(found, after)
        elif within_reach:
            self._confirmed(found)
        if within_reach:
            self._take_up_kill(status.task_id)
        self.acknowledge(status)

    def _confirmed(self, found: Found) -> None:
        """The present master says what was stored: act on it, as it was not acted on before."""
        if found.attempt.state in AWAY:
            self.away_too_long(found.attempt.task_id)
        if found.job.rolling:
            self._desk.rolling[found.job.id] = None
        self.plan(found.job, found.instance.index)

    def acknowledge(self, status: StatusUpdated) -> None:
        if status.uuid:
            acknowledge = Acknowledge(status.agent_id, status.task_id, status.uuid)
            self._desk.step.call(acknowledge)

    def change(self, found: Found, after: Attempt) -> None:
        """An attempt changed: store it, and do what follows from it."""
        desk = self._desk
        job, instance, before = found
        if after.live:
            desk.store(_shown_alive(_with_live(instance, before, after), after))
            if after.version < job.record.template_version:
                job.rolling = True  # it may have been given up, and the rollout been over
            if after.state in AWAY:
                self._watch_away(job, after)
            elif after.state is AttemptState.LAUNCHING:
                self.launches.add(after.task_id)
        else:
            self._ended(job, instance, after)
        self._notice(job, after)
        if job.rolling:
            desk.rolling[job.id] = None
        desk.touched[job.id] = None
        self.plan(job, instance.index)

    def _ended(self, job: Job, instance: Instance, after: Attempt) -> None:
        desk = self._desk
        self._kills.pop(after.task_id, None)
        desk.reconciliation.answered(after.task_id)
        live = tuple([a for a in instance.live if a.task_id != after.task_id])
        ended = (after, *[a for a in instance.ended if a.task_id != after.task_id])
        instance = msgspec.structs.replace(instance, live=live, ended=ended[:ENDED_KEPT_MAX])
        if job.outcome(instance) is None:
            instance = self._what_follows(job, instance, after)
        desk.store(instance)
        self._health.ended(job, after)
        if job.counted_by:
            desk.queue.stir(job.id)  # a value is free for the job's others

    def _what_follows(self, job: Job, instance: Instance, ended: Attempt) -> Instance:
        desk = self._desk
        follows = after_end(job.spec, ended, instance.failures, desk.policy.stable_run_s)
        outdated = ended.version < job.record.template_version
        match follows:
            case Settled(outcome=Outcome.FINISHED):
                return msgspec.structs.replace(
                    instance,
                    failures=0,
                    not_before=None,
                    outcome=Outcome.FINISHED,
                    outcome_version=ended.version,
                )
            case _ if outdated:
                # What failed was another template; the new one starts with a clean record.
                return msgspec.structs.replace(instance, failures=0, not_before=None)
            case _ if self._is_taken(job, instance):
                return instance
            case Settled(outcome, failures):
                return msgspec.structs.replace(
                    instance,
                    failures=failures,
                    not_before=None,
                    outcome=outcome,
                    outcome_version=ended.version,
                )
            case Again(delay_s, failures):
                return msgspec.structs.replace(
                    instance,
                    failures=failures,
                    not_before=desk.now.wall + delay_s if delay_s else None,
                )

    # --- what an instance needs ------------------------------------------------------------------

    def plan(self, job: Job, index: int) -> None:
        """Bring one instance nearer to what its job wants: end what is too much, queue what is
        missing. Idempotent."""
        desk = self._desk
        key = InstanceKey(job.id, index)
        instance = job.instances.get(index)
        if not job.wants(index):
            desk.queue.discard(key)
            if instance is not None:
                self._end_all(instance.live, _reason_to_end(job))
                self._give_up_unknown(instance)
            return
        if instance is None:
            self._enqueue(job, key, None)
            return
        outcome = job.outcome(instance)
        if outcome is Outcome.FINISHED:
            self._end_all(instance.live, EndReason.FINISHED_ELSEWHERE)
        else:
            self._end_all(self._surplus(job, instance), EndReason.SUPERSEDED)
        if outcome is not None or self._is_taken(job, instance):
            desk.queue.discard(key)
        else:
            self._enqueue(job, key, job.not_before(instance))

    def _give_up_unknown(self, instance: Instance) -> None:
        """Tasks that nobody wants and the present master knows nothing of, neither they nor their
        agents: a KILL would reach nobody, and the job's end must not wait for them, however long it
        would wait to replace them. One that comes back after all is ended then."""
        for attempt in instance.live:
            if attempt.state is AttemptState.UNKNOWN and self._spoken_of(attempt.task_id):
                found = self._desk.state.find(attempt.task_id)
                if found is not None:
                    self._declare_gone(found)

    def _enqueue(self, job: Job, key: InstanceKey, not_before: float | None) -> None:
        desk = self._desk
        due = None
        if not_before is not None and not_before > desk.now.wall:
            due = desk.mono_of(not_before)
        template = job.spec.template
        choosy = bool(template.constraints)
        added = desk.queue.add(key, template.role, job.spec.priority, due, choosy=choosy)
        if added and due is not None:
            desk.deadlines.add(due, Due.BACKOFF_ENDS, key)
            desk.history.backs_off(job.id, desk.now.wall, _last_words(job, key))

    def _is_taken(self, job: Job, instance: Instance) -> bool:
        return any([self._holds_seat(job, attempt) for attempt in instance.live])

    def _holds_seat(self, job: Job, attempt: Attempt) -> bool:
        """While it does, no other attempt is made. Silence proves nothing: only an attempt that the
        present master itself calls away, for long enough, gives its seat up."""
        if attempt.state not in AWAY:
            return True
        after_s = job.spec.unreachable.replace_after_s
        if attempt.away_since is None or after_s is None:
            return True
        if not self._spoken_of(attempt.task_id):
            return True
        return self._desk.now.wall < attempt.away_since + after_s

    def _spoken_of(self, task: TaskId) -> bool:
        """What we know of the task is what the master of the present stream said."""
        return self._desk.connected and self._desk.reconciliation.confirmed(task)

    def _surplus(self, job: Job, instance: Instance) -> list[Attempt]:
        """A task is back from a partition: of two attempts of a service one must go, when it is
        sure that both are there. Of a batch's, the first that finishes wins."""
        if len(instance.live) < 2 or job.spec.kind is Kind.BATCH:
            return []
        present = [a for a in instance.live if a.state not in AWAY and a.end is None]
        if len(present) < 2 or not all(self._spoken_of(a.task_id) for a in present):
            return []
        newest = job.spec.unreachable.on_return is OnReturn.KEEP_NEW
        kept = max(present, key=lambda a: (a.version, a.number if newest else -a.number))
        return [attempt for attempt in present if attempt is not kept]

    def _end_all(self, attempts: Iterable[Attempt], reason: EndReason) -> None:
        for attempt in attempts:
            if attempt.end is None:
                found = self._desk.state.find(attempt.task_id)
                if found is not None:
                    self.want_end(found, reason)

    # --- ending ----------------------------------------------------------------------------------

    def want_end(self, found: Found, reason: EndReason, grace_s: float | None = None) -> None:
        """Store that this attempt is to end, then kill it. A second call with a shorter grace
        escalates (executors allow only shortening)."""
        desk = self._desk
        if grace_s is None:
            grace_s = found.job.spec.template.kill_grace_s
        end = WantedEnd(reason, grace_s, desk.now.wall)
        after = msgspec.structs.replace(found.attempt, end=end)
        desk.store(_with_live(found.instance, found.attempt, after))
        self._send_kill(after)

    def _send_kill(self, attempt: Attempt) -> None:
        """None is sent to a task that is away (the master would not remember it) or that the
        present master has not spoken of; both are killed by the status that brings them back."""
        desk = self._desk
        if attempt.end is None or attempt.state in AWAY or not self._spoken_of(attempt.task_id):
            return
        step = desk.step
        step.call(Kill(step.call_id(), attempt.task_id, attempt.agent_id, attempt.end.grace_s))
        sent = self._kills.get(attempt.task_id)
        tries = sent.tries if sent is not None else 0
        policy = desk.policy
        pause_s = min(policy.kill_retry_s_initial * 2.0 ** min(tries, 10), policy.kill_retry_s_max)
        again_at = desk.now.mono + pause_s
        self._kills[attempt.task_id] = KillSent(tries + 1, desk.now.mono, again_at)
        desk.deadlines.add(again_at, Due.KILL_AGAIN, attempt.task_id)

    def kill_again(self, task: TaskId, due: float) -> None:
        """KILL is best effort (guide §7): repeat until a terminal status was seen."""
        sent = self._kills.get(task)
        found = self._desk.state.find(task)
        if sent is not None and sent.again_at == due and found is not None and found.attempt.live:
            self._send_kill(found.attempt)

    def _take_up_kill(self, task: TaskId) -> None:
        """The task came within reach: if it is to end, say so, unless this step did already."""
        sent = self._kills.get(task)
        found = self._desk.state.find(task)
        already_said = sent is not None and sent.at >= self._desk.now.mono
        if found is not None and found.attempt.live and not already_said:
            self._send_kill(found.attempt)

    # --- away ------------------------------------------------------------------------------------

    def _watch_away(self, job: Job, attempt: Attempt) -> None:
        after_s = job.spec.unreachable.replace_after_s
        if after_s is not None and attempt.away_since is not None:
            at = self._desk.mono_of(attempt.away_since + after_s)
            self._desk.deadlines.add(at, Due.AWAY_TOO_LONG, attempt.task_id)

    def away_too_long(self, task: TaskId) -> None:
        """Unreachable: another attempt may be made, this one stays known. Unknown: it is gone."""
        desk = self._desk
        found = desk.state.find(task)
        if found is None or found.attempt.state not in AWAY:
            return
        if self._holds_seat(found.job, found.attempt):
            if self._spoken_of(task):
                self._watch_away(found.job, found.attempt)
            return
        if found.attempt.state is AttemptState.UNKNOWN:
            self._declare_gone(found)
        else:
            self.plan(found.job, found.instance.index)

    def _declare_gone(self, found: Found) -> None:
        wall = self._desk.now.wall
        gone = declared(found.attempt, AttemptState.GONE, "unknown_to_master", "", wall)
        self.change(found, gone)

    def watch_all_away(self, job: Job) -> None:
        """The job says anew how long it waits for a task that is away."""
        for instance in job.instances.values():
            for attempt in instance.live:
                if attempt.state in AWAY:
                    self._watch_away(job, attempt)

    def stream_began(self) -> None:
        """What another master called away, this one may not: instances that were to be replaced
        wait for its answer. Kills that the old stream took begin anew as well."""
        self._kills.clear()
        for job in self._desk.state.jobs.values():
            if any(job.counts[state] for state in AWAY):
                self._desk.queue.discard_job(job.id)
                self._desk.plan_all(job.id)

    # --- launches --------------------------------------------------------------------------------

    def check_launches(self) -> None:
        """End those that stayed silent although the master was asked about them."""
        for task in self.launches.overdue():
            found = self._desk.state.find(task)
            if found is not None:
                self.want_end(found, EndReason.LAUNCH_TIMEOUT)

    def never_sent(self, task: TaskId, detail: str) -> None:
        """The ACCEPT that held this task was not received: the task cannot exist."""
        found = self._desk.state.find(task)
        if found is not None and found.attempt.state is AttemptState.LAUNCHING:
            wall = self._desk.now.wall
            dropped = declared(found.attempt, AttemptState.DROPPED, "call_failed", detail, wall)
            self.change(found, dropped)

    # --- replacing -------------------------------------------------------------------------------

    def roll(self, job_id: JobId) -> None:
        desk = self._desk
        job = desk.state.jobs.get(job_id)
        if job is None or not job.rolling or not job.runs or job.spec.kind is not Kind.SERVICE:
            return
        confirmed = desk.reconciliation.confirmed
        rollout = next_replacement(job, confirmed, desk.now.wall)
        job.rollout, job.halted = rollout.text, rollout.halted
        if rollout.over:
            job.rolling = False
        if rollout.look_again_at is not None:
            at = desk.mono_of(rollout.look_again_at)
            desk.deadlines.add(at, Due.ROLLOUT_SETTLES, job.id)
        if rollout.replace is not None:
            found = desk.state.find(rollout.replace)
            if found is not None:
                self.want_end(found, EndReason.REPLACED)

    # --- after loading ---------------------------------------------------------------------------

    def resume(self, job: Job, index: int) -> None:
        """Take up an instance as it was stored: its watches are in memory only."""
        instance = job.instances.get(index)
        for attempt in instance.live if instance is not None else ():
            if attempt.state is AttemptState.LAUNCHING:
                self.launches.add(attempt.task_id)
            elif attempt.state in AWAY:
                self._watch_away(job, attempt)
            if attempt.version < job.record.template_version:
                job.rolling = True

    # --- shared ----------------------------------------------------------------------------------

    def _notice(self, job: Job, attempt: Attempt) -> None:
        self._desk.step.notice(
            NoticeKind.TASK_CHANGED,
            job=job.id,
            task_id=attempt.task_id,
            state=attempt.state,
            text=attempt.message,
        )


def _last_words(job: Job, key: InstanceKey) -> str:
    """How the last attempt of an instance ended."""
    instance = job.instances.get(key.instance)
    if instance is None or not instance.ended:
        return "back-off"
    last = instance.ended[0]
    said = ": ".join(part for part in (last.reason, last.message) if part)
    return f"back-off after {last.state}" + (f" ({said})" if said else "")


def _with_live(instance: Instance, before: Attempt, after: Attempt) -> Instance:
    """The instance with this attempt among the live ones, in its place or, if it returned from an
    end that was only declared, as the oldest."""
    task = after.task_id
    if before.live:
        live = tuple([after if a.task_id == task else a for a in instance.live])
        return msgspec.structs.replace(instance, live=live)
    ended = tuple(a for a in instance.ended if a.task_id != task)
    return msgspec.structs.replace(instance, live=(after, *instance.live), ended=ended)


def _shown_alive(instance: Instance, attempt: Attempt) -> Instance:
    """An instance that was given up is not, once one of its tasks shows itself alive again."""
    given_up = instance.outcome is not None and instance.outcome is not Outcome.FINISHED
    if given_up and attempt.state not in AWAY:
        return msgspec.structs.replace(instance, outcome=None)
    return instance


def _reason_to_end(job: Job) -> EndReason:
    match job.record.desired:
        case Desired.RUN:
            return EndReason.SCALED_DOWN
        case Desired.STOP:
            return EndReason.JOB_STOPPED
        case Desired.DELETE:
            return EndReason.JOB_DELETED
