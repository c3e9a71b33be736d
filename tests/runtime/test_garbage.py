"""Full collections walk what lives long once only."""

import gc

from scheduler.runtime.garbage import walked_once


class Thing:
    """Something that the collector has to walk."""


def test_what_a_full_collection_left_is_not_walked_again() -> None:
    before = gc.get_freeze_count()
    with walked_once():
        kept = [Thing() for _ in range(1000)]
        gc.collect()
        assert not any(one is kept[0] for one in gc.get_objects())
    assert gc.get_freeze_count() == before
    assert any(one is kept[0] for one in gc.get_objects())


def test_cycles_that_died_frozen_are_found_at_the_end() -> None:
    found: list[str] = []

    class Loop:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            found.append("dead")

    with walked_once():
        loop = Loop()
        gc.collect()
        del loop
        gc.collect()
        assert not found
    gc.collect()
    assert found == ["dead"]
