"""The daemon as a child process, with a load master beside it: launches, updates, a restart.

CPU is the daemon's own, user and system, from before the first byte of the load to after the last.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.children import Daemon, LoadMaster, Wave
from benchmarks.values import Figures, Load

JOB = "load"
MASTER_CPU_SHARE_MAX = 0.7


def launch(load: Load) -> Figures:
    """Offer → ACCEPT → TASK_RUNNING → ACKNOWLEDGE, from the OFFERS to the last acknowledgement:
    durable, then without a store."""
    with connected(load, "sqlite") as (master, daemon):
        durable, durable_cpu_s = launched(master, daemon, load, "service")
    with connected(load, "memory") as (master, daemon):
        volatile, volatile_cpu_s = launched(master, daemon, load, "service")
    return Figures(
        {
            "sqlite: tasks/s": load.tasks / durable.seconds,
            "sqlite: CPU, µs a task": durable_cpu_s / load.tasks * 1e6,
            "memory: tasks/s": load.tasks / volatile.seconds,
            "memory: CPU, µs a task": volatile_cpu_s / load.tasks * 1e6,
            "sqlite against memory, tasks/s": volatile.seconds / durable.seconds,
        },
        master_kept_up(durable) and master_kept_up(volatile),
    )


def storm(load: Load) -> Figures:
    """TASK_FINISHED of all tasks of a batch at once, until the last is stored and acknowledged."""
    with connected(load, "sqlite") as (master, daemon):
        launched(master, daemon, load, "batch")
        before = daemon.cpu_s()
        wave = master.storm(daemon)
        cpu_s = daemon.cpu_s() - before
        daemon.wait_for(lambda status: status["tasks"] == {"finished": load.tasks}, "to agree")
    return Figures(
        {
            "updates/s": wave.updates / wave.seconds,
            "CPU, µs an update": cpu_s / wave.updates * 1e6,
        },
        master_kept_up(wave),
    )


def restart(load: Load) -> Figures:
    """SIGKILL while all tasks run, then from the new process to the end of its reconciliation."""
    with connected(load, "sqlite") as (master, daemon):
        launched(master, daemon, load, "service")
        daemon.kill9()
        began = time.perf_counter()
        daemon.run()
        daemon.wait_until_connected()
        connected_s = time.perf_counter() - began
        daemon.wait_for(lambda status: not status["reconciling"], "to be reconciled")
        reconciled_s = time.perf_counter() - began
        cpu_s = daemon.cpu_s()
        daemon.wait_for(lambda status: status["tasks"] == {"running": load.tasks}, "to agree")
    return Figures(
        {
            "to connected, ms": connected_s * 1e3,
            "to reconciled, ms": reconciled_s * 1e3,
            "CPU until then, ms": cpu_s * 1e3,
        }
    )


@contextlib.contextmanager
def connected(load: Load, store: str) -> Iterator[tuple[LoadMaster, Daemon]]:
    """Both in a fresh folder, connected."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offerd-bench-")))
        master = stack.enter_context(LoadMaster(folder, load.agents, load.tasks))
        where = f"sqlite:{folder}/offerd.db" if store == "sqlite" else "memory:"
        daemon = stack.enter_context(Daemon(folder, master.port, where))
        daemon.run()
        daemon.wait_until_connected()
        yield master, daemon


def launched(master: LoadMaster, daemon: Daemon, load: Load, kind: str) -> tuple[Wave, float]:
    """Runs a job of all tasks; the wave of its launches, and the CPU seconds that they took."""
    before = daemon.cpu_s()
    daemon.apply(
        {
            "job": JOB,
            "kind": kind,
            "instances": load.tasks,
            "command": "sleep 1000",
            "resources": {"cpus": 0.1, "mem": "32MiB"},
        }
    )
    wave = master.wave(daemon)  # which ends with the last of the load's tasks, and no sooner
    return wave, daemon.cpu_s() - before


def master_kept_up(wave: Wave) -> bool:
    return wave.cpu_s <= MASTER_CPU_SHARE_MAX * wave.seconds
