"""Ending tasks on purpose: kills, stops, deletions, fewer instances."""

from scheduler.core.effects import Kill, Reconcile, Verdict
from scheduler.core.events import CallEnded, CallOutcome, TaskState
from scheduler.core.model.ids import InstanceKey, JobId, TaskId
from scheduler.core.model.instance import EndReason
from scheduler.core.records import Remove
from tests.builders import a_service, a_status, a_template
from tests.core.harness import Harness, connected, running

WEB = JobId("web")


def test_a_user_kills_a_task_and_its_instance_is_started_anew_at_once() -> None:
    harness, [task] = running(a_service())
    assert harness.kill(task).verdict is Verdict.DONE
    [kill] = harness.calls_of(Kill)
    assert (kill.task_id, kill.agent_id, kill.grace_s) == (task, "S-a1", 3.0)
    assert harness.place() == []
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.place() == ["web.0.2.u1"]
    assert harness.instance("web").failures == 0


def test_the_wanted_end_is_stored_in_the_step_of_the_kill() -> None:
    harness, [task] = running(a_service())
    harness.kill(task, grace_s=9.0)
    attempt = harness.stored_attempt(task)
    assert attempt is not None
    assert attempt.end is not None
    assert (attempt.end.reason, attempt.end.grace_s) == (EndReason.USER_KILL, 9.0)
    assert [kill.grace_s for kill in harness.calls_of(Kill)] == [9.0]


def test_a_kill_is_repeated_with_pauses_until_the_end() -> None:
    harness, [task] = running(a_service())
    began = harness.mono
    harness.kill(task)
    at = [harness.mono - began for _ in range(120) if harness.kills(harness.pass_time(1.0))]
    assert at == [10.0, 30.0, 60.0, 90.0, 120.0]
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.kills(harness.pass_time(100.0)) == []


def test_a_second_kill_escalates_and_there_is_still_one_chain_of_repeats() -> None:
    harness, [task] = running(a_service())
    harness.kill(task, grace_s=60.0)
    harness.pass_time(5.0)
    harness.kill(task, grace_s=0.0)
    assert [kill.grace_s for kill in harness.calls_of(Kill)] == [60.0, 0.0]
    repeats = harness.kills(harness.pass_time(110.0))
    assert len(repeats) == 4
    assert harness.calls_of(Kill)[-1].grace_s == 0.0


def test_nothing_is_sent_to_a_task_that_is_unreachable_until_it_returns() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.UNREACHABLE, reason="agent_removed")
    assert harness.kill(task).verdict is Verdict.DONE
    assert harness.kills(harness.pass_time(120.0)) == []
    calls = harness.status(task, TaskState.RUNNING, reason="agent_reregistered")
    assert harness.kills(calls) == [task]
    assert len(harness.kills(harness.pass_time(10.0))) == 1


def test_a_kill_pauses_while_unreachable_and_goes_on_after() -> None:
    harness, [task] = running(a_service())
    harness.kill(task)
    harness.status(task, TaskState.UNREACHABLE)
    assert harness.kills(harness.pass_time(200.0)) == []
    assert harness.kills(harness.status(task, TaskState.RUNNING)) == [task]


def test_a_kill_during_the_launch_ends_it() -> None:
    harness = connected()
    harness.apply(a_service())
    [task] = harness.place()
    harness.kill(task)
    assert harness.kills() == [task]
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16, reason="task_killed_during_launch")
    assert harness.place() == ["web.0.2.u1"]


def test_killing_what_is_not_there_or_has_ended_says_so() -> None:
    harness, [task] = running(a_service())
    assert harness.kill(TaskId("web.7.1.u1")).verdict is Verdict.NOT_FOUND
    harness.status(task, TaskState.FAILED, uuid=b"k" * 16)
    answer = harness.kill(task)
    assert (answer.verdict, answer.detail) == (Verdict.UNCHANGED, "it is failed already")


def test_an_unknown_task_can_be_killed_but_not_without_a_master() -> None:
    harness = connected()
    stranger = TaskId("stranger.0.1.zz")
    harness.handle(a_status(stranger, TaskState.RUNNING, uuid=b"u" * 16))
    assert harness.kill(stranger).verdict is Verdict.DONE
    assert harness.kills() == [stranger]
    harness.disconnect()
    assert harness.kill(stranger).verdict is Verdict.UNAVAILABLE
    assert harness.kills() == [stranger]


def test_stopping_ends_all_tasks_and_applying_again_starts_them() -> None:
    harness, tasks = running(a_service(instances=2))
    assert harness.stop("web").verdict is Verdict.DONE
    assert harness.kills() == tasks
    assert harness.stop("web").verdict is Verdict.UNCHANGED
    for task in tasks:
        harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.place() == []
    answer = harness.apply(a_service(instances=2))
    assert (answer.verdict, answer.detail) == (Verdict.DONE, "started")
    assert harness.place() == ["web.0.2.u1", "web.1.2.u1"]


