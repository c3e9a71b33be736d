"""What a benchmark is given, what it gives, and what it must reach."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec


class Load(NamedTuple):
    agents: int
    tasks: int


class Figures(NamedTuple):
    """What one round measured: figures by name, which says the unit. Not `valid` where something
    else than what is measured was the bottleneck."""

    values: dict[str, float]
    valid: bool = True


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the median of a figure must be; `aim` is what we would like."""

    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None

    def holds(self, value: float) -> bool:
        enough = self.at_least is None or value >= self.at_least
        return enough and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        parts = (("at least", self.at_least), ("at most", self.at_most), ("aim", self.aim))
        return ", ".join([f"{words} {value:g}" for words, value in parts if value is not None])


class Benchmark(NamedTuple):
    """`run` does one round, and raises `BenchmarkFailed` if the work was not done. `floors` are by
    the name of the figure. Run with all others, or only `on_request`."""

    run: Callable[[Load], Figures]
    load: Load
    about: str
    floors: Mapping[str, Floor] = {}
    on_request: bool = False
