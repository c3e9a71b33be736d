"""Revocable cpus: for jobs that take them and for no others, and taken back without blame."""

from collections import Counter

import msgspec

from scheduler.core.events import AgentsListed, TaskState
from scheduler.core.explain import explain
from scheduler.core.model.ids import JobId
from scheduler.core.model.offer import AgentSeen
from scheduler.core.model.resources import Amounts
from tests.builders import a_service, a_template, an_agent, an_offer
from tests.core.harness import connected, running

SPARE = a_template(cpus=0, revocable_cpus=1000)
TOTAL = Amounts(cpus=4000, mem=4_096_000, disk=10_000_000, revocable_cpus=2000)


def test_they_are_for_jobs_that_take_them_and_plain_ones_are_for_all_others() -> None:
    harness = connected()
    harness.apply(a_service("spare", instances=9, template=SPARE))
    harness.apply(a_service("web", instances=9, template=a_template(cpus=1000)))
    launches = harness.launches(harness.offer(an_offer(cpus=3000, revocable_cpus=2000)))
    launches += harness.launches(harness.pass_time(0.5))
    taken = Counter((launch.job, piece.name) for launch in launches for piece in launch.resources)
    assert taken == {
        ("spare", "revocable_cpus"): 2,
        ("spare", "mem"): 2,
        ("web", "cpus"): 3,
        ("web", "mem"): 3,
    }


def test_a_job_that_was_changed_to_take_them_is_replaced() -> None:
    plain = a_service(template=a_template(cpus=1000))
    harness, [task] = running(plain)
    harness.apply(msgspec.structs.replace(plain, template=SPARE))
    harness.pass_time(30.0)
    assert set(harness.kills()) == {task}


def test_where_there_are_too_few_that_is_the_reason() -> None:
    harness = connected()
    harness.apply(a_service("spare", template=a_template(cpus=0, revocable_cpus=3000)))
    harness.handle(AgentsListed((AgentSeen(an_agent(), True, TOTAL, Amounts(), Amounts()),)))
    harness.offer(an_offer(revocable_cpus=2000))
    question = harness.engine.views.question(JobId("spare"))
    assert question is not None
    view = explain(question)
    [reason] = view.reasons
    assert (reason.reason, reason.short, reason.of) == ("revocable_cpus", 1.0, "total")
    assert view.text.endswith(
        "1 agent: 1 is too small in revocable cpus (by 1). "
        "Fits on 1 agent with 1 less revocable cpus."
    )


def test_a_task_whose_cpus_are_taken_back_has_not_failed_and_is_replaced() -> None:
    harness = connected()
    harness.apply(a_service("spare", template=SPARE))
    [task] = harness.launched(harness.offer(an_offer(revocable_cpus=1000)))
    harness.run(task)
    harness.status(task, TaskState.GONE, uuid=b"g" * 16, reason="container_preempted")
    instance = harness.instance("spare")
    assert (instance.failures, instance.ended[0].reason) == (0, "container_preempted")
    harness.pass_time(1.5)
    assert len(harness.launched(harness.offer(an_offer("o2", revocable_cpus=1000)))) == 1
