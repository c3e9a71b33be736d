"""Where a prefix ends."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.etcd3.ranges import prefix_end

ANY = st.lists(st.sampled_from([0, 1, 0x2F, 0x30, 0xFE, 0xFF]), max_size=5).map(bytes)


@given(prefix=ANY.filter(lambda prefix: bool(prefix.rstrip(b"\xff"))), key=ANY)
def test_what_lies_between_a_prefix_and_its_end_begins_with_it(prefix: bytes, key: bytes) -> None:
    assert (prefix <= key < prefix_end(prefix)) is key.startswith(prefix)


@given(prefix=st.integers(0, 4).map(lambda count: b"\xff" * count))
def test_a_prefix_that_nothing_follows_has_no_end(prefix: bytes) -> None:
    assert prefix_end(prefix) == b"\0"
