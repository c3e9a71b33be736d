"""Durable in a stock etcd against frameworks that store nothing, on one load master, in one round.

Each scheduler of a round starts from nothing and launches the same tasks on the same offers; the
ratios are of one round, so that a busy machine slows all of them.
"""

import contextlib
import functools
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.children import Child, Daemon, LoadMaster, Wave
from benchmarks.etcd import etcd
from benchmarks.launch_path import launched, master_kept_up
from benchmarks.peers import build
from benchmarks.values import Benchmark, Figures, Floor, Load

LOAD: Final = Load(agents=1_000, tasks=10_000)
LAUNCH_FLOORS: Final = {
    "etcd: CPU, µs a task": Floor(at_most=80, aim=60),
    "against mesos-go, tasks/s": Floor(at_least=1.5, aim=3),
    "against pymesos, tasks/s": Floor(at_least=4, aim=7),
}
STORM_FLOORS: Final = {"against mesos-go, updates/s": Floor(at_least=3, aim=4)}


class Run(NamedTuple):
    """One scheduler's part of a round; `cpu_s` is the scheduler's."""

    wave: Wave
    cpu_s: float


def benchmarks() -> dict[str, Benchmark]:
    about = "durable in etcd against mesos-go and pymesos, which store nothing: "
    return {
        "peers-launch": Benchmark(
            launch, LOAD, about + "from OFFERS to acknowledged TASK_RUNNING", LAUNCH_FLOORS
        ),
        "peers-storm": Benchmark(
            storm, LOAD, about + "TASK_FINISHED of all tasks at once", STORM_FLOORS
        ),
    }


def launch(load: Load) -> Figures:
    runs = {"etcd": _ours(load, members=1), "etcd of three": _ours(load, members=3)}
    return _figures(runs | _peers(load, storm=False), "tasks/s", "a task")


def storm(load: Load) -> Figures:
    runs = {"etcd": _ours(load, members=1, storm=True)}
    return _figures(runs | _peers(load, storm=True), "updates/s", "an update")


def _figures(runs: dict[str, Run], rate: str, each: str) -> Figures:
    values: dict[str, float] = {}
    for name, run in runs.items():
        values[f"{name}: {rate}"] = run.wave.updates / run.wave.seconds
        values[f"{name}: CPU, µs {each}"] = run.cpu_s / run.wave.updates * 1e6
    ours = runs["etcd"].wave
    for name in runs.keys() - {"etcd", "etcd of three"}:
        values[f"against {name}, {rate}"] = runs[name].wave.seconds / ours.seconds
    return Figures(values, all(master_kept_up(run.wave) for run in runs.values()))


# --- the schedulers ------------------------------------------------------------------------------


def _ours(load: Load, members: int, *, storm: bool = False) -> Run:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offerd-bench-")))
        store = stack.enter_context(etcd(folder, members))
        master = stack.enter_context(LoadMaster(folder, load.agents, load.tasks))
        daemon = stack.enter_context(Daemon(folder, master.port, store))
        daemon.run()
        daemon.wait_until_connected()
        run = Run(*launched(master, daemon, load, "batch" if storm else "service"))
        return _storm(master, daemon) if storm else run


def _peers(load: Load, *, storm: bool) -> dict[str, Run]:
    runs = {}
    for name, command in _commands().items():
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offerd-bench-")))
            master = stack.enter_context(LoadMaster(folder, load.agents, load.tasks))
            peer = stack.enter_context(Child(name, folder / "peer.log"))
            match name:
                case "mesos-go":
                    peer.start(*command, "-master", master.url, "-tasks", str(load.tasks))
                case _:
                    address = master.url.removeprefix("http://")
                    peer.start(*command, address, str(load.tasks))
            wave = master.wave(peer)
            runs[name] = _storm(master, peer) if storm else Run(wave, peer.cpu_s())
    return runs


def _storm(master: LoadMaster, scheduler: Child) -> Run:
    before = scheduler.cpu_s()
    wave = master.storm(scheduler)
    return Run(wave, scheduler.cpu_s() - before)


@functools.cache
def _commands() -> dict[str, tuple[str, ...]]:
    """Of the peers that can be built here; the others are left out with a word."""
    commands: dict[str, tuple[str, ...]] = {}
    try:
        commands["mesos-go"] = (str(build.mesos_go()),)
    except build.CannotBuild as missing:
        print(missing, flush=True)
    try:
        commands["pymesos"] = tuple(build.pymesos())
    except build.CannotBuild as missing:
        print(missing, flush=True)
    return commands
