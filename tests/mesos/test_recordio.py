"""The RecordIO decoder: any split of bytes gives the same records, garbage is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import RecordioError
from scheduler.mesos.recordio import LENGTH_DIGITS_MAX, Decoder, encode

LIMIT = 50


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def decode(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """All records of the pieces, and whether the decoder refused something."""
    decoder = Decoder(record_bytes_max=LIMIT)
    records: list[bytes] = []
    try:
        for piece in [*pieces, b""]:
            records += decoder.feed(piece)
    except RecordioError:
        return records, True
    return records, False


@given(st.lists(st.binary(max_size=LIMIT)), st.lists(st.integers(min_value=0)))
def test_any_split_of_any_records_gives_the_same_records(
    records: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(encode, records))
    assert decode(split(stream, cuts)) == (records, False)


@given(
    st.lists(st.binary(max_size=LIMIT), max_size=5),
    st.one_of(st.binary(), st.text("0123456789\n -+_x").map(str.encode)),
    st.lists(st.integers(min_value=0)),
)
def test_garbage_behind_records_is_refused_or_waits_whatever_the_split(
    records: list[bytes], garbage: bytes, cuts: list[int]
) -> None:
    stream = b"".join(map(encode, records)) + garbage
    whole, refused = decode([stream])
    assert whole[: len(records)] == records
    assert decode(split(stream, cuts)) == (whole, refused)


def test_every_single_byte_may_come_alone() -> None:
    records = [b"", b"\n", b"12\n34", b"x" * LIMIT]
    stream = b"".join(map(encode, records))
    assert decode([bytes([byte]) for byte in stream]) == (records, False)


@pytest.mark.parametrize(
    "line",
    [b"\n", b"-1\n", b"+1\n", b" 1\n", b"1 \n", b"0x1\n", b"1_0\n", b"a", b"\xd9\xa1\n", b"{"],
)
def test_a_length_that_is_no_number_is_refused_at_once(line: bytes) -> None:
    with pytest.raises(RecordioError, match="not RecordIO"):
        Decoder().feed(line)


def test_a_length_line_without_end_is_refused_when_it_is_too_long() -> None:
    decoder = Decoder()
    assert decoder.feed(b"0" * LENGTH_DIGITS_MAX) == []
    with pytest.raises(RecordioError, match="not RecordIO"):
        decoder.feed(b"0")


def test_a_record_of_the_limit_passes_and_one_byte_more_is_refused_before_it_comes() -> None:
    assert Decoder(LIMIT).feed(encode(b"x" * LIMIT)) == [b"x" * LIMIT]
    with pytest.raises(RecordioError, match="51 bytes"):
        Decoder(LIMIT).feed(b"51\n")


def test_records_in_front_of_garbage_are_returned_and_the_next_feed_raises() -> None:
    decoder = Decoder()
    assert decoder.feed(b"2\nokboom") == [b"ok"]
    for more in (b"", b"2\nok"):
        with pytest.raises(RecordioError):
            decoder.feed(more)


def test_a_large_record_in_small_pieces_costs_no_more_than_its_length() -> None:
    # Joining or re-scanning what has come, at each of 100,000 pieces, would not end in time.
    record = bytes(20_000_000)
    stream = encode(record)
    decoder = Decoder()
    records = [r for at in range(0, len(stream), 200) for r in decoder.feed(stream[at : at + 200])]
    assert records == [record]
