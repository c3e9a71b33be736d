"""Offers that come all at once, or one by one: how soon they are used, and whom that keeps waiting.

A job waits, then the load master offers agents that it did not have before. Durable, in SQLite.
"""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.children import HOST, REQUEST_DEADLINE_S, BenchmarkFailed, Daemon
from benchmarks.launch_path import connected, launched
from benchmarks.values import Benchmark, Figures, Load

ONE: Final = Load(1, 1)
"""What is launched first, so that the daemon has lived through a launch."""

DRIP_PAUSE_MS: Final = 5
FEW: Final = 150
MANY: Final = 5_000
"""Tasks that wait while offers come one by one: fewer than those for which offers are gathered, and
many more (`offers.gather_s` in docs/settings.md)."""

DRIPS: Final = 150
ASK_PAUSE_S: Final = 0.005


def benchmarks() -> dict[str, Benchmark]:
    return {
        "burst": Benchmark(
            burst,
            Load(1_000, 10_000),
            "an OFFERS event with all agents, while all tasks wait, to the ACCEPTs",
        ),
        "drip": Benchmark(
            drip,
            Load(DRIPS, FEW),
            f"offers with room for one task, one each {DRIP_PAUSE_MS} ms, to their ACCEPTs",
        ),
    }


def burst(load: Load) -> Figures:
    with connected(ONE, "sqlite") as (master, daemon):
        launched(master, daemon, ONE, "service")
        _wait(daemon, load.tasks)
        before = daemon.cpu_s()
        with _asked_meanwhile(daemon) as answered_s:
            master.offer(load.agents, load.tasks // load.agents, load.agents)
            placed = master.next_word(daemon)
        cpu_s = daemon.cpu_s() - before
        _launched_all(daemon, load.tasks)
    return Figures(
        {
            "to the first ACCEPT, ms": placed["first_s"] * 1e3,
            "to the last ACCEPT, ms": placed["seconds"] * 1e3,
            "CPU, µs a task": cpu_s / load.tasks * 1e6,
            "slowest answer of the API meanwhile, ms": max(answered_s) * 1e3,
        }
    )


def drip(load: Load) -> Figures:
    few = _dripped(load.agents, load.tasks)
    many = _dripped(load.agents, MANY)
    return Figures(
        {
            f"{load.tasks} waiting, p50, ms": few["p50_s"] * 1e3,
            f"{load.tasks} waiting, p99, ms": few["p99_s"] * 1e3,
            f"{load.tasks} waiting, CPU, µs an offer": few["cpu_s"] / load.agents * 1e6,
            f"{MANY:,} waiting, p50, ms": many["p50_s"] * 1e3,
            f"{MANY:,} waiting, p99, ms": many["p99_s"] * 1e3,
            f"{MANY:,} waiting, CPU, µs an offer": many["cpu_s"] / load.agents * 1e6,
        }
    )


def _dripped(agents: int, waiting: int) -> dict[str, float]:
    with connected(ONE, "sqlite") as (master, daemon):
        launched(master, daemon, ONE, "service")
        _wait(daemon, waiting)
        before = daemon.cpu_s()
        master.offer(agents, 1, 1, DRIP_PAUSE_MS)
        placed = master.next_word(daemon)
        cpu_s = daemon.cpu_s() - before
        _launched_all(daemon, agents)
    return {"p50_s": placed["p50_s"], "p99_s": placed["p99_s"], "cpu_s": cpu_s}


def _wait(daemon: Daemon, tasks: int) -> None:
    """Lets so many tasks wait for offers."""
    daemon.apply(
        {
            "job": "waits",
            "kind": "service",
            "instances": tasks,
            "command": "sleep 1000",
            "resources": {"cpus": 0.1, "mem": "32MiB"},
        }
    )
    daemon.wait_for(lambda status: status["waiting"] == tasks, "to have them all waiting")


def _launched_all(daemon: Daemon, tasks: int) -> None:
    """The daemon's account agrees with the load master's, which says nothing of these tasks."""
    daemon.wait_for(lambda status: status["tasks"].get("launching") == tasks, "to agree")


@contextlib.contextmanager
def _asked_meanwhile(daemon: Daemon) -> Iterator[list[float]]:
    """Asks the daemon whether it is well, again and again; how long each answer took."""
    over = threading.Event()
    answered_s: list[float] = []

    def ask() -> None:
        connection = http.client.HTTPConnection(HOST, daemon.port, timeout=REQUEST_DEADLINE_S)
        with contextlib.closing(connection):
            while not over.is_set():
                began = time.perf_counter()
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                answered_s.append(time.perf_counter() - began)
                over.wait(ASK_PAUSE_S)

    asking = threading.Thread(target=ask, name="asks", daemon=True)
    asking.start()
    try:
        yield answered_s
    finally:
        over.set()
        asking.join(REQUEST_DEADLINE_S)
    if not answered_s:
        raise BenchmarkFailed("the daemon did not answer meanwhile")
