"""Runs an emulated cluster until it is told to stop; what `offerd emulate` calls.

    python -m scheduler.emulator.main '{"agents": 3, "simulate": true}'

prints one line of JSON when it serves, `{"host": …, "port": …, "pid": …}`, so that a test that
started it knows where. SIGTERM and SIGINT end it; real tasks end with it.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import uvloop

from scheduler.emulator.cluster import EmulatedCluster
from scheduler.emulator.options import EmulatorOptions
from scheduler.emulator.process.runner import process_runners
from scheduler.emulator.runner import RunnerFactory

GC_THRESHOLDS = (100_000, 20, 100)


@contextlib.asynccontextmanager
async def running_cluster(options: EmulatorOptions) -> AsyncIterator[EmulatedCluster]:
    """A served cluster whose tasks are timers or real processes, as `options.simulate` says.

    Without a `work_dir` real tasks get a temporary one, which goes with the cluster.
    """
    async with contextlib.AsyncExitStack() as stack:
        runners: RunnerFactory | None = None
        if not options.simulate:
            work_dir = options.work_dir
            if work_dir is None:
                temporary = tempfile.TemporaryDirectory(prefix="offerd-emulator-")
                work_dir = stack.enter_context(temporary)
            runners = await stack.enter_async_context(process_runners(Path(work_dir)))
        yield await stack.enter_async_context(EmulatedCluster(options, runners))


async def serve(
    options: EmulatorOptions, on_ready: Callable[[EmulatedCluster], None] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; `on_ready` is told when the port is open."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_cluster(options) as cluster:
        if on_ready is not None:
            on_ready(cluster)
        await stop.wait()


def run_emulator(
    options: EmulatorOptions, on_ready: Callable[[EmulatedCluster], None] | None = None
) -> None:
    """The same for a process that does nothing else. Raises `OSError` if the port is taken."""
    # A hundred thousand tasks are millions of objects that stay: looking through all of them for
    # garbage every few moments would cost more than the emulation.
    gc.set_threshold(*GC_THRESHOLDS)
    run = uvloop.run if options.simulate else asyncio.run
    run(serve(options, on_ready))


def _announce(cluster: EmulatedCluster) -> None:
    where = {"host": cluster.host, "port": cluster.port, "pid": os.getpid()}
    sys.stdout.write(msgspec.json.encode(where).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else "{}"
    run_emulator(msgspec.json.decode(text, type=EmulatorOptions), _announce)
