"""A process that writes instances 0, 1, 2, … into a store and prints each index once it was told
that it is durable. For tests that kill it, or take its space away.

    python -m tests.store.writer FILE WRITES [BYTES]

With BYTES no file may grow beyond it until SIGUSR1 comes. Ends when all writes are durable.
"""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from scheduler.core.records import Put
from scheduler.store.sqlite import SqliteStore
from tests.store import samples

BURST = 20
PENDING_MAX = 2_000


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def write_all(store: SqliteStore, writes: int) -> None:
    durable = asyncio.Event()
    told = 0

    def done(first: int, after: int) -> None:
        nonlocal told
        told = after
        say("\n".join(f"durable {index}" for index in range(first, after)))
        durable.set()

    for first in range(0, writes, BURST):
        after = min(first + BURST, writes)
        puts = [Put(samples.instance(index)) for index in range(first, after)]
        store.submit(puts, lambda first=first, after=after: done(first, after))  # type: ignore[misc]
        while after - told > PENDING_MAX:
            durable.clear()
            await durable.wait()
    while told < writes:
        durable.clear()
        await durable.wait()


async def main(path: Path, writes: int, file_bytes_max: int | None) -> None:
    store = SqliteStore(path)
    await store.open()
    if file_bytes_max is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, hard))
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGUSR1, resource.setrlimit, resource.RLIMIT_FSIZE, (hard, hard)
        )
    run = asyncio.create_task(
        store.run(lambda reason: say(f"refusing {reason}"), lambda: say("recovered"))
    )
    work = asyncio.create_task(write_all(store, writes))
    await asyncio.wait({run, work}, return_when=asyncio.FIRST_COMPLETED)
    if run.done():
        run.result()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await store.close()
    say("end")


if __name__ == "__main__":
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else None
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), limit))
