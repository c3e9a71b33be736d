"""Which submits share a transaction, without any file."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.store.group_commit import LAUNCHES_BESIDE, WRITES_MAX, GroupCommit, Transaction


class Scene:
    """`said` are the submits that are done, `stored` what a file would hold."""

    def __init__(self) -> None:
        self.queue = GroupCommit()
        self.said: list[str] = []
        self.stored: dict[str, bytes | None] = {}

    def submit(self, name: str, *paths: str, launches: bool = False) -> None:
        values: dict[str, bytes | None] = {path: name.encode() for path in paths}
        self.queue.add(values, lambda: self.said.append(name), launches=launches)

    def next(self) -> Transaction:
        transaction = self.queue.next()
        assert transaction is not None
        return transaction

    def commit(self) -> list[str]:
        """Gives the paths that it wrote."""
        transaction = self.next()
        self.stored |= transaction.values
        for done in transaction.dones:
            done()
        return list(transaction.values)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def paths(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_what_waits_of_a_class_shares_a_transaction(scene: Scene) -> None:
    scene.submit("one", "a")
    scene.submit("nothing")
    scene.submit("two", "a", "b")
    assert scene.queue.pending == 3
    assert scene.commit() == ["a", "b"]
    assert scene.stored == {"a": b"two", "b": b"two"}
    assert scene.said == ["one", "nothing", "two"]
    assert (scene.queue.next(), scene.queue.pending) == (None, 0)


def test_a_lone_status_leaves_alone_and_the_launches_with_the_next(scene: Scene) -> None:
    assert not scene.queue.only_launches
    scene.submit("launches", *paths("l", 100), launches=True)
    assert scene.queue.only_launches
    scene.submit("status", "s")
    assert not scene.queue.only_launches
    assert scene.commit() == ["s"]
    scene.submit("another", "t")
    assert len(scene.commit()) == 101
    assert scene.said == ["status", "another", "launches"]


def test_launches_go_along_where_much_else_leaves(scene: Scene) -> None:
    for number in range(4):
        scene.submit(f"launches {number}", *paths(f"l{number}.", 500), launches=True)
    scene.submit("statuses", *paths("s", 500))
    assert len(scene.commit()) == 500 + 500 * LAUNCHES_BESIDE
    assert scene.said == ["statuses", "launches 0", "launches 1"]
    assert len(scene.commit()) == 1_000


def test_nothing_is_larger_than_a_transaction_may_be(scene: Scene) -> None:
    for number in range(12):
        scene.submit(str(number), *paths(f"{number}.", 1_000), launches=number % 2 > 0)
    scene.submit("large", *paths("x", 2 * WRITES_MAX + 1))
    sizes = []
    while scene.queue.pending:
        sizes.append(len(scene.commit()))
    assert max(sizes) <= WRITES_MAX
    assert sum(sizes) == 12_000 + 2 * WRITES_MAX + 1
    assert sorted(scene.said) == sorted([*map(str, range(12)), "large"])


def test_a_large_submit_is_done_with_its_last_part(scene: Scene) -> None:
    scene.submit("large", *paths("x", 2 * WRITES_MAX))
    scene.commit()
    assert scene.said == []
    scene.commit()
    assert scene.said == ["large"]


def test_launches_leave_with_what_is_written_over_one_of_them(scene: Scene) -> None:
    scene.submit("launches", "a", "b", launches=True)
    scene.submit("more", "c", launches=True)
    scene.submit("status", "b")
    assert scene.commit() == ["a", "b", "c"]
    assert scene.stored["b"] == b"status"
    assert scene.said == ["launches", "more", "status"]


def test_a_launch_over_a_status_that_waits_is_the_later_value(scene: Scene) -> None:
    scene.submit("status", "a")
    scene.submit("launch", "a", launches=True)
    while scene.queue.pending:
        scene.commit()
    assert scene.stored == {"a": b"launch"}
    assert scene.said == ["status", "launch"]


SUBMITS = st.tuples(st.booleans(), st.lists(st.sampled_from("abcdef"), max_size=4, unique=True))


@given(steps=st.lists(st.none() | SUBMITS, max_size=40))
def test_values_of_a_key_keep_their_order_and_none_is_done_before_it_is_stored(
    steps: Sequence[tuple[bool, list[str]] | None],
) -> None:
    """`None` is a transaction."""
    scene = Scene()
    submitted: list[list[str]] = []
    for step in steps:
        if step is not None:
            launches, keys = step
            scene.submit(str(len(submitted)), *keys, launches=launches)
            submitted.append(keys)
            continue
        before = {path: int(value or 0) for path, value in scene.stored.items()}
        if scene.queue.pending:
            scene.commit()
        for path, value in scene.stored.items():
            assert int(value or 0) >= before.get(path, 0)
        for name in scene.said:
            for path in submitted[int(name)]:
                assert int(scene.stored[path] or 0) >= int(name)
    while (transaction := scene.queue.next()) is not None:
        scene.stored |= transaction.values
        for done in transaction.dones:
            done()
    assert sorted(map(int, scene.said)) == list(range(len(submitted)))
    assert {path: int(value or 0) for path, value in scene.stored.items()} == {
        path: number for number, keys in enumerate(submitted) for path in keys
    }
