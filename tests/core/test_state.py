"""The durable state in memory: any order of records, one way in."""

import itertools
import random

import pytest

from scheduler.core.model.ids import AgentId, InstanceKey, JobId, TaskId, Uid
from scheduler.core.model.instance import Attempt, AttemptState, Instance, Outcome
from scheduler.core.model.job import JobSpec
from scheduler.core.records import FRAMEWORK, Desired, FrameworkRecord, JobRecord, Record
from scheduler.core.state import State
from tests.builders import a_batch, a_service

WEB = JobId("web")


def a_record(spec: JobSpec, *, uid: str = "u1", **changes: object) -> JobRecord:
    values: dict[str, object] = {
        "spec": spec,
        "uid": Uid(uid),
        "version": 1,
        "template_version": 1,
        "desired": Desired.RUN,
        "created_at": 1.0,
        "changed_at": 1.0,
    }
    return JobRecord(**{**values, **changes})  # type: ignore[arg-type]


def an_instance(
    index: int = 0, state: AttemptState = AttemptState.RUNNING, *, uid: str = "u1", job: JobId = WEB
) -> Instance:
    attempt = Attempt(
        task_id=TaskId(f"{job}.{index}.1.{uid}"),
        number=1,
        version=1,
        state=state,
        agent_id=AgentId("S"),
        hostname="a1",
        since=1.0,
        launched_at=1.0,
    )
    return Instance(
        job=job,
        index=index,
        attempts=1,
        live=(attempt,) if attempt.live else (),
        ended=() if attempt.live else (attempt,),
    )


def test_records_may_come_in_any_order() -> None:
    records: list[Record] = [
        FrameworkRecord("F", True, 1.0),  # type: ignore[arg-type]
        a_record(a_service(instances=2)),
        an_instance(0),
        an_instance(1),
    ]
    for order in itertools.permutations(records):
        state = State()
        for record in order:
            state.apply(record)
        assert state.framework is not None
        assert state.orphans == {}
        assert state.jobs[WEB].live == 2
        assert state.jobs[WEB].state_counts() == {"running": 2}


def test_a_task_is_found_by_its_id_while_it_lives_and_after() -> None:
    state = State()
    state.apply(a_record(a_service(instances=2)))
    state.apply(an_instance(0))
    state.apply(an_instance(1, AttemptState.FAILED))
    for index in (0, 1):
        found = state.find(TaskId(f"web.{index}.1.u1"))
        assert found is not None
        assert found.instance.index == index


@pytest.mark.parametrize(
    "task", ["web.0.1.u2", "web.0.2.u1", "web.7.1.u1", "api.0.1.u1", "web", "web.x.1.u1", ""]
)
def test_an_id_that_is_not_ours_is_not_found(task: str) -> None:
    state = State()
    state.apply(a_record(a_service()))
    state.apply(an_instance(0))
    assert state.find(TaskId(task)) is None


def test_an_instance_without_its_job_is_left_over() -> None:
    state = State()
    state.apply(an_instance(0))
    assert state.take_orphans() == [InstanceKey(WEB, 0)]
    assert state.take_orphans() == []


def test_an_instance_of_a_deleted_job_of_the_same_name_is_left_over() -> None:
    state = State()
    records: list[Record] = [
        a_record(a_service(), uid="u2"),
        an_instance(0, AttemptState.FAILED, uid="u1"),
    ]
    for order in itertools.permutations(records):
        state = State()
        for record in order:
            state.apply(record)
        assert state.jobs[WEB].instances == {}
        assert state.take_orphans() == [InstanceKey(WEB, 0)]


def test_another_job_of_the_same_name_does_not_take_over_instances() -> None:
    state = State()
    state.apply(a_record(a_service(instances=2)))
    state.apply(an_instance(0))
    state.apply(a_record(a_service(instances=2), uid="u2"))
    state.apply(an_instance(1, uid="u2"))
    assert list(state.jobs[WEB].instances) == [1]
    assert state.take_orphans() == [InstanceKey(WEB, 0)]


def test_removing_everything_leaves_nothing() -> None:
    state = State()
    state.apply(FrameworkRecord("F", True, 1.0))  # type: ignore[arg-type]
    state.apply(a_record(a_service()))
    state.apply(an_instance(0))
    state.remove(InstanceKey(WEB, 0))
    assert state.jobs[WEB].live == 0
    state.remove(WEB)
    state.remove(FRAMEWORK)
    assert (state.jobs, state.framework) == ({}, None)


def test_counts_follow_every_record() -> None:
    state = State()
    state.apply(a_record(a_service(instances=5)))
    job = state.jobs[WEB]
    dice = random.Random(5)
    for _ in range(300):
        state.apply(
            an_instance(
                dice.randrange(8),
                dice.choice([AttemptState.RUNNING, AttemptState.FAILED, AttemptState.UNREACHABLE]),
            )
        )
        if dice.random() < 0.1:
            state.apply(a_record(a_service(instances=dice.randrange(9))))
        wanted = [i for i in job.instances.values() if i.index < job.spec.instances]
        shown = [i for i in job.instances.values() if i.live or i in wanted]
        never_attempted = job.spec.instances - len(wanted)
        assert sum(job.state_counts().values()) == len(shown) + never_attempted
        assert job.live == sum(len(i.live) for i in job.instances.values())


def test_those_beyond_the_wanted_number_do_not_hide_those_that_wait() -> None:
    state = State()
    state.apply(a_record(a_service(instances=1)))
    for index in (5, 6):
        state.apply(an_instance(index))
    assert state.jobs[WEB].state_counts() == {"running": 2, "queued": 1}


def test_a_batch_that_is_run_again_forgets_that_it_had_finished() -> None:
    finished = Instance(
        job=JobId("numbers"), index=0, attempts=1, outcome=Outcome.FINISHED, outcome_version=1
    )
    state = State()
    state.apply(a_record(a_batch()))
    state.apply(finished)
    job = state.jobs[JobId("numbers")]
    assert job.ended
    state.apply(a_record(a_batch(), version=2, template_version=2))
    assert job.ended
    state.apply(a_record(a_batch(), version=3, template_version=3, run_version=3))
    assert not job.ended
