"""Durations, sizes and decimals: read, refused, and written back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.jobspec.problems import Wrong
from scheduler.jobspec.quantities import (
    decimal_number,
    duration_text,
    parse_decimal,
    parse_duration,
    parse_size,
    parse_whole,
    size_text,
)
from tests.jobspec.documents import unhurried


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4s5ms", 93_784.005),
        ("0s", 0),
        ("90m", 5400),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(0, 10, 1.5, True, None, [], {}),
        *("", "10", "s", "1.5s", "1s1m", "1m1m", "10 s", " 10s", "10s\n", "12:30:00", "1w", "+1s"),
        *("1S", "１s", "9" * 10 + "s"),
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(Wrong, match="is not a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "milli"),
    [
        ("256MiB", 256_000),
        ("1GiB", 1_024_000),
        ("1.5GiB", 1_536_000),
        ("1TiB", 1_048_576_000),
        ("512KiB", 500),
        ("512MB", 488_281),
        ("1GB", 953_674),
        (0, 0),
        (0.0, 0),
        ("0MiB", 0),
    ],
)
def test_sizes_are_thousandths_of_a_mib(value: object, milli: int) -> None:
    assert parse_size(value) == milli


@pytest.mark.parametrize(
    "value",
    [1, 256, True, False, None, "256", "256M", "256m", "256 MiB", "-1MiB", "1mib", "1.2345GiB"],
)
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(Wrong, match="is not a size"):
        parse_size(value)


@given(st.integers(0, 3660 * 86_400_000))
@unhurried
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 1024**3 * 1000))
@unhurried
def test_a_size_is_written_as_it_is_read(milli: int) -> None:
    assert parse_size(size_text(milli)) == milli


@given(st.integers(1, 10_000_000))
@unhurried
def test_a_decimal_is_written_as_it_is_read(milli: int) -> None:
    number = decimal_number(milli)
    assert parse_decimal(number, least_milli=1, most_milli=10_000_000) == milli


@given(st.floats() | st.integers())
@unhurried
def test_a_decimal_is_exact_or_refused(value: float) -> None:
    try:
        milli = parse_decimal(value, least_milli=1, most_milli=10_000_000)
    except Wrong:
        return
    assert decimal_number(milli) == value


@pytest.mark.parametrize("value", [True, "1", None, 1.0, -1, 11])
def test_what_is_no_whole_number_in_bounds_is_refused(value: object) -> None:
    with pytest.raises(Wrong, match=r"0 to 10"):
        parse_whole(value, least=0, most=10)