def test_what_waits_is_not_launched_any_more_after_a_stop() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.stop("web")
    assert harness.place() == []


def test_a_deleted_job_goes_when_its_last_task_has_ended() -> None:
    harness, tasks = running(a_service(instances=2))
    assert harness.delete("web").verdict is Verdict.DONE
    harness.status(tasks[0], TaskState.KILLED, uuid=b"k" * 16)
    assert WEB in harness.stored
    assert harness.apply(a_service()).verdict is Verdict.CONFLICT
    harness.status(tasks[1], TaskState.KILLED, uuid=b"k" * 16)
    assert [key for key in harness.stored if isinstance(key, str | InstanceKey)] == []


def test_the_instances_records_go_when_the_jobs_own_is_surely_gone() -> None:
    harness, [task] = running(a_service())
    harness.delete("web")
    ended = a_status(task, TaskState.KILLED, uuid=b"k" * 16)
    step = harness.engine.handle(harness.now, [ended], harness.budget)
    assert [write.key for write in step.writes if isinstance(write, Remove)] == [WEB]
    [call] = [call for call in step.calls if isinstance(call, Reconcile)]
    step = harness.engine.handle(
        harness.now, [CallEnded(call.call_id, CallOutcome.NOT_SENT)], harness.budget
    )
    assert [write.key for write in step.writes if isinstance(write, Remove)] == [
        InstanceKey(WEB, 0)
    ]


def test_a_job_applied_again_before_its_namesakes_records_are_gone_keeps_its_own() -> None:
    harness, [task] = running(a_service())
    harness.delete("web")
    ended = a_status(task, TaskState.KILLED, uuid=b"k" * 16)
    step = harness.engine.handle(harness.now, [ended], harness.budget)
    [sweep] = [call for call in step.calls if isinstance(call, Reconcile)]
    harness.apply(a_service(), uid="u2")
    [again] = harness.place()
    harness.handle(CallEnded(sweep.call_id, CallOutcome.SENT))
    assert harness.stored_attempt(again) is not None


def test_deleted_and_applied_again_it_makes_other_ids() -> None:
    harness, [task] = running(a_service())
    harness.delete("web")
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    harness.apply(a_service(), uid="u2")
    assert harness.place() == ["web.0.1.u2"]
    # The old task's last word comes again, and is acknowledged as any other.
    assert len(harness.status(task, TaskState.KILLED, uuid=b"k" * 16)) == 1
    assert harness.state_of(TaskId("web.0.1.u2")) == "launching"


def test_a_job_deleted_while_nothing_runs_goes_at_once() -> None:
    harness = connected()
    harness.apply(a_service())
    harness.delete("web")
    assert harness.engine.state.jobs == {}
    assert harness.delete("web").verdict is Verdict.NOT_FOUND


def test_fewer_instances_end_the_last_ones_and_more_never_use_an_id_again() -> None:
    harness, tasks = running(a_service(instances=3))
    assert harness.scale("web", 1).verdict is Verdict.DONE
    assert sorted(harness.kills()) == sorted(tasks[1:])
    for task in tasks[1:]:
        harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    harness.scale("web", 3)
    assert harness.place() == ["web.1.2.u1", "web.2.2.u1"]
    assert harness.scale("web", 3).verdict is Verdict.UNCHANGED


def test_scaling_up_again_while_the_kill_is_under_way_waits_for_the_end() -> None:
    harness, [_, second] = running(a_service(instances=2))
    harness.scale("web", 1)
    harness.scale("web", 2)
    assert harness.place() == []
    harness.status(second, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.place() == ["web.1.2.u1"]


def test_scaling_is_refused_where_it_means_nothing() -> None:
    harness, _ = running(a_service())
    assert harness.scale("nobody", 1).verdict is Verdict.NOT_FOUND
    assert harness.scale("web", -1).verdict is Verdict.INVALID
    assert harness.scale("web", 100_001).verdict is Verdict.INVALID
    harness.stop("web")
    assert harness.scale("web", 2).verdict is Verdict.CONFLICT


def test_scaling_to_nothing_and_back() -> None:
    harness, [task] = running(a_service())
    harness.scale("web", 0)
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.place() == []
    harness.scale("web", 1)
    assert harness.place() == ["web.0.2.u1"]


def test_a_kill_that_was_not_sent_goes_out_on_the_next_stream() -> None:
    harness, [task] = running(a_service())
    harness.kill(task)
    [kill] = harness.calls_of(Kill)
    harness.handle(CallEnded(kill.call_id, CallOutcome.NOT_SENT))
    harness.disconnect()
    assert harness.kills(harness.subscribe()) == []
    calls = harness.status(task, TaskState.RUNNING, reason="reconciliation")
    assert harness.kills(calls) == [task]


def test_one_bad_offer_does_not_bring_an_instance_of_a_stopped_job_to_life() -> None:
    harness = Harness()
    harness.apply(a_service(template=a_template(cpus=500)))
    harness.stop("web")
    harness.subscribe()
    assert harness.launched(harness.offer()) == []
