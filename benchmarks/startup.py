"""From the start of the process to the first answer of the API, and until it is subscribed."""

import time
from typing import Final

from benchmarks.children import Daemon
from benchmarks.launch_path import connected, launched
from benchmarks.values import Benchmark, Figures, Load

NOTHING: Final = Load(1, 1)


def benchmarks() -> dict[str, Benchmark]:
    return {
        "startup": Benchmark(
            startup,
            Load(1_000, 100_000),
            "a new process, to its first answer and subscribed: knowing nothing, and all tasks",
        )
    }


def startup(load: Load) -> Figures:
    figures: dict[str, float] = {}
    with connected(NOTHING, "sqlite") as (_, daemon):
        figures |= _started_anew("with nothing", daemon)
    with connected(load, "sqlite") as (master, daemon):
        launched(master, daemon, load, "service")
        figures |= _started_anew(f"with {load.tasks:,} tasks", daemon)
        daemon.wait_for(lambda status: status["tasks"] == {"running": load.tasks}, "to agree")
    return Figures(figures)


def _started_anew(what: str, daemon: Daemon) -> dict[str, float]:
    """It is told to stop first, as in an upgrade."""
    daemon.stop()
    began = time.perf_counter()
    daemon.run()
    daemon.wait_for(lambda _: True, "to answer")
    answers_s = time.perf_counter() - began
    daemon.wait_until_connected()
    connected_s = time.perf_counter() - began
    return {
        f"{what}: to an answer, ms": answers_s * 1e3,
        f"{what}: to subscribed, ms": connected_s * 1e3,
        f"{what}: CPU until then, ms": daemon.cpu_s() * 1e3,
    }
