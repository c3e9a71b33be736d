"""Commit lanes, without any etcd."""

from collections.abc import Callable

import pytest

from scheduler.errors import TermEnded
from scheduler.store.lanes import (
    BYTES_MAX,
    LANES,
    LAUNCHES_MIN,
    ROW_BYTES,
    ROWS_MAX,
    Found,
    Lanes,
    Transaction,
    lane_of,
)

TERM = 7


def keys_in(lane: int, count: int) -> list[bytes]:
    every = (f"tasks/web/{number}".encode() for number in range(100_000))
    found: list[bytes] = []
    for key in every:
        if len(found) == count:
            break
        if lane_of(key) == lane:
            found.append(key)
    return found


class Scene:
    """Lanes of one term, and what they released."""

    def __init__(self) -> None:
        self.lanes = Lanes(TERM, [0] * LANES, "me")
        self.said: list[str] = []

    def submit(self, name: str, *rows: tuple[bytes, bytes | None], launch: bool = False) -> None:
        self.lanes.submit(rows, self.saying(name), launches=launch)

    def saying(self, name: str) -> Callable[[], None]:
        return lambda: self.said.append(name)

    def next(self, lane: int) -> Transaction:
        transaction = self.lanes.next(lane)
        assert transaction is not None
        return transaction

    def commit(self, lane: int, revision: int) -> list[str]:
        self.lanes.committed(lane, revision)
        return self.release()

    def release(self) -> list[str]:
        for done in self.lanes.released():
            done()
        return self.said


@pytest.fixture
def scene() -> Scene:
    return Scene()


A, B, C, D = keys_in(0, 4)
OTHER = keys_in(1, 1)[0]


def test_a_lane_has_one_transaction_in_flight(scene: Scene) -> None:
    scene.submit("first", (A, b"1"))
    assert scene.next(0).rows == [(A, b"1")]
    scene.submit("second", (B, b"2"))
    assert scene.lanes.next(0) is None
    scene.submit("elsewhere", (OTHER, b"3"))
    assert scene.next(1).rows == [(OTHER, b"3")]
    scene.commit(0, 10)
    assert scene.next(0).rows == [(B, b"2")]


def test_each_transaction_expects_the_revision_of_the_last_one_and_has_its_own_mark(
    scene: Scene,
) -> None:
    marks: list[bytes] = []
    for number, revision in enumerate((20, 31, 47)):
        scene.submit(str(number), (A, b"x"))
        transaction = scene.next(0)
        assert transaction.expects == (0, 20, 31)[number]
        marks.append(transaction.mark)
        scene.commit(0, revision)
    assert len(set(marks)) == 3
    assert Lanes(TERM, [5, 6, 7, 8]).next(0) is None


def test_a_later_value_replaces_one_that_has_not_left_and_finishes_both(scene: Scene) -> None:
    scene.submit("first", (A, b"1"))
    scene.submit("second", (A, b"2"), (B, b"b"))
    scene.submit("third", (A, None))
    assert scene.next(0).rows == [(A, None), (B, b"b")]
    assert sorted(scene.commit(0, 10)) == ["first", "second", "third"]


def test_a_value_in_flight_is_not_touched_by_a_later_one(scene: Scene) -> None:
    scene.submit("first", (A, b"1"))
    transaction = scene.next(0)
    scene.submit("second", (A, b"2"))
    assert transaction.rows == [(A, b"1")]
    assert scene.commit(0, 10) == ["first"]
    assert scene.next(0).rows == [(A, b"2")]
    assert scene.commit(0, 11) == ["first", "second"]


def test_a_submit_is_released_when_all_its_lanes_are_done_whatever_became_of_earlier_ones(
    scene: Scene,
) -> None:
    scene.submit("both", (A, b"1"), (OTHER, b"2"))
    scene.submit("one", (A, b"3"))
    scene.next(0)
    scene.next(1)
    assert scene.commit(0, 10) == ["one"]
    assert scene.commit(1, 11) == ["one", "both"]


def test_a_status_is_released_before_launches_that_wait(scene: Scene) -> None:
    launches = keys_in(0, 200)
    scene.submit("launches", *((key, b"l") for key in launches), launch=True)
    scene.submit("status", (keys_in(0, 201)[-1], b"s"))
    scene.next(0)
    assert scene.commit(0, 10) == ["status"]


def test_a_submit_of_nothing_is_released_at_once(scene: Scene) -> None:
    scene.submit("nothing")
    assert scene.release() == ["nothing"]


def test_a_transaction_stays_within_etcds_operations_and_keeps_the_order(scene: Scene) -> None:
    keys = keys_in(0, 300)
    scene.submit("many", *((key, b"x") for key in keys))
    sent: list[bytes] = []
    for revision in (10, 11, 12):
        rows = scene.next(0).rows
        assert len(rows) <= ROWS_MAX
        sent += [key for key, _ in rows]
        scene.commit(0, revision)
    assert sent == keys
    assert scene.said == ["many"]
    assert scene.lanes.pending == 0


