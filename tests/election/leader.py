"""A process that leads, and writes as fast as etcd lets it, whether it still leads or not. For
tests that kill or stop it.

    python -m tests.election.leader ENDPOINT PREFIX TTL_S

Prints `leads TERM`, then one line a write: when it began, whether it led then, and what came of it.
"""

import asyncio
import os
import sys

import structlog

from scheduler.core.candidate import Candidate
from scheduler.core.records import Put
from scheduler.election.etcd import EtcdElection
from scheduler.errors import TermEnded
from scheduler.etcd3.client import Client
from scheduler.etcd3.leases import boot_time_s
from scheduler.store.etcd import EtcdStore
from tests.store import samples


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def write_one(store: EtcdStore, run: asyncio.Task[None], number: int) -> str:
    stored = asyncio.Event()
    store.submit([Put(samples.framework(str(number)))], stored.set)
    storing = asyncio.create_task(stored.wait())
    await asyncio.wait({storing, run}, return_when=asyncio.FIRST_COMPLETED)
    if stored.is_set():
        return "stored"
    storing.cancel()
    try:
        run.result()
    except TermEnded:
        return "ended"
    return "?"


async def main(endpoint: str, prefix: str, ttl_s: int) -> None:
    async with Client([endpoint]) as client:
        election = EtcdElection(client, prefix, Candidate("process"), ttl_s=ttl_s)
        store = EtcdStore(client, prefix)
        store.begin(await election.campaign())
        await store.open()
        run = asyncio.create_task(store.run(lambda _: None, lambda: None))
        say(f"leads {store.term}")
        outcome, number = "", 0
        while outcome != "ended":
            number += 1
            began, leads = boot_time_s(), election.leads()
            outcome = await write_one(store, run, number)
            say(f"{began:.3f} {leads} {outcome}")
            await asyncio.sleep(0.02)
        await asyncio.Event().wait()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
