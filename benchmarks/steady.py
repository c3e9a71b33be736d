"""What the daemon costs while little happens, and how it answers while much does: CPU when idle,
memory a task, memory left by tasks long gone, and updates that come in the middle of a placement.
"""

import time
from typing import Final

from benchmarks.children import BenchmarkFailed, Wave
from benchmarks.forgotten import grown_bytes
from benchmarks.launch_path import connected, launched, master_kept_up
from benchmarks.values import Benchmark, Figures, Floor, Load

IDLE_S: Final = 20.0
TRICKLE_PAUSE_MS: Final = 5
TRICKLED: Final = 5_000
QUIET: Final = 500
TRICKLED_MIN: Final = 100
PLACED_AGENTS: Final = 1_000
PLACED_ON_EACH: Final = 100
OFFERS_AN_EVENT: Final = 50

IDLE_SHARE: Final = "idle and suppressed, % of a core"
BYTES_A_TASK: Final = "RSS, bytes a task"
GROWTH: Final = "growth from a tenth to all, MB"
LATENCY: Final = "p99 while placing against without, ratio"


def benchmarks() -> dict[str, Benchmark]:
    return {
        "idle": Benchmark(
            idle,
            Load(1, 1),
            f"connected, all roles suppressed, for {IDLE_S:g} s",
            {IDLE_SHARE: Floor(at_most=1.0)},
        ),
        "memory": Benchmark(
            memory,
            Load(10_000, 100_000),
            "of running tasks: the daemon with all of them against one with a tenth",
            {BYTES_A_TASK: Floor(at_most=1_500)},
            on_request=True,
        ),
        "forgotten": Benchmark(
            forgotten,
            Load(1_000, 1_000_000),
            "memory that tasks leave which have finished and been forgotten",
            {GROWTH: Floor(at_most=10.0)},
            on_request=True,
        ),
        "latency": Benchmark(
            latency,
            Load(1_000, 10_000),
            "an update until it is acknowledged, while 100,000 tasks are being placed",
            {LATENCY: Floor(at_most=3.0)},
        ),
    }


def idle(load: Load) -> Figures:
    with connected(load, "sqlite") as (_, daemon):
        daemon.wait_for(lambda status: bool(status["suppressed"]), "to be suppressed")
        before = daemon.cpu_s()
        time.sleep(IDLE_S)  # what is measured is what happens meanwhile
        daemon.check()
        return Figures({IDLE_SHARE: (daemon.cpu_s() - before) / IDLE_S * 100})


def memory(load: Load) -> Figures:
    few = Load(load.agents // 10, load.tasks // 10)
    rss = []
    for one in (few, load):
        with connected(one, "sqlite") as (master, daemon):
            launched(master, daemon, one, "service")
            expected = {"running": one.tasks}
            daemon.wait_for(lambda status, all_=expected: status["tasks"] == all_, "to agree")
            rss.append(daemon.rss_bytes())
    return Figures(
        {
            BYTES_A_TASK: (rss[1] - rss[0]) / (load.tasks - few.tasks),
            "RSS with all, MB": rss[1] / 1e6,
        }
    )


def forgotten(load: Load) -> Figures:
    return Figures({GROWTH: grown_bytes(load.tasks) / 1e6})


def latency(load: Load) -> Figures:
    """First with nothing else to do, then with a job that keeps the engine placing all the time."""
    with connected(load, "sqlite") as (master, daemon):
        launched(master, daemon, load, "batch")
        master.trickle(QUIET, TRICKLE_PAUSE_MS)
        quiet = master.next_word(daemon)
        daemon.apply(
            {
                "job": "many",
                "kind": "service",
                "instances": PLACED_AGENTS * PLACED_ON_EACH,
                "command": "sleep 1000",
                "resources": {"cpus": 0.1, "mem": "32MiB"},
            }
        )
        master.offer(PLACED_AGENTS, PLACED_ON_EACH, OFFERS_AN_EVENT)
        master.trickle(TRICKLED, TRICKLE_PAUSE_MS)
        placed, busy = master.next_word(daemon), master.next_word(daemon)
        if "placed" not in placed or busy["trickle"] < TRICKLED_MIN:
            raise BenchmarkFailed(f"too few updates came while tasks were placed: {placed}, {busy}")
    return Figures(
        {
            "without placement, p99, ms": quiet["p99_s"] * 1e3,
            "while placing, p99, ms": busy["p99_s"] * 1e3,
            LATENCY: busy["p99_s"] / quiet["p99_s"],
            "placed meanwhile, tasks/s": placed["placed"] / placed["seconds"],
        },
        master_kept_up(Wave(busy["trickle"], busy["seconds"], busy["cpu_s"])),
    )
