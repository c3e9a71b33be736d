"""A leader dies or resigns, and another daemon goes on: how long until it launches what waited.

Two daemons on one etcd; the one that does not lead follows the store. Before each takeover a job is
submitted for which the master has no offer, so that there is work to launch the moment the next
leader is offered something. The master answers the heir's reconciliation of all running tasks.
"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.children import Daemon, LoadMaster
from benchmarks.etcd import etcd
from benchmarks.launch_path import MASTER_CPU_SHARE_MAX, launched
from benchmarks.values import Benchmark, Figures, Floor, Load

TTL_S: Final = 3.0
TAKEOVERS: Final = 2
"""Takeovers a round, of each kind, so ten in five rounds; a round's figure is their median."""

SMALL: Final = Load(agents=1_000, tasks=10_000)
LARGE: Final = Load(agents=10_000, tasks=100_000)
KILLED: Final = "killed: to the first ACCEPT, ms"
RESIGNED: Final = "resigned: to the first ACCEPT, ms"


def benchmarks() -> dict[str, Benchmark]:
    about = f"a leader killed or told to stop, to the heir's first ACCEPT; a lease of {TTL_S:g} s"
    return {
        "failover": Benchmark(run, SMALL, about, _floors(TTL_S + 1.5)),
        "failover-large": Benchmark(run, LARGE, about, _floors(TTL_S + 3.0)),
    }


def _floors(killed_s: float) -> dict[str, Floor]:
    return {KILLED: Floor(at_most=killed_s * 1e3), RESIGNED: Floor(at_most=500)}


def run(load: Load, takeovers: int = TAKEOVERS) -> Figures:
    with _pair(load) as (master, pair):
        killed = [_takeover(master, pair, load, n, Daemon.kill9) for n in range(takeovers)]
        later = range(takeovers, 2 * takeovers)
        resigned = [_takeover(master, pair, load, n, Daemon.stop) for n in later]
    return Figures(
        {
            KILLED: statistics.median([one.seconds for one in killed]) * 1e3,
            "killed: the slowest, ms": max(one.seconds for one in killed) * 1e3,
            RESIGNED: statistics.median([one.seconds for one in resigned]) * 1e3,
            "resigned: the slowest, ms": max(one.seconds for one in resigned) * 1e3,
        },
        _master_kept_up(killed) and _master_kept_up(resigned),
    )


class Timed(NamedTuple):
    """`master_cpu_s` is the load master's, from the leader's end to the heir's first ACCEPT."""

    seconds: float
    master_cpu_s: float


def _master_kept_up(takeovers: Sequence[Timed]) -> bool:
    """Judged over what is measured: later it answers for all tasks as fast as it is asked."""
    seconds = sum(one.seconds for one in takeovers)
    return sum(one.master_cpu_s for one in takeovers) <= MASTER_CPU_SHARE_MAX * seconds


Pair = list[Daemon]
"""Who leads, then who follows."""


@contextlib.contextmanager
def _pair(load: Load) -> Iterator[tuple[LoadMaster, Pair]]:
    """All tasks of `load` run, and both daemons know it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offerd-bench-")))
        store = stack.enter_context(etcd(folder))
        master = stack.enter_context(LoadMaster(folder, load.agents, load.tasks))
        pair = [stack.enter_context(Daemon(folder, master.port, store, name)) for name in "ab"]
        pair[0].run()
        pair[0].wait_until_connected()
        launched(master, pair[0], load, "service")
        pair[1].run()
        pair[1].wait_for(lambda status: _runs(status, load.tasks), "to follow")
        yield master, pair


def _takeover(
    master: LoadMaster, pair: Pair, load: Load, number: int, end: Callable[[Daemon], None]
) -> Timed:
    """Afterwards the other one leads, and the one that ended follows it."""
    leader, heir = pair
    leader.apply(_waiting(number))
    running = load.tasks + number
    heir.wait_for(lambda status: _follows(status, running), "to know what waits")
    cpu_before_s = master.cpu_s()
    began = time.monotonic()
    end(leader)
    takeover = master.takeover(heir)
    pair.reverse()
    heir.wait_for(lambda status: _runs(status, running + 1), "to have launched what waited")
    heir.wait_for(lambda status: not status["reconciling"], "to be reconciled")
    leader.run()
    leader.wait_for(lambda status: _runs(status, running + 1), "to follow again")
    return Timed(takeover.accepted_at - began, takeover.cpu_s - cpu_before_s)


def _runs(status: dict[str, object], tasks: int) -> bool:
    counts = status["tasks"]
    assert isinstance(counts, dict)
    return bool(counts.get("running") == tasks)


def _follows(status: dict[str, object], running: int) -> bool:
    counts = status["tasks"]
    assert isinstance(counts, dict)
    return bool(counts == {"running": running, "queued": 1})


def _waiting(number: int) -> dict[str, object]:
    return {
        "job": f"waiting-{number}",
        "kind": "service",
        "instances": 1,
        "command": "sleep 1000",
        "resources": {"cpus": 0.1, "mem": "32MiB"},
    }
