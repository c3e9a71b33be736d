"""What a backup's records become: nothing starts, nothing ends, no task id is used again."""

import itertools
from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.ids import InstanceKey, JobId, Uid, parse_task_id
from scheduler.core.model.instance import Instance, Outcome
from scheduler.core.model.job import Kind
from scheduler.core.records import Desired, JobRecord, Record, key_of
from scheduler.core.restored import Restored, restored
from scheduler.core.state import State
from tests.store import samples

WALL = 5000.0
BATCH = JobId("sum")


def restore(
    records: Iterable[Record], *, run: bool = False, new_framework: bool = False
) -> Restored:
    uids = (Uid(f"new{number}") for number in itertools.count())
    return restored(records, uids, run=run, new_framework=new_framework, wall=WALL)


def jobs_of(made: Restored) -> dict[JobId, JobRecord]:
    return {record.spec.job: record for record in made.records if isinstance(record, JobRecord)}


def instances_of(made: Restored) -> dict[InstanceKey, Instance]:
    return {record.key: record for record in made.records if isinstance(record, Instance)}


def a_batch(*outcomes: Outcome | None) -> list[Record]:
    """An ended batch, if every instance has an outcome."""
    record = samples.job(BATCH)
    spec = msgspec.structs.replace(record.spec, kind=Kind.BATCH, instances=len(outcomes))
    record = msgspec.structs.replace(record, spec=spec, ended_at=1002.0)
    instances = [
        msgspec.structs.replace(
            samples.instance(index, name=BATCH),
            outcome=outcome,
            outcome_version=1,
            live=() if outcome else samples.instance(index, name=BATCH).live,
            failures=2,
        )
        for index, outcome in enumerate(outcomes)
    ]
    return [record, *instances]


def test_a_service_is_restored_stopped_and_without_its_tasks() -> None:
    made = restore([samples.framework(), samples.job(), samples.instance(0), samples.instance(1)])
    job = jobs_of(made)[samples.WEB]
    before = samples.job()
    assert job == msgspec.structs.replace(
        before, uid=Uid("new0"), desired=Desired.STOP, changed_at=WALL
    )
    assert instances_of(made) == {}
    assert made.records[0] == samples.framework()
    assert (made.jobs, made.tasks_before, made.deleting) == (1, 2, 0)


def test_jobs_go_on_at_once_where_that_is_wanted() -> None:
    stopped = msgspec.structs.replace(samples.job(JobId("old")), desired=Desired.STOP)
    jobs = jobs_of(restore([samples.job(), stopped], run=True))
    assert jobs[samples.WEB].desired is Desired.RUN
    assert jobs[JobId("old")].desired is Desired.STOP


def test_what_a_batch_has_finished_is_not_run_again() -> None:
    made = restore(a_batch(Outcome.FINISHED, Outcome.FAILED))
    assert jobs_of(made)[BATCH].desired is Desired.RUN
    assert jobs_of(made)[BATCH].ended_at == 1002.0
    outcomes = [instance.outcome for instance in instances_of(made).values()]
    assert outcomes == [Outcome.FINISHED, Outcome.FAILED]
    assert all(not (one.live or one.ended or one.failures) for one in instances_of(made).values())


def test_a_batch_that_was_not_through_is_stopped_and_keeps_what_it_has() -> None:
    made = restore(a_batch(Outcome.FINISHED, None))
    assert jobs_of(made)[BATCH].desired is Desired.STOP
    assert jobs_of(made)[BATCH].ended_at is None
    assert list(instances_of(made)) == [InstanceKey(BATCH, 0)]
    assert made.tasks_before == 1


def test_a_job_that_was_being_deleted_is_gone() -> None:
    going = msgspec.structs.replace(samples.job(), desired=Desired.DELETE)
    made = restore([going, samples.instance(0)])
    assert (made.records, made.jobs, made.deleting, made.tasks_before) == ((), 0, 1, 1)


def test_the_framework_may_be_left_behind() -> None:
    made = restore([samples.framework(), samples.job()], new_framework=True)
    assert [type(record) for record in made.records] == [JobRecord]


@given(
    st.lists(samples.records, max_size=12, unique_by=lambda record: str(key_of(record))),
    st.booleans(),
)
def test_no_restored_record_knows_a_task_or_a_uid_of_before(
    records: list[Record], run: bool
) -> None:
    made = restore(records, run=run)
    uids = [job.uid for job in jobs_of(made).values()]
    assert all(uid.startswith("new") for uid in uids)
    assert len(set(uids)) == len(uids)
    state = State()
    for record in made.records:
        state.apply(record)
    assert not state.take_orphans()
    for record in records:
        if isinstance(record, Instance):
            for attempt in (*record.live, *record.ended):
                assert parse_task_id(attempt.task_id) is None or not state.find(attempt.task_id)
    if not run:
        jobs = state.jobs.values()
        assert all(job.record.desired is Desired.STOP or job.ended for job in jobs)
