"""The emulator as a process of its own, with tasks of both kinds."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scheduler.emulator.cluster import EmulatedCluster
from scheduler.emulator.main import running_cluster
from scheduler.emulator.options import EmulatorOptions
from tests.emulator.http.client import DEADLINE_S, HOST, acknowledge, launch, subscribed

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = aiohttp.ClientTimeout(total=DEADLINE_S)


@asynccontextmanager
async def emulator_process(**options: Any) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler.emulator.main",
        json.dumps({"host": HOST, **options}),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
        where = json.loads(line)
        assert where["pid"] == process.pid
        yield process, f"http://{where['host']}:{where['port']}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_says_where_it_serves_and_ends_on_sigterm_with_a_stream_open() -> None:
    async with (
        emulator_process(agents=5, simulate=True) as (process, url),
        aiohttp.ClientSession(url, timeout=TIMEOUT) as web,
        subscribed(web) as framework,
    ):
        offers = (await framework.next("OFFERS"))["offers"]["offers"]
        assert len(offers) == 5
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0


async def test_a_real_task_runs_in_a_sandbox_that_can_be_read() -> None:
    options = EmulatorOptions(host=HOST, agents=2, allocation_interval_s=0.1)
    async with (
        running_cluster(options) as cluster,
        aiohttp.ClientSession(cluster.url, timeout=TIMEOUT) as web,
        subscribed(web) as framework,
    ):
        first, second = (await framework.next("OFFERS"))["offers"]["offers"]
        ports = [one for offer in (first, second) for one in offer["resources"] if "ranges" in one]
        assert ports[0]["ranges"] != ports[1]["ranges"]
        await framework.call(launch(first, "t", "echo hello; exit 4"))
        state = ""
        while state in ("", "TASK_STARTING", "TASK_RUNNING"):
            status = (await framework.next("UPDATE"))["update"]["status"]
            state = status["state"]
            await framework.call(acknowledge(status))
        assert state == "TASK_FAILED"
        assert cluster.tasks()["t"].ends == ["TASK_FAILED"]
        agent = "http://{ip}:{port}".format(**first["url"]["address"])
        framework_id = framework.framework_id["value"]
        path = f"/frameworks/{framework_id}/executors/t/runs/latest/stdout"
        async with web.get(f"{agent}/files/read", params={"path": path, "offset": "0"}) as answer:
            assert (await answer.json())["data"] == "hello\n"


async def test_an_agents_state_shows_its_executors_while_they_run() -> None:
    options = EmulatorOptions(host=HOST, allocation_interval_s=0.1)
    async with (
        running_cluster(options) as cluster,
        aiohttp.ClientSession(cluster.url, timeout=TIMEOUT) as web,
        subscribed(web) as framework,
    ):
        (offer,) = (await framework.next("OFFERS"))["offers"]["offers"]
        await framework.call(launch(offer, "t", "sleep 100"))
        await framework.next("UPDATE")
        agent = "http://{ip}:{port}".format(**offer["url"]["address"])
        async with web.get(f"{agent}/slave(1)/state") as answer:
            ((executor,),) = [one["executors"] for one in (await answer.json())["frameworks"]]
        assert executor["id"] == "t"
        assert Path(executor["directory"]).is_dir()  # noqa: ASYNC240  a local path, once
    assert not Path(executor["directory"]).exists()  # noqa: ASYNC240


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    async with running_cluster(EmulatorOptions(host=HOST, simulate=True)) as cluster:
        taken = EmulatorOptions(host=HOST, port=cluster.port, simulate=True)
        with pytest.raises(OSError, match="in use"):
            await EmulatedCluster(taken).start()
