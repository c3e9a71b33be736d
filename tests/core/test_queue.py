"""What waits: active or in back-off, by job, in order."""

import numpy as np

from scheduler.core.model.ids import InstanceKey, JobId, Role
from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.group import Group
from scheduler.core.placement.rows import Rows
from scheduler.core.queue import Queue
from tests.builders import ROLE, an_agent, an_offer


def key(job: str, index: int = 0) -> InstanceKey:
    return InstanceKey(JobId(job), index)


def names(queue: Queue, role: Role = ROLE) -> list[str]:
    return [group.job for group in queue.awake(role)]


def test_priority_goes_before_arrival() -> None:
    queue = Queue()
    queue.add(key("late"), ROLE, 50)
    queue.add(key("later"), ROLE, 50)
    queue.add(key("urgent"), ROLE, 90)
    assert names(queue) == ["urgent", "late", "later"]


def test_among_equals_those_that_need_certain_agents_go_first() -> None:
    queue = Queue()
    queue.add(key("anywhere"), ROLE, 50)
    queue.add(key("on-rack-1"), ROLE, 50, choosy=True)
    queue.add(key("urgent"), ROLE, 90)
    assert names(queue) == ["urgent", "on-rack-1", "anywhere"]


def test_roles_do_not_see_each_other() -> None:
    queue = Queue()
    queue.add(key("web"), ROLE, 50)
    assert queue.has_active(ROLE)
    assert not queue.has_active(Role("other"))
    assert names(queue, Role("other")) == []


def test_what_backs_off_is_not_active_until_its_time() -> None:
    queue = Queue()
    queue.add(key("web"), ROLE, 50, due=30.0)
    assert not queue.has_active(ROLE)
    assert queue.next_due(ROLE) == 30.0
    assert not queue.wake(key("web"), 29.9)
    assert queue.woken == {}
    assert queue.wake(key("web"), 30.0)
    assert queue.woken == {JobId("web"): ROLE}
    assert names(queue) == ["web"]
    assert not queue.wake(key("web"), 31.0)


def test_one_more_of_what_waits_already_needs_no_other_offers() -> None:
    queue = Queue()
    for job, choosy in (("web", False), ("picky", True)):
        queue.add(InstanceKey(JobId(job), 0), ROLE, 50, choosy=choosy)
    queue.woken.clear()
    for job, choosy in (("web", False), ("picky", True)):
        queue.add(InstanceKey(JobId(job), 1), ROLE, 50, choosy=choosy)
    assert queue.woken == {JobId("picky"): ROLE}


def test_adding_twice_is_adding_once() -> None:
    queue = Queue()
    assert queue.add(key("web"), ROLE, 50)
    assert not queue.add(key("web"), ROLE, 50)
    assert len(queue) == 1
    assert queue.add(key("web"), ROLE, 50, due=9.0)
    assert not queue.add(key("web"), ROLE, 50, due=9.0)
    assert queue.add(key("web"), ROLE, 50, due=8.0)
    assert len(queue) == 1


def test_discarding_the_last_one_forgets_the_group() -> None:
    queue = Queue()
    queue.add(key("web", 0), ROLE, 50)
    queue.add(key("web", 1), ROLE, 50, due=5.0)
    queue.discard(key("web", 0))
    assert queue.group(JobId("web")) is not None
    queue.discard(key("web", 1))
    assert queue.group(JobId("web")) is None
    queue.discard(key("web", 1))
    queue.add(key("web", 2), ROLE, 50)
    queue.discard_job(JobId("web"))
    assert list(queue) == []


def test_a_changed_priority_counts_from_the_next_add() -> None:
    queue = Queue()
    queue.add(key("a"), ROLE, 50)
    queue.add(key("b", 0), ROLE, 50)
    queue.add(key("b", 1), ROLE, 60)
    assert names(queue) == ["b", "a"]


def test_of_twenty_thousand_parked_only_those_wake_that_a_row_may_hold() -> None:
    queue = Queue()
    for number in range(20_000):
        queue.add(key(f"job-{number}"), ROLE, 50)
    rack = Constraint("rack", Operator.IS, "r1")
    for number, group in enumerate(queue.awake(ROLE)):
        constraints = (rack,) if number % 2 else ()
        queue.park(group, Group(ROLE, Amounts(5000 + number), (), constraints), 1.0)
    rows = Rows()
    for number in range(50):
        rows.add(an_offer(f"o{number}", an_agent(f"a{number}", rack="r2"), cpus=5004 - number))
    queue.stir_helped(ROLE, rows, np.array(rows.by_role(ROLE), np.int64))
    assert names(queue) == ["job-0", "job-2", "job-4"]


def test_the_sweep_wakes_those_parked_for_long() -> None:
    queue = Queue()
    for number in range(3):
        queue.add(key(f"job-{number}"), ROLE, 50)
    for at, group in enumerate(queue.awake(ROLE)):
        queue.park(group, Group(ROLE, Amounts(1000)), float(at))
    assert (names(queue), queue.parked_since()) == ([], 0.0)
    queue.sweep(parked_before=1.0)
    assert (names(queue), queue.parked_since()) == (["job-0", "job-1"], 2.0)
    queue.stir(JobId("job-2"))
    assert queue.parked_since() is None
