"""Revocable cpus: who is offered them, what may be launched on them, and their being taken back."""

import pytest

from scheduler.emulator.model import bundle
from scheduler.emulator.model.bundle import Bundle
from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo, Resource, TaskInfo, TaskStatus
from tests.emulator.model.lab import CAPABILITIES, Lab, ListeningFramework, a_task, scalar

LENDING = Bundle(scalars=(("cpus", 4_000), ("cpus_revocable", 2_000)))
BORROWING = (*CAPABILITIES, FrameworkInfo.Capability.REVOCABLE_RESOURCES)


def offered(framework: ListeningFramework) -> list[list[tuple[str, float, bool]]]:
    return [
        [(one.name, one.scalar.value, one.HasField("revocable")) for one in offer.resources]
        for offer in framework.new_offers()
    ]


def spare(cpus: float) -> Resource:
    resource = scalar("cpus", cpus)
    resource.revocable.SetInParent()
    return resource


def a_spare_task(lab: Lab, *more: Resource) -> TaskInfo:
    task = a_task(lab, "spare")
    del task.resources[:]
    task.resources.extend([spare(1.5), *more])
    return task


def test_only_frameworks_that_take_them_are_offered_them() -> None:
    lab = Lab(totals=(LENDING,))
    plain = lab.framework(("a",))
    assert offered(plain) == [[("cpus", 4.0, False)]]
    able = lab.framework(("b",), capabilities=BORROWING)
    assert offered(able) == [[("cpus", 2.0, True)]]


def test_who_takes_them_is_offered_both_kinds_together() -> None:
    lab = Lab(totals=(LENDING,))
    framework = lab.framework(capabilities=BORROWING)
    assert offered(framework) == [[("cpus", 4.0, False), ("cpus", 2.0, True)]]


def test_a_minimum_counts_both_kinds_together() -> None:
    lab = Lab(totals=(LENDING,))
    framework = lab.framework(suppressed=("web",), capabilities=BORROWING)
    wanted = framework.info.offer_filters["web"].min_allocatable_resources.quantities.add()
    wanted.quantities["cpus"].value = 6.0
    framework.subscribe()
    assert len(framework.new_offers()) == 1
    wanted.quantities["cpus"].value = 6.5
    framework.subscribe()
    assert framework.new_offers() == []


@pytest.mark.parametrize(
    ("more", "states"),
    [
        ([], ["TASK_STARTING"]),
        ([scalar("cpus", 0.5)], ["TASK_ERROR"]),
        ([spare(1.0)], ["TASK_ERROR"]),
        ([scalar("cpus_revocable", 0.5)], ["TASK_ERROR"]),
    ],
    ids=["alone", "with plain ones of the name", "too many", "by their printed name"],
)
def test_what_may_be_launched_on_them(more: list[Resource], states: list[str]) -> None:
    lab = Lab(totals=(LENDING,))
    framework = lab.framework(capabilities=BORROWING)
    framework.launch(a_spare_task(lab, *more))
    assert framework.states() == states


def test_tasks_on_them_are_preempted_and_others_are_not() -> None:
    lab = Lab(totals=(LENDING,))
    framework = lab.framework(capabilities=BORROWING)
    framework.launch(a_spare_task(lab), a_task(lab, "plain"))
    framework.acknowledge_all()
    lab.world.preempt(0)
    lab.run(0.0)
    (status,) = framework.new_statuses()
    assert (status.task_id.value, status.reason) == (
        "spare",
        TaskStatus.REASON_CONTAINER_PREEMPTED,
    )
    framework.acknowledge(status)
    lab.run(30.0)
    assert framework.states() == []
    assert lab.entry().free.scalar("cpus_revocable") in (0, 2_000)
    assert [record.state for record in lab.world.judge.tasks.values()] == [
        "TASK_GONE",
        "TASK_RUNNING",
    ]


def test_the_wire_form_reads_back_as_the_same_amounts() -> None:
    sent = bundle.to_resources(LENDING, "web", refined=True)
    assert bundle.problem(sent) is None
    assert bundle.from_resources(sent) == LENDING
    assert LENDING.lasting() == Bundle(scalars=(("cpus", 4_000),))
