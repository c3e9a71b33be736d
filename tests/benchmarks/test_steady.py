"""Small rounds of what is measured over time: the work is done, and figures come of it."""

import pytest

from benchmarks import steady
from benchmarks.forgotten import BATCH_TASKS, grown_bytes
from benchmarks.values import Load


def test_memory_is_told_by_task() -> None:
    figures = steady.memory(Load(agents=100, tasks=2_000)).values
    assert figures["RSS with all, MB"] > 0.0


def test_tasks_that_are_forgotten_leave_little() -> None:
    assert grown_bytes(20 * BATCH_TASKS) < 20_000_000


@pytest.mark.slow
def test_updates_are_timed_with_and_without_a_placement() -> None:
    figures = steady.latency(Load(agents=100, tasks=2_000)).values
    assert figures["without placement, p99, ms"] > 0.0
    assert figures["while placing, p99, ms"] > 0.0
