"""What a benchmark is given and what it gives."""

from collections.abc import Callable
from typing import NamedTuple


class Load(NamedTuple):
    agents: int
    tasks: int


class Figures(NamedTuple):
    """What one round measured: figures by name, which says the unit. Not `valid` where something
    else than what is measured was the bottleneck."""

    values: dict[str, float]
    valid: bool = True


class Benchmark(NamedTuple):
    """`run` does one round, and raises `BenchmarkFailed` if the work was not done."""

    run: Callable[[Load], Figures]
    load: Load
    about: str
