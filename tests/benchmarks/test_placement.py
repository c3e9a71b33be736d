"""The placement benchmark measures work that was done, and catches work that was not."""

import pytest
from msgspec import structs

from benchmarks import naive, placement, workload
from benchmarks.children import BenchmarkFailed
from benchmarks.values import Floor, Load
from benchmarks.workload import Agent, Described, Job, Workload
from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.resources import Amounts

SMALL = Described("small", 300, 40, 25, ("first_fit", "best_fit"), {})


def test_a_workload_is_the_same_each_time_and_has_the_agents_and_jobs_described() -> None:
    made = workload.make(SMALL)
    assert made == workload.make(SMALL)
    assert len(made.agents) == 300
    assert [job.tasks for job in made.jobs] == [25] * 40
    kinds = [job.constraint and job.constraint.operator for job in made.jobs]
    assert kinds[:4] == [None, Operator.UNIQUE, None, Operator.IS]


def test_no_two_jobs_of_a_distinct_workload_ask_for_the_same() -> None:
    made = workload.make(structs.replace(SMALL, distinct=True))
    assert len({job.amounts for job in made.jobs}) == 40


@pytest.mark.parametrize(("name", "described"), workload.described().items())
def test_the_floors_of_a_workload_name_figures_that_a_round_gives(
    name: str, described: Described
) -> None:
    little = structs.replace(described, tasks_a_job=1)
    figures = placement.run(little, Load(agents=20, tasks=8))
    assert described.floors.keys() <= figures.values.keys(), name
    assert described.floors


def test_first_fit_fills_agents_in_order_and_leaves_out_what_fits_nowhere() -> None:
    made = Workload(
        [Agent("a", 2_000, 1_000, {}), Agent("b", 2_000, 1_000, {})],
        [Job("one", 5, Amounts(1_000, 10), None)],
    )
    assert naive.first_fit(made) == [("one", "a"), ("one", "a"), ("one", "b"), ("one", "b")]


def test_best_fit_takes_the_agent_with_the_least_left() -> None:
    made = Workload(
        [Agent("a", 4_000, 1_000, {}), Agent("b", 2_000, 1_000, {}), Agent("c", 3_000, 1_000, {})],
        [Job("one", 4, Amounts(1_000, 10), None), Job("two", 1, Amounts(2_000, 10), None)],
    )
    assert naive.best_fit(made) == [
        ("one", "b"),
        ("one", "b"),
        ("one", "c"),
        ("one", "c"),
        ("two", "a"),
    ]


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


def test_a_small_round_places_everything_on_as_many_hosts_as_best_fit() -> None:
    figures = placement.run(SMALL, Load(agents=300, tasks=1_000)).values
    assert figures["placed, share of the tasks"] == 1.0
    assert figures["hosts used, in order of arrival, against best fit"] <= 1.02


def test_a_full_cluster_holds_as_many_tasks_as_by_first_fit() -> None:
    figures = placement.run(workload.described()["placement-full"], Load(agents=100, tasks=1_000))
    assert figures.values["placed, share of the tasks"] < 1.0
    assert figures.values["placed, against first fit"] >= 1.0


@pytest.mark.parametrize(
    ("floor", "value", "holds"),
    [
        (Floor(at_least=12, aim=20), 12.0, True),
        (Floor(at_least=12), 11.9, False),
        (Floor(at_most=2), 2.0, True),
        (Floor(at_most=2), 2.1, False),
    ],
)
def test_a_floor_holds_from_its_number_on(floor: Floor, value: float, holds: bool) -> None:
    assert floor.holds(value) is holds
