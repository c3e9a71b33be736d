"""Interleaved rounds of each benchmark, then medians and spread."""

import argparse
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import (
    against_peers,
    arrivals,
    failover,
    launch_path,
    pauses,
    placement,
    startup,
    steady,
)
from benchmarks.children import PROJECT_ROOT, BenchmarkFailed
from benchmarks.values import Benchmark, Figures, Load

SMALL = Load(agents=1_000, tasks=10_000)
BENCHMARKS = {
    "launch": Benchmark(launch_path.launch, SMALL, "from OFFERS to acknowledged TASK_RUNNING"),
    "storm": Benchmark(launch_path.storm, SMALL, "TASK_FINISHED of all tasks at once, durable"),
    "restart": Benchmark(launch_path.restart, SMALL, "kill -9 and start, with all tasks running"),
    **against_peers.benchmarks(),
    **failover.benchmarks(),
    **steady.benchmarks(),
    **arrivals.benchmarks(),
    **pauses.benchmarks(),
    **startup.benchmarks(),
    **placement.benchmarks(),
}


def main() -> None:
    options = _options()
    names = _names(options.only or [])
    print(_machine(), f"{options.rounds} rounds", sep="; ", flush=True)
    rounds: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            load = _load(BENCHMARKS[name], options)
            try:
                rounds[name].append(BENCHMARKS[name].run(load))
            except BenchmarkFailed as failed:
                sys.exit(f"{name}: {failed}")
    reports = [_report(name, _load(BENCHMARKS[name], options), rounds[name]) for name in names]
    if not all(reports):
        sys.exit("a figure misses its floor")


def _names(only: Sequence[str]) -> list[str]:
    """`placement` stands for all whose name begins so, but for those that are run on request."""
    if not only:
        return [name for name, benchmark in BENCHMARKS.items() if not benchmark.on_request]
    return [
        name
        for name, benchmark in BENCHMARKS.items()
        if name in only or (name.split("-")[0] in only and not benchmark.on_request)
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    kinds = dict.fromkeys(name.split("-")[0] for name in BENCHMARKS)
    parser.add_argument("--only", action="append", choices=[*kinds, *BENCHMARKS], metavar="NAME",
                        help=f"{', '.join(dict.fromkeys([*kinds, *BENCHMARKS]))}; may be repeated",
                        )  # fmt: skip
    parser.add_argument("--agents", type=int, help="instead of each benchmark's own number")
    parser.add_argument("--tasks", type=int)
    options = parser.parse_args()
    for name in ("rounds", "agents", "tasks"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be 1 or more")
    return options


def _load(benchmark: Benchmark, options: argparse.Namespace) -> Load:
    return Load(options.agents or benchmark.load.agents, options.tasks or benchmark.load.tasks)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, check=False, cwd=PROJECT_ROOT,
    ).stdout.strip()  # fmt: skip
    return (
        f"{cores} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}; commit {commit or 'unknown'}"
    )


def _report(name: str, load: Load, rounds: Sequence[Figures]) -> bool:
    """Tell the figures; whether each that has a floor holds it. Floors are for the loads that the
    benchmarks have of themselves."""
    benchmark = BENCHMARKS[name]
    valid = [figures.values for figures in rounds if figures.valid]
    print(f"\n{name}: {benchmark.about}")
    print(f"  {load.agents:,} agents, {load.tasks:,} tasks; {len(valid)} of {len(rounds)} valid")
    floors = benchmark.floors if load == benchmark.load else {}
    held = bool(valid)
    for figure in valid[0] if valid else ():
        values = [one[figure] for one in valid]
        median = statistics.median(values)
        spread = f"[{_number(min(values))} – {_number(max(values))}]"
        verdict = ""
        if figure in floors:
            holds = floors[figure].holds(median)
            held &= holds
            verdict = f"{'PASS' if holds else 'FAIL'} ({floors[figure]})"
        print(f"  {figure:<51} {_number(median):>8}  {spread:<17} {verdict}".rstrip())
    return held


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