def test_a_transaction_stays_within_etcds_bytes(scene: Scene) -> None:
    scene.submit("large", *((key, bytes(400_000)) for key in (A, B, C)))
    assert [key for key, _ in scene.next(0).rows] == [A, B]
    scene.commit(0, 10)
    assert [key for key, _ in scene.next(0).rows] == [C]


def test_launches_leave_after_the_rest_but_some_each_time(scene: Scene) -> None:
    keys = keys_in(0, 400)
    launches, rest = keys[:200], keys[200:]
    scene.submit("launches", *((key, b"l") for key in launches), launch=True)
    scene.submit("rest", *((key, b"r") for key in rest))
    values = [value for _, value in scene.next(0).rows]
    assert values.count(b"l") == LAUNCHES_MIN
    assert values.count(b"r") == ROWS_MAX - LAUNCHES_MIN
    scene.commit(0, 10)
    scene.next(0)
    scene.commit(0, 11)
    assert scene.said == []
    values = [value for _, value in scene.next(0).rows]
    assert values.count(b"r") == len(rest) - 2 * (ROWS_MAX - LAUNCHES_MIN)
    assert len(values) == ROWS_MAX


def test_a_status_of_what_waits_as_a_launch_makes_it_leave_first(scene: Scene) -> None:
    launches = keys_in(0, 200)
    scene.submit("launches", *((key, b"l") for key in launches), launch=True)
    scene.submit("status", (launches[-1], b"s"))
    scene.submit("again", (launches[-1], b"t"), launch=True)
    assert (launches[-1], b"t") in scene.next(0).rows


def test_a_failed_compare_with_our_mark_means_that_an_earlier_copy_was_committed(
    scene: Scene,
) -> None:
    scene.submit("first", (A, b"1"))
    transaction = scene.next(0)
    scene.lanes.compare_failed(0, Found(TERM, transaction.mark, 33))
    assert scene.release() == ["first"]
    scene.submit("second", (A, b"2"))
    assert scene.next(0).expects == 33


@pytest.mark.parametrize("leader", [0, TERM + 1])
def test_a_failed_compare_of_the_leader_ends_the_term_whatever_the_mark(
    scene: Scene, leader: int
) -> None:
    scene.submit("first", (A, b"1"), (OTHER, b"2"))
    scene.submit("nothing")
    transaction = scene.next(0)
    scene.next(1)
    with pytest.raises(TermEnded):
        scene.lanes.compare_failed(0, Found(leader, transaction.mark, 33))
    assert scene.commit(1, 34) == []
    assert all(scene.lanes.next(lane) is None for lane in range(LANES))


def test_a_mark_that_is_not_ours_ends_the_term(scene: Scene) -> None:
    scene.submit("first", (A, b"1"))
    stranger = Lanes(TERM, [0] * LANES, "other")
    stranger.submit([(A, b"1")], lambda: None)
    theirs = stranger.next(0)
    assert theirs is not None
    scene.next(0)
    with pytest.raises(TermEnded, match="another process"):
        scene.lanes.compare_failed(0, Found(TERM, theirs.mark, 33))


def test_what_is_too_large_waits_aside_until_it_is_written_anew(scene: Scene) -> None:
    scene.submit("small", (A, b"0"))
    scene.submit("huge", (A, bytes(BYTES_MAX)), (B, b"b"))
    scene.submit("later", (C, b"c"))
    assert scene.lanes.too_large == (A, BYTES_MAX + len(A) + ROW_BYTES)
    assert [key for key, _ in scene.next(0).rows] == [B, C]
    assert scene.commit(0, 10) == ["later"]
    assert scene.lanes.pending == 1
    scene.submit("mended", (A, b"1"))
    assert scene.lanes.too_large is None
    assert scene.next(0).rows == [(A, b"1")]
    assert sorted(scene.commit(0, 11)) == ["huge", "later", "mended", "small"]


def test_what_is_too_large_may_be_removed_and_may_stay_too_large(scene: Scene) -> None:
    scene.submit("huge", (A, bytes(BYTES_MAX)))
    scene.submit("still", (A, bytes(BYTES_MAX + 1)))
    scene.submit("large", (B, bytes(BYTES_MAX // 2)))
    scene.submit("gone", (A, None))
    assert scene.next(0).rows == [(B, bytes(BYTES_MAX // 2)), (A, None)]
    assert sorted(scene.commit(0, 10)) == ["gone", "huge", "large", "still"]


def test_lanes_are_used_alike() -> None:
    keys = [f"tasks/team.web/{number}".encode() for number in range(10_000)]
    counts = [sum(lane_of(key) == lane for key in keys) for lane in range(LANES)]
    assert min(counts) > 2_000
