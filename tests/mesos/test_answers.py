"""The reader of pipelined answers: pure bytes in, answers out, with limits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.mesos.answers import ANSWER_BYTES_MAX, TEXT_BYTES_MAX, Answer, AnswerReader

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 17\r\n\r\n401 Unauthorized."
CHUNKED = (
    b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n4;x=y\r\n one\r\n0\r\n\r\n"
)
INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n" + ACCEPTED
ANSWERS = {
    ACCEPTED: Answer(202, ""),
    REFUSED: Answer(401, "401 Unauthorized."),
    CHUNKED: Answer(400, "bad one"),
    INTERIM: Answer(202, ""),
}


@given(st.lists(st.sampled_from(list(ANSWERS))), st.lists(st.integers(min_value=0)))
def test_any_split_of_any_answers_gives_the_same_answers(raw: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(raw)
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    reader = AnswerReader()
    answers = [answer for a, b in pairwise(borders) for answer in reader.feed(stream[a:b])]
    assert answers == [ANSWERS[answer] for answer in raw]
    assert (reader.end, reader.begun, reader.cut_off()) == (None, False, None)


@given(st.lists(st.sampled_from(list(ANSWERS)), max_size=2), st.binary())
def test_garbage_never_raises_and_keeps_the_answers_before_it(
    raw: list[bytes], garbage: bytes
) -> None:
    reader = AnswerReader()
    answers = reader.feed(b"".join(raw) + garbage)
    assert answers[: len(raw)] == [ANSWERS[answer] for answer in raw]
    reader.feed(garbage)
    if reader.end is not None:
        assert reader.feed(ACCEPTED) == []


def test_a_close_ends_the_reading_after_its_answer() -> None:
    reader = AnswerReader()
    closing = b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert reader.feed(ACCEPTED + closing + ACCEPTED) == [Answer(202, "")] * 2
    assert reader.end is not None


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 202 Accepted\r\nX: " + b"x" * ANSWER_BYTES_MAX,
        b"HTTP/1.1 202 Accepted\r\n" + b"X: x\r\n" * (ANSWER_BYTES_MAX // 6),
        b"HTTP/1.1 400 Bad\r\nContent-Length: 999999999\r\n\r\n" + b"x" * ANSWER_BYTES_MAX,
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\nx\r\n" * (ANSWER_BYTES_MAX // 6),
    ],
)
def test_an_answer_without_end_is_cut_off_at_the_limit(flood: bytes) -> None:
    reader = AnswerReader()
    for at in range(0, len(flood), 1000):
        assert reader.feed(flood[at : at + 1000]) == []
    assert reader.end is not None
    assert "longer than" in reader.end


def test_the_text_of_a_refusal_is_cut() -> None:
    length = TEXT_BYTES_MAX * 3
    head = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % length
    (answer,) = AnswerReader().feed(head + b"x" * length)
    assert answer == Answer(400, "x" * TEXT_BYTES_MAX)


def test_a_body_that_ends_with_the_connection_is_an_answer_when_cut_off() -> None:
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 503 No\r\n\r\nno lea") == []
    assert reader.feed(b"der") == []
    assert reader.begun
    assert reader.cut_off() == Answer(503, "no leader")
    assert reader.cut_off() is None


def test_an_answer_whose_head_is_cut_is_none() -> None:
    reader = AnswerReader()
    assert reader.feed(ACCEPTED[:-1]) == []
    assert (reader.begun, reader.cut_off()) == (True, None)
