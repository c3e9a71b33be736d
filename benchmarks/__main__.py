"""`python -m benchmarks`: interleaved rounds, medians and spread."""

import argparse
import platform
import statistics
from collections.abc import Sequence

from benchmarks import launch_path

STORES = ("sqlite", "memory")


def _line(name: str, values: Sequence[float], unit: str) -> str:
    middle = statistics.median(values)
    return f"{name:<34} {middle:>10,.0f} {unit:<10} [{min(values):,.0f} – {max(values):,.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--tasks", type=int, default=10_000)
    options = parser.parse_args()
    print(f"python {platform.python_version()}, {platform.machine()}; {options.rounds} rounds")
    print(f"launch path: {options.agents:,} agents, {options.tasks:,} tasks, one RUNNING a task")
    rounds: dict[str, list[launch_path.Round]] = {store: [] for store in STORES}
    for _ in range(options.rounds):
        for store in STORES:
            rounds[store].append(launch_path.run(options.agents, options.tasks, store))
    for store in STORES:
        valid = [one for one in rounds[store] if one.valid]
        print(f"{store}: {len(valid)} of {options.rounds} rounds valid")
        if valid:
            print(_line(f"  {store} launched", [one.tasks_a_s for one in valid], "tasks/s"))
            print(_line(f"  {store} CPU", [one.cpu_us_a_task for one in valid], "µs a task"))
    ratios = [
        durable.tasks_a_s / volatile.tasks_a_s
        for durable, volatile in zip(rounds["sqlite"], rounds["memory"], strict=True)
        if durable.valid and volatile.valid
    ]
    if ratios:
        spread = f"[{min(ratios):.2f} – {max(ratios):.2f}]"
        print(f"durable against not, by round: {statistics.median(ratios):.2f} {spread}")


if __name__ == "__main__":
    main()
