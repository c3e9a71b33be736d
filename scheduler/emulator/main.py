"""Runs an emulated cluster until it is told to stop; what `offerd emulate` calls.

    python -m scheduler.emulator.main '{"agents": 3, "simulate": true}'

prints one line of JSON when it serves, `{"host": …, "port": …, "pid": …}`, so that a test that
started it knows where. SIGTERM and SIGINT end it; real tasks end with it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import msgspec

from scheduler.emulator.cluster import EmulatedCluster
from scheduler.emulator.options import EmulatorOptions
from scheduler.emulator.runner import RunnerFactory


async def serve(
    options: EmulatorOptions,
    on_ready: Callable[[EmulatedCluster], None] | None = None,
    runners: RunnerFactory | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; `on_ready` is told when the port is open."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with EmulatedCluster(options, runners) as cluster:
        if on_ready is not None:
            on_ready(cluster)
        await stop.wait()


def run_emulator(
    options: EmulatorOptions, on_ready: Callable[[EmulatedCluster], None] | None = None
) -> None:
    """The same for a process that does nothing else."""
    asyncio.run(serve(options, on_ready))


def _announce(cluster: EmulatedCluster) -> None:
    where = {"host": cluster.host, "port": cluster.port, "pid": os.getpid()}
    sys.stdout.write(msgspec.json.encode(where).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else "{}"
    run_emulator(msgspec.json.decode(text, type=EmulatorOptions), _announce)
