"""Where a prefix ends, and how much of it fits into one answer."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.etcd3.client import Client
from scheduler.etcd3.members import ANSWER_BYTES_MAX
from scheduler.etcd3.methods import RANGE
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.ranges import prefix_end
from tests.etcd3.fake_etcd import Context, fake_etcd, header

ANY = st.lists(st.sampled_from([0, 1, 0x2F, 0x30, 0xFE, 0xFF]), max_size=5).map(bytes)


@given(prefix=ANY.filter(lambda prefix: bool(prefix.rstrip(b"\xff"))), key=ANY)
def test_what_lies_between_a_prefix_and_its_end_begins_with_it(prefix: bytes, key: bytes) -> None:
    assert (prefix <= key < prefix_end(prefix)) is key.startswith(prefix)


@given(prefix=st.integers(0, 4).map(lambda count: b"\xff" * count))
def test_a_prefix_that_nothing_follows_has_no_end(prefix: bytes) -> None:
    assert prefix_end(prefix) == b"\0"


async def test_a_page_too_large_for_one_answer_comes_in_smaller_ones() -> None:
    keys = [b"/%02d" % n for n in range(50)]
    value = bytes(ANSWER_BYTES_MAX // 40)

    async def page(request: pb.RangeRequest, _: Context) -> pb.RangeResponse:
        rest = [key for key in keys if key >= request.key]
        return pb.RangeResponse(
            header=header(7),
            kvs=[pb.KeyValue(key=key, value=value) for key in rest[: request.limit]],
            more=len(rest) > request.limit,
        )

    async with fake_etcd() as fake, Client([fake.endpoint]) as client:
        fake.unary[RANGE] = page
        sizes = [len(page.items) async for page in client.get_prefix(b"/", page_size=100)]
    assert sizes == [25, 25]
