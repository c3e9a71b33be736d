"""The emulated master beside a real one: the same requests, the same answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.emulator.http.client import DEADLINE_S, a_cluster
from tests.emulator.likeness.requests import REQUESTS, answer
from tests.emulator.likeness.story import Step, tell, tell_failover, tell_of_revocable
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster

pytestmark = [pytest.mark.real_mesos, pytest.mark.timeout(90, func_only=True)]

CPUS, MEM_MB, DISK_MB = 4.0, 4096.0, 10_000.0
STORY = aiohttp.ClientTimeout(total=80.0)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealCluster]:
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    with RealCluster(build, tmp_path / "cluster") as cluster:
        cluster.start(1, cpus=CPUS, mem=MEM_MB, disk=DISK_MB)
        yield cluster


async def test_both_masters_answer_requests_alike(real: RealCluster) -> None:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    # A connection each: a stream that is left behind must not answer the next request.
    fresh = aiohttp.TCPConnector(force_close=True)
    async with (
        a_cluster() as (_, emulated),
        aiohttp.ClientSession(real.master_url, timeout=timeout, connector=fresh) as genuine,
    ):
        for name, request in REQUESTS.items():
            assert (name, await answer(emulated, request)) == (name, await answer(genuine, request))


async def test_both_masters_tell_the_same_story(real: RealCluster) -> None:
    async def genuine() -> list[Step]:
        async with aiohttp.ClientSession(real.master_url, timeout=STORY) as web:
            return await tell(
                web,
                lambda: asyncio.to_thread(real.kill_agent, 0),
                lambda: asyncio.to_thread(real.restart_agent, 0),
                lambda: asyncio.to_thread(real.restart_agent, 0, fresh=True),
            )

    async def emulated() -> list[Step]:
        size = {"cpus": CPUS, "mem_mb": MEM_MB, "disk_mb": DISK_MB}
        async with (
            a_cluster(**size, agent_ping_timeout_s=1.0) as (cluster, _),
            aiohttp.ClientSession(cluster.url, timeout=STORY) as web,
        ):
            return await tell(
                web,
                lambda: switch(web, "lose"),
                lambda: switch(web, "return"),
                lambda: switch(web, "replace"),
            )

    for told, expected in zip(*await asyncio.gather(emulated(), genuine()), strict=True):
        assert told == expected


async def test_a_failover_looks_the_same_on_both(real: RealCluster) -> None:
    async def fail_over() -> None:
        await asyncio.to_thread(real.kill_master)
        await asyncio.to_thread(real.restart_master)

    async with aiohttp.ClientSession(real.master_url, timeout=STORY) as web:
        genuine = await tell_failover(web, fail_over)
    size = {"cpus": CPUS, "mem_mb": MEM_MB, "disk_mb": DISK_MB}
    async with (
        a_cluster(**size, agent_return_s_max=0.1) as (cluster, _),
        aiohttp.ClientSession(cluster.url, timeout=STORY) as web,
    ):
        emulated = await tell_failover(web, lambda: press(web, "/emulator/failover"))
    for told, expected in zip(emulated, genuine, strict=True):
        assert told == expected


async def test_revocable_resources_look_the_same_on_both(real: RealCluster) -> None:
    await asyncio.to_thread(real.lend, 0, cpus=2.0)
    async with aiohttp.ClientSession(real.master_url, timeout=STORY) as web:
        genuine = await tell_of_revocable(web)
    size = {"cpus": CPUS, "mem_mb": MEM_MB, "disk_mb": DISK_MB}
    async with (
        a_cluster(**size, revocable_cpus=2.0) as (cluster, _),
        aiohttp.ClientSession(cluster.url, timeout=STORY) as web,
    ):
        emulated = await tell_of_revocable(web)
    for told, expected in zip(emulated, genuine, strict=True):
        assert told == expected


async def switch(web: aiohttp.ClientSession, what: str) -> None:
    await press(web, f"/emulator/agents/0/{what}")


async def press(web: aiohttp.ClientSession, path: str) -> None:
    async with web.post(path) as response:
        assert response.status == 200
