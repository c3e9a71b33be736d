"""How long the daemon stands still for garbage collection, with many tasks and much going on.

Run as a program it is the daemon, the same code with a clock at the garbage collector:

    python -m benchmarks.pauses FILE run -c SETTINGS

which writes its pauses to FILE when it ends, as a JSON list of seconds of CPU time: what a pause
lasts on a core that nobody else uses.
"""

import contextlib
import gc
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.children import BenchmarkFailed, Daemon, LoadMaster
from benchmarks.launch_path import launched
from benchmarks.values import Benchmark, Figures, Load


def benchmarks() -> dict[str, Benchmark]:
    return {
        "pauses": Benchmark(
            pauses,
            Load(10_000, 100_000),
            "garbage collection while all tasks are launched, run, and finish at once",
        )
    }


def pauses(load: Load) -> Figures:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offerd-bench-")))
        master = stack.enter_context(LoadMaster(folder, load.agents, load.tasks))
        store = f"sqlite:{folder}/offerd.db"
        file = folder / "pauses.json"
        program = ("benchmarks.pauses", str(file))
        daemon = stack.enter_context(Daemon(folder, master.port, store, program=program))
        daemon.run()
        daemon.wait_until_connected()
        began = time.perf_counter()
        launched(master, daemon, load, "batch")
        master.storm(daemon)
        daemon.wait_for(lambda status: status["tasks"] == {"finished": load.tasks}, "to agree")
        lasted_s = time.perf_counter() - began
        daemon.stop()
        stopped_s: list[float] = json.loads(file.read_text())
    if not stopped_s:
        raise BenchmarkFailed("the garbage collector never ran")
    return Figures(
        {
            "longest pause, ms": max(stopped_s) * 1e3,
            "pauses over 5 ms": float(sum(pause > 0.005 for pause in stopped_s)),
            "share of the time, %": sum(stopped_s) / lasted_s * 100,
        }
    )


def main() -> None:
    file, *arguments = sys.argv[1:]
    sys.argv[1:] = arguments
    seconds: list[float] = []
    began = 0.0

    def clocked(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            seconds.append(time.thread_time() - began)

    gc.callbacks.append(clocked)
    from scheduler.cli.main import main as offerd  # so that its import is clocked

    try:
        offerd()
    finally:
        Path(file).write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
