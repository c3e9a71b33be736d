"""The heap of what is due."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.deadlines import Deadlines, Due
from scheduler.core.model.ids import JobId


def test_nothing_is_due_when_there_is_nothing() -> None:
    deadlines = Deadlines()
    assert deadlines.next_at is None
    assert list(deadlines.pop_due(1e9, 10)) == []


@given(ats=st.lists(st.floats(0, 100), max_size=30), mono=st.floats(0, 100))
def test_what_is_due_comes_earliest_first_and_the_rest_stays(ats: list[float], mono: float) -> None:
    deadlines = Deadlines()
    for at in ats:
        deadlines.add(at, Due.OFFERS)
    popped = [entry.at for entry in deadlines.pop_due(mono, 1000)]
    assert popped == sorted(at for at in ats if at <= mono)
    assert len(deadlines) == sum(at > mono for at in ats)
    assert deadlines.next_at == min((at for at in ats if at > mono), default=None)


def test_entries_of_one_time_come_in_the_order_they_were_added() -> None:
    deadlines = Deadlines()
    for name in ("b", "a", "c"):
        deadlines.add(5.0, Due.FORGET_JOB, JobId(name))
    assert [entry.key for entry in deadlines.pop_due(5.0, 10)] == ["b", "a", "c"]


def test_no_more_than_the_limit_come_at_once() -> None:
    deadlines = Deadlines()
    for _ in range(5):
        deadlines.add(1.0, Due.OFFERS)
    assert len(list(deadlines.pop_due(2.0, 3))) == 3
    assert len(deadlines) == 2
