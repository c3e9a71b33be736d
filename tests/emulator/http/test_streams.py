import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.emulator.http.client import (
    DEADLINE_S,
    JSON,
    PROTOBUF,
    SUBSCRIBE,
    Framework,
    a_cluster,
    acknowledge,
    launch,
    subscribed,
)


async def run_task(framework: Framework, task_id: str, command: str) -> list[str]:
    """Launches on the next offer and acknowledges everything; the states seen."""
    offers = await framework.next("OFFERS")
    assert await framework.call(launch(offers["offers"]["offers"][0], task_id, command)) == 202
    states: list[str] = []
    while not states or states[-1] in ("TASK_STARTING", "TASK_RUNNING"):
        status = (await framework.next("UPDATE"))["update"]["status"]
        states.append(status["state"])
        assert await framework.call(acknowledge(status)) == 202
    return states


@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
async def test_a_framework_subscribes_launches_and_acknowledges(kind: str) -> None:
    async with a_cluster(agents=2) as (cluster, web), subscribed(web, kind) as framework:
        assert framework.response.headers["Content-Type"] == kind
        assert framework.response.headers["Transfer-Encoding"] == "chunked"
        assert "Server" not in framework.response.headers
        assert (await framework.next())["type"] == "HEARTBEAT"
        states = await run_task(framework, "t", "exit 3")
        assert states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"]
        record = cluster.tasks()["t"]
        assert (record.launches, record.ends, record.acknowledged) == (1, ["TASK_FAILED"], 1)


async def test_the_first_record_of_a_json_stream_is_framed_by_its_length() -> None:
    async with a_cluster() as (_, web):
        headers = {"Content-Type": JSON, "Accept": JSON}
        async with web.post("/api/v1/scheduler", json=SUBSCRIBE, headers=headers) as response:
            data = await response.content.readany()
            length, _, record = data.partition(b"\n")
            assert record[: int(length)].startswith(b'{"type":"SUBSCRIBED"')


async def test_heartbeats_come_in_their_interval() -> None:
    async with a_cluster(heartbeat_interval_s=0.05) as (_, web), subscribed(web) as framework:
        for _ in range(3):
            await framework.next("HEARTBEAT")


async def test_a_closed_stream_disconnects_the_framework() -> None:
    async with a_cluster() as (_, web):
        async with subscribed(web) as framework:
            framework_id = framework.framework_id["value"]
            assert (await shown_framework(web, framework_id))["connected"]

        async def disconnected() -> bool:
            return not (await shown_framework(web, framework_id))["connected"]

        await eventually(disconnected)


async def test_a_second_stream_ends_the_first_with_an_error() -> None:
    async with a_cluster() as (_, web), subscribed(web) as first:
        again: dict[str, Any] = {**SUBSCRIBE, "framework_id": first.framework_id}
        info = {**SUBSCRIBE["subscribe"]["framework_info"], "id": first.framework_id}
        again["subscribe"] = {"framework_info": info}
        async with subscribed(web, PROTOBUF, again) as second:
            error = await first.next("ERROR")
            assert error["error"]["message"] == "Framework failed over"
            with pytest.raises(EOFError):
                await first.next()
            assert await first.call({"type": "REVIVE"}) == 400
            assert await second.call({"type": "REVIVE"}) == 202


async def test_a_dropped_stream_ends_and_calls_are_then_forbidden() -> None:
    async with a_cluster() as (cluster, web), subscribed(web) as framework:
        cluster.drop_streams()
        with pytest.raises((EOFError, aiohttp.ClientPayloadError)):
            await framework.next("ERROR")
        assert await framework.call({"type": "REVIVE"}) == 403


async def test_a_failover_ends_streams_answers_503_and_brings_another_master() -> None:
    async with a_cluster(agent_return_s_max=0.1) as (cluster, web), subscribed(web) as framework:
        states = await run_task(framework, "t", "true")
        assert states[-1] == "TASK_FINISHED"
        async with web.post(f"{cluster.url}/emulator/failover?recovering=0.2"):
            pass
        with pytest.raises((EOFError, aiohttp.ClientPayloadError)):
            await framework.next("ERROR")
        assert await framework.call({"type": "REVIVE"}) == 503

        async def elected() -> bool:
            return await framework.call({"type": "REVIVE"}) != 503

        await eventually(elected)
        # The next master never heard of a framework without tasks.
        assert await framework.call({"type": "REVIVE"}) == 400


async def test_agents_are_lost_and_return_over_http() -> None:
    settings = {"agent_ping_timeout_s": 0.02, "agents": 1}
    async with a_cluster(**settings) as (cluster, web), subscribed(web) as framework:
        offers = await framework.next("OFFERS")
        await framework.call(launch(offers["offers"]["offers"][0], "t", "serve"))
        for _ in range(2):
            status = (await framework.next("UPDATE"))["update"]["status"]
            await framework.call(acknowledge(status))
        async with web.post("/emulator/agents/0/lose") as answer:
            assert answer.status == 200
        status = (await framework.next("UPDATE"))["update"]["status"]
        assert (status["state"], status["reason"]) == ("TASK_UNREACHABLE", "REASON_AGENT_REMOVED")
        async with web.post("/emulator/agents/0/return") as answer:
            assert answer.status == 200
        status = (await framework.next("UPDATE"))["update"]["status"]
        assert (status["state"], status["reason"]) == ("TASK_RUNNING", "REASON_AGENT_REREGISTERED")
        async with web.post("/emulator/agents/7/lose") as answer:
            assert answer.status == 404
        assert cluster.tasks()["t"].launches == 1


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        for pause_s in itertools.repeat(0.01):
            if await holds():
                return
            await asyncio.sleep(pause_s)


async def shown_framework(web: aiohttp.ClientSession, framework_id: str) -> dict[str, Any]:
    async with web.get("/master/frameworks", params={"framework_id": framework_id}) as answer:
        (shown,) = (await answer.json())["frameworks"]
        assert isinstance(shown, dict)
        return shown
