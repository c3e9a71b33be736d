"""Small rounds of offers that arrive, of pauses and of a start: the work is done and timed."""

import pytest

from benchmarks import arrivals, pauses, startup
from benchmarks.values import Load


def test_a_burst_of_offers_is_timed_to_its_first_and_last_accept() -> None:
    figures = arrivals.burst(Load(agents=50, tasks=500)).values
    assert 0.0 < figures["to the first ACCEPT, ms"] <= figures["to the last ACCEPT, ms"]
    assert figures["slowest answer of the API meanwhile, ms"] > 0.0


@pytest.mark.slow
def test_offers_that_come_one_by_one_are_timed_each() -> None:
    figures = arrivals.drip(Load(agents=20, tasks=20)).values
    assert 0.0 < figures["20 waiting, p50, ms"] <= figures["20 waiting, p99, ms"]


def test_the_garbage_collectors_pauses_are_told_by_the_daemon_itself() -> None:
    figures = pauses.pauses(Load(agents=10, tasks=500)).values
    assert figures["longest pause, ms"] > 0.0


def test_a_start_is_timed_with_nothing_and_with_tasks() -> None:
    figures = startup.startup(Load(agents=10, tasks=200)).values
    with_tasks = "with 200 tasks: to subscribed, ms"
    assert figures["with 200 tasks: to an answer, ms"] <= figures[with_tasks]
    assert figures["with nothing: to an answer, ms"] > 0.0
