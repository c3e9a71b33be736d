"""The listening server: start, and stop in bounded time."""

import asyncio
import socket
import time

import aiohttp
import pytest

from scheduler.api import server as server_module
from scheduler.api.server import ApiServer
from tests.api.conftest import DEFAULTS, HOST
from tests.api.fake_front import FakeFront
from tests.api.test_access import SlowFront
from tests.api.test_job_routes import WEB


async def test_it_answers_until_it_is_stopped() -> None:
    server = ApiServer(FakeFront(), defaults=DEFAULTS, host=HOST, port=0)
    await server.start()
    url = f"http://{HOST}:{server.port}/healthz"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert response.status == 200
        await server.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_stopping_ends_in_time_with_a_request_that_never_ends() -> None:
    front = SlowFront()
    server = ApiServer(front, defaults=DEFAULTS, host=HOST, port=0)
    await server.start()
    async with aiohttp.ClientSession() as session:
        url = f"http://{HOST}:{server.port}/v1/jobs"
        request = asyncio.create_task(session.post(url, json=WEB).__aenter__())
        await asyncio.wait_for(front.asked.acquire(), 5)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 2 * server_module.SHUTDOWN_S + 1
        with pytest.raises(aiohttp.ClientError):
            await request


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        server = ApiServer(FakeFront(), defaults=DEFAULTS, host=HOST, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="address"):
            await server.start()
        await server.stop()
