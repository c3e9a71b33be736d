"""How much steps place beside updates that come one by one, in floods, or not at all."""

import pytest

from scheduler.runtime.pace import WINDOW_S, LoopLimits, Pace

LIMITS = LoopLimits()


def paced(updates_a_second: float, for_s: float) -> tuple[Pace, float]:
    """A pace that has seen so many updates, one after the other, and the time."""
    pace = Pace(LIMITS)
    mono = 100.0
    for _ in range(int(updates_a_second * for_s)):
        mono += 1 / updates_a_second
        pace.count(1, mono, 0)
    return pace, mono


def test_steps_place_much_while_no_update_comes() -> None:
    pace = Pace(LIMITS)
    pace.count(0, 100.0, 0)
    budget = pace.budget(launches_held=0)
    assert (budget.rows, budget.launches) == (LIMITS.rows_a_step, LIMITS.launches_held_max)


def test_steps_place_little_while_updates_come_one_by_one() -> None:
    for updates_a_second in (3, 200, 900):
        pace, _ = paced(updates_a_second, for_s=3.0)
        budget = pace.budget(launches_held=0)
        assert (budget.rows, budget.launches) == (LIMITS.rows_alone, LIMITS.launches_held_max)


def test_steps_place_much_in_a_flood_of_updates() -> None:
    pace, _ = paced(updates_a_second=5_000, for_s=1.0)
    assert pace.budget(launches_held=0).rows == LIMITS.rows_a_step
    pace = Pace(LIMITS)
    pace.count(LIMITS.updates_alone_max + 1, 100.0, 0)
    assert not pace.alone


def test_what_came_is_soon_forgotten() -> None:
    pace, mono = paced(updates_a_second=200, for_s=1.0)
    pace.count(0, mono + WINDOW_S, 0)
    assert pace.alone
    pace.count(0, mono + 2 * WINDOW_S, 0)
    assert not pace.alone
    pace, mono = paced(updates_a_second=200, for_s=1.0)
    pace.count(0, mono + 100.0, 0)
    assert not pace.alone


def test_nothing_is_launched_while_too_much_waits_for_the_store() -> None:
    pace = Pace(LIMITS)
    assert pace.budget(launches_held=LIMITS.launches_held_max - 10).launches == 10
    assert pace.budget(launches_held=LIMITS.launches_held_max + 10).launches == 0


def test_placing_makes_way_for_an_update_but_not_for_long() -> None:
    pace, mono = paced(updates_a_second=200, for_s=1.0)
    pace.placed(mono)
    assert pace.patience_s(1, 0, mono) == pytest.approx(LIMITS.patience_s)
    assert pace.patience_s(1, 0, mono + LIMITS.patience_s + 0.001) == 0.0
    assert pace.patience_s(0, 0, mono) == 0.0


def test_placing_makes_way_for_launches_for_a_shorter_time() -> None:
    pace, mono = paced(updates_a_second=200, for_s=1.0)
    pace.placed(mono)
    assert pace.patience_s(0, 50, mono) == pytest.approx(LIMITS.patience_for_launches_s)
    assert pace.patience_s(1, 50, mono) == pytest.approx(LIMITS.patience_s)
    assert pace.patience_s(0, 50, mono + LIMITS.patience_for_launches_s + 0.001) == 0.0
    assert Pace(LIMITS).patience_s(0, 2_000, mono) == 0.0


def test_an_update_that_comes_alone_has_all_patience_and_others_after_it_have_not() -> None:
    pace, mono = paced(updates_a_second=200, for_s=1.0)
    assert pace.patience_s(1, 0, mono) == pytest.approx(LIMITS.patience_s)
    half_s = LIMITS.patience_s / 2
    pace.count(1, mono + half_s, 1)
    assert pace.patience_s(2, 0, mono + half_s) == pytest.approx(half_s)


def test_placing_makes_no_way_for_floods() -> None:
    pace, mono = paced(updates_a_second=5_000, for_s=1.0)
    pace.placed(mono)
    assert pace.patience_s(500, 0, mono) == 0.0
