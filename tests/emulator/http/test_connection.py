"""The master's port, byte by byte."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from scheduler.emulator.cluster import EmulatedCluster
from tests.emulator.http.client import DEADLINE_S, HOST, JSON, PATH, a_cluster, subscribed

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(cluster: EmulatedCluster) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(HOST, cluster.port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.close()


def post(call: dict[str, Any], stream_id: str, *, path: str = PATH, extra: str = "") -> bytes:
    body = json.dumps(call).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
        f"Mesos-Stream-Id: {stream_id}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    lines = [line.partition(": ") for line in head[1:] if line]
    headers = {name.lower(): value for name, _, value in lines}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, body


async def test_pipelined_calls_are_answered_in_order() -> None:
    async with (
        a_cluster() as (cluster, web),
        subscribed(web) as framework,
        connected(cluster) as (reader, writer),
    ):
        revive = {"type": "REVIVE", "framework_id": framework.framework_id}
        stranger = {"type": "REVIVE", "framework_id": {"value": "unknown"}}
        for call in (revive, stranger, revive):
            writer.write(post(call, framework.stream_id))
        statuses = [(await read_answer(reader))[0] for _ in range(3)]
        assert statuses == [202, 400, 202]


async def test_a_call_may_arrive_split_anywhere() -> None:
    async with (
        a_cluster() as (cluster, web),
        subscribed(web) as framework,
        connected(cluster) as (reader, writer),
    ):
        revive = {"type": "REVIVE", "framework_id": framework.framework_id}
        data = post(revive, framework.stream_id)
        for at in range(1, len(data)):
            writer.write(data[:at])
            await asyncio.sleep(0)
            writer.write(data[at:])
            assert (await read_answer(reader))[0] == 202


async def test_a_call_that_was_read_is_carried_out_though_its_sender_is_gone() -> None:
    async with a_cluster() as (cluster, web), subscribed(web) as framework:
        suppress = {"type": "SUPPRESS", "framework_id": framework.framework_id}
        async with connected(cluster) as (_, writer):
            writer.write(post(suppress, framework.stream_id) * 3)
        name = f"master/frameworks/test/{framework.framework_id['value']}/calls/suppress"
        async with asyncio.timeout(DEADLINE_S):
            count = 0
            while count < 3:
                async with web.get("/metrics/snapshot") as page:
                    count = (await page.json()).get(name, 0)
        assert count == 3


async def test_a_request_behind_a_subscription_is_carried_out_and_not_answered() -> None:
    async with a_cluster() as (cluster, web), connected(cluster) as (reader, writer):
        info = {"user": "root", "name": "test", "id": {"value": "mine"}}
        subscribe = {
            "type": "SUBSCRIBE",
            "framework_id": {"value": "mine"},
            "subscribe": {"framework_info": info},
        }
        data = post(subscribe, "").replace(b"Mesos-Stream-Id: \r\n", b"")
        writer.write(data + b"GET /master/health HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert b'"SUBSCRIBED"' in await reader.readuntil(b"HEARTBEAT")
        teardown = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": "mine"}}}
        async with web.post("/api/v1", json=teardown) as answer:
            assert answer.status == 200
        rest = await reader.readuntil(b"HTTP/1.1 200 OK")
        assert b"\r\n0\r\n\r\n" in rest


async def test_what_is_not_http_is_refused_and_the_connection_closed() -> None:
    async with a_cluster() as (cluster, _), connected(cluster) as (reader, writer):
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_connection_is_closed_when_the_client_asks_for_it() -> None:
    async with a_cluster() as (cluster, _), connected(cluster) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = await reader.read()
        assert data.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
        assert b"Server:" not in data


async def test_bodies_may_be_chunked_and_announced() -> None:
    async with a_cluster() as (cluster, _), connected(cluster) as (reader, writer):
        head = (
            f"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
            "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        )
        writer.write(head.encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        body = b'{"type":"GET_HEALTH"}'
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        status, _, answer = await read_answer(reader)
        assert (status, json.loads(answer)["get_health"]) == (200, {"healthy": True})


async def test_large_answers_are_zipped_where_that_is_accepted() -> None:
    async with a_cluster(agents=5) as (cluster, _), connected(cluster) as (reader, writer):
        for extra in ("", "Accept-Encoding: gzip\r\n"):
            writer.write(f"GET /slaves HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
        _, plain_headers, plain = await read_answer(reader)
        _, headers, zipped = await read_answer(reader)
        assert "content-encoding" not in plain_headers
        assert headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(zipped)).keys() == json.loads(plain).keys()


async def test_a_body_that_is_not_the_gzip_it_says_is_a_bad_request() -> None:
    async with a_cluster() as (cluster, _), connected(cluster) as (reader, writer):
        writer.write(post({"type": "GET_HEALTH"}, "", extra="Content-Encoding: gzip\r\n"))
        assert (await read_answer(reader))[0] == 400
