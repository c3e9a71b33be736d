"""The placement benchmark measures work that was done, and catches work that was not."""

import pytest

from benchmarks import naive, placement, workload
from benchmarks.children import BenchmarkFailed
from benchmarks.values import Load
from benchmarks.workload import Agent, Job, Workload
from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.resources import Amounts


def test_a_workload_is_the_same_each_time_and_has_as_many_tasks_as_asked_for() -> None:
    made = workload.make(20, 250)
    assert made == workload.make(20, 250)
    assert len(made.agents) == 20
    assert [job.tasks for job in made.jobs] == [100, 100, 50]


def test_first_fit_fills_agents_in_order_and_leaves_out_what_fits_nowhere() -> None:
    made = Workload(
        [Agent("a", 2_000, 1_000, {}), Agent("b", 2_000, 1_000, {})],
        [Job("one", 5, Amounts(1_000, 10), None)],
    )
    assert naive.first_fit(made) == [("one", "a"), ("one", "a"), ("one", "b"), ("one", "b")]


def test_first_fit_heeds_constraints() -> None:
    made = Workload(
        [Agent("a", 9_000, 1_000, {"disk": "hdd"}), Agent("b", 9_000, 1_000, {"disk": "ssd"})],
        [
            Job("spread", 3, Amounts(100, 10), Constraint("hostname", Operator.UNIQUE)),
            Job("fast", 2, Amounts(100, 10), Constraint("disk", Operator.IS, "ssd")),
        ],
    )
    placed = naive.first_fit(made)
    assert placed == [("spread", "a"), ("spread", "b"), ("fast", "b"), ("fast", "b")]
    placement.check(made, placed)


@pytest.mark.parametrize(
    "placed",
    [
        [("spread", "a"), ("spread", "a")],
        [("fast", "a")],
        [("large", "a"), ("large", "a")],
    ],
    ids=["twice on a host", "not the disk", "more than there is"],
)
def test_what_may_not_be_is_found(placed: list[tuple[str, str]]) -> None:
    made = Workload(
        [Agent("a", 1_000, 1_000, {"disk": "hdd"})],
        [
            Job("spread", 2, Amounts(100, 10), Constraint("hostname", Operator.UNIQUE)),
            Job("fast", 1, Amounts(100, 10), Constraint("disk", Operator.IS, "ssd")),
            Job("large", 2, Amounts(600, 10), None),
        ],
    )
    with pytest.raises(BenchmarkFailed):
        placement.check(made, placed)


def test_a_small_round_places_everything() -> None:
    figures = placement.run(Load(agents=300, tasks=1_000))
    assert figures.values["placed, share of the tasks"] == 1.0
