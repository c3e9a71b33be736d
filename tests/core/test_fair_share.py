"""Whose turn it is, by priority and by what owners have."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.events import AgentsListed, TaskState
from scheduler.core.fair_share import TURN_INSTANCES, Turns, owner_of
from scheduler.core.model.ids import JobId
from scheduler.core.model.offer import AgentSeen
from scheduler.core.model.resources import Amounts
from scheduler.core.queue import Waiting
from tests.builders import ROLE, a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected


def waiting(job: str, order: int, priority: int = 50) -> Waiting:
    return Waiting(JobId(job), ROLE, priority, order)


def turns_of(groups: list[Waiting], shares: dict[str, float]) -> list[str]:
    """Each group has one turn."""
    turns = Turns(groups, lambda owner: shares.get(owner, 0.0))
    taken: list[str] = []
    while (group := turns.next()) is not None:
        taken.append(group.job)
        turns.over(again=False)
    return taken


@pytest.mark.parametrize(("job", "owner"), [("web", ""), ("team/web", "team"), ("a/b/c", "a")])
def test_the_owner_is_the_first_part_of_the_name(job: str, owner: str) -> None:
    assert owner_of(JobId(job)) == owner


def test_priority_goes_before_shares_and_shares_before_arrival() -> None:
    groups = [waiting("a/1", 1), waiting("b/1", 2), waiting("b/2", 3), waiting("a/9", 4, 90)]
    assert turns_of(groups, {"a": 0.5, "b": 0.1}) == ["a/9", "b/1", "b/2", "a/1"]
    assert turns_of(groups, {}) == ["a/9", "a/1", "b/1", "b/2"]


def test_owners_whose_shares_grow_take_turns() -> None:
    shares = Counter({"a": 0, "b": 2})
    groups = [waiting("a/1", 1), waiting("b/1", 2)]
    turns = Turns(groups, lambda owner: float(shares[owner]))
    taken = []
    for _ in range(7):
        group = turns.next()
        assert group is not None
        assert turns.instances_max == TURN_INSTANCES
        taken.append(group.job)
        shares[owner_of(group.job)] += 1
        turns.over(again=True)
    assert taken == ["a/1", "a/1", "a/1", "b/1", "a/1", "b/1", "a/1"]


def test_whoever_is_alone_takes_all_at_once() -> None:
    turns = Turns([waiting("a/1", 1), waiting("a/2", 2), waiting("b/1", 3, 10)], lambda _: 0.0)
    assert turns.next() is not None
    assert turns.instances_max > TURN_INSTANCES


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(1, 3)), max_size=12),
    st.dictionaries(st.sampled_from("abc"), st.floats(0.0, 1.0)),
)
def test_everybody_has_all_turns_and_none_before_a_higher_priority(
    made: list[tuple[str, int, int]], shares: dict[str, float]
) -> None:
    groups = [waiting(f"{o}/{at}", at, p) for at, (o, p, _) in enumerate(made)]
    left = {group.job: made[at][2] for at, group in enumerate(groups)}
    turns = Turns(groups, lambda owner: shares.get(owner, 0.0))
    priorities = []
    while (group := turns.next()) is not None:
        priorities.append(group.priority)
        left[group.job] -= 1
        turns.over(again=left[group.job] > 0)
    assert all(count == 0 for count in left.values())
    assert priorities == sorted(priorities, reverse=True)


# --- in the engine -------------------------------------------------------------------------------


def running_of(harness: Harness, owner: str) -> int:
    jobs = harness.engine.state.jobs.values()
    return sum(job.live for job in jobs if owner_of(job.id) == owner)


def test_two_owners_share_what_is_too_little_for_both() -> None:
    harness = connected()
    small = a_template(cpus=100, mem=1000)
    harness.apply(a_service("greedy/a", instances=400, template=small))
    harness.apply(a_service("greedy/b", instances=400, template=small))
    harness.apply(a_service("modest/a", instances=400, template=small))
    harness.offer(an_offer("o1", cpus=20_000))
    harness.pass_time(0.3)  # many wait: offers are gathered
    assert running_of(harness, "greedy") + running_of(harness, "modest") == 200
    assert abs(running_of(harness, "greedy") - running_of(harness, "modest")) <= TURN_INSTANCES


def test_the_dominant_resource_counts() -> None:
    harness = connected()
    total = Amounts(cpus=10_000, mem=100_000_000, disk=0, gpus=0)
    seen = AgentSeen(an_agent(), True, total, Amounts(), Amounts())
    harness.handle(AgentsListed((seen,)))
    harness.apply(a_service("cpu/a", instances=2, template=a_template(cpus=2000, mem=1000)))
    harness.apply(a_service("mem/a", instances=2, template=a_template(cpus=10, mem=10_000_000)))
    harness.offer(an_offer("o1", cpus=4000, mem=4_000_000))
    shares = {view.owner: view.share for view in harness.engine.views.queue("", 10).items}
    assert running_of(harness, "cpu") == 2
    assert shares["mem"] == 0.0
    harness.scale("cpu/a", 3)
    shares = {view.owner: view.share for view in harness.engine.views.queue("", 10).items}
    assert shares["cpu"] == 0.4


def test_what_has_ended_counts_no_more() -> None:
    harness = connected()
    harness.apply(a_service("a/x", instances=2))
    [first, _] = harness.launched(harness.offer(an_offer("o1", cpus=2000)))
    harness.scale("a/x", 3)
    [view] = harness.engine.views.queue("", 10).items
    before = view.share
    harness.status(first, TaskState.FAILED, uuid=b"f" * 16)
    [view] = harness.engine.views.queue("", 10).items
    assert 0.0 < view.share < before
    harness.delete("a/x")
    harness.apply(a_service("a/y", template=a_template(cpus=9000)))
    [view] = [v for v in harness.engine.views.queue("", 10).items if v.job == "a/y"]
    assert view.share > 0.0


def test_the_next_leader_counts_what_already_runs() -> None:
    harness = connected()
    harness.apply(a_service("a/x", instances=3))
    harness.launched(harness.offer(an_offer("o1", cpus=2000)))
    [view] = harness.engine.views.queue("", 10).items
    [after] = harness.restart().engine.views.queue("", 10).items
    assert after.share == view.share > 0.0
