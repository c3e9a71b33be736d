"""Durations, sizes and decimals as people write them, and back.

Pure functions from a document's value to a number or `Wrong`. A bare number is never a duration or
a size: whoever wrote it had a unit in mind, and guessing it wrong is a thousandfold error.
Neighbours: `bodies` uses them for jobs, `settings` for settings.
"""

import math
import re
from fractions import Fraction
from typing import Final

from scheduler.core.model.resources import MILLI
from scheduler.jobspec.problems import Wrong, kind_of, quoted

CPUS_MAX: Final = 10_000
"""Of one instance."""

DURATION_FORMS: Final = "250ms, 10s, 5m, 1h30m, 2d"
DURATION_PATTERN: Final = (
    r"^(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
)
DURATION_S_MAX: Final = 3660 * 86_400.0
"""Ten years: more is a slip of the pen, and would overflow what Mesos keeps in nanoseconds."""
_DURATION: Final = re.compile(DURATION_PATTERN[:-1] + r"\Z")
_UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))

SIZE_FORMS: Final = "512KiB, 256MiB, 1.5GiB, 1TiB, or KB, MB, GB, TB"
SIZE_PATTERN: Final = r"^[0-9]{1,10}(\.[0-9]{1,3})?[KMGT]i?B$"
SIZE_MIB_MAX: Final = 1024 * 1024 * 1024
"""A pebibyte, which keeps sums of thousandths far from 64 bits."""
_SIZE: Final = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,3})?)([KMGT]i?B)")
_MIB: Final = 1024 * 1024
_SIZE_BYTES: Final = {
    "KiB": 1024,
    "MiB": _MIB,
    "GiB": _MIB * 1024,
    "TiB": _MIB * 1024 * 1024,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
}


def parse_duration(value: object, *, above_zero: bool = False) -> float:
    """Seconds, exact to the millisecond."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong(f"{quoted(value)} is not a duration ({DURATION_FORMS})")
    total_ms = sum(
        int(piece[: -len(unit)]) * worth
        for piece, (unit, worth) in zip(match.groups(), _UNITS_MS, strict=True)
        if piece
    )
    if total_ms > DURATION_S_MAX * 1000:
        raise Wrong(f"{quoted(value)} is too long (at most 3660d)")
    if above_zero and total_ms == 0:
        raise Wrong("must be more than 0s")
    return total_ms / 1000


def duration_text(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as these seconds."""
    rest = round(seconds * 1000)
    text = ""
    for unit, worth in _UNITS_MS:
        count, rest = divmod(rest, worth)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def parse_size(value: object, *, least_milli: int = 0) -> int:
    """Thousandths of a MiB, the nearest where a decimal unit does not divide evenly."""
    is_zero = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
    text = "0MiB" if is_zero else value
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Wrong(f"{quoted(value)} is not a size ({SIZE_FORMS})")
    number, unit = match.groups()
    milli = round(Fraction(number) * _SIZE_BYTES[unit] * MILLI / _MIB)
    if milli < least_milli:
        raise Wrong(f"{quoted(value)} is too little (at least {size_text(least_milli)})")
    if milli > SIZE_MIB_MAX * MILLI:
        raise Wrong(f"{quoted(value)} is too much (at most {size_text(SIZE_MIB_MAX * MILLI)})")
    return milli


def size_text(milli: int) -> str:
    """The text that `parse_size` reads as these thousandths of a MiB."""
    for unit, worth in (("TiB", _MIB * MILLI), ("GiB", 1024 * MILLI)):
        if milli and milli % worth == 0:
            return f"{milli // worth}{unit}"
    return f"{decimal_text(milli)}MiB"


def parse_decimal(value: object, *, least_milli: int, most_milli: int) -> int:
    """A number with at most three decimals, in thousandths."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"must be a number, not {kind_of(value)} (0.5)")
    if not math.isfinite(value):
        raise Wrong(f"{quoted(value)} is not a number (0.5)")
    # repr of a float is its shortest text, which for few digits is what the author wrote.
    milli = Fraction(repr(value)) * MILLI
    bounds = f"({decimal_text(least_milli)} to {decimal_text(most_milli)})"
    if milli.denominator != 1:
        raise Wrong(f"{quoted(value)} has more than three decimals {bounds}")
    if not least_milli <= milli <= most_milli:
        raise Wrong(f"{quoted(value)} is out of bounds {bounds}")
    return int(milli)


def decimal_text(milli: int) -> str:
    whole, rest = divmod(milli, MILLI)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


def decimal_number(milli: int) -> int | float:
    """Thousandths as the number that `parse_decimal` reads back."""
    return milli // MILLI if milli % MILLI == 0 else milli / MILLI


def parse_whole(value: object, *, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"must be a whole number, not {_not_whole(value)} ({least} to {most})")
    if not least <= value <= most:
        raise Wrong(f"{quoted(value)} is out of bounds ({least} to {most})")
    return value


def _not_whole(value: object) -> str:
    return quoted(value) if isinstance(value, float) else kind_of(value)
