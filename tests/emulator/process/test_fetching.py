"""Artifacts: what arrives in the sandbox, and how a fetch that fails is told."""

import asyncio
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from scheduler.emulator.process.fetching import Fetcher
from scheduler.emulator.process.launch_failed import LaunchFailed
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import CommandInfo, TaskStatus
from tests.emulator.process.agents import HOST, Agent, eventually

SCRIPT = b"#!/bin/sh\necho fetched\n"


def a_tar(names: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def a_zip(names: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in names.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


FILES = {
    "run.sh": SCRIPT,
    "app.tar.gz": gzip.compress(a_tar({"app/run.sh": SCRIPT})),
    "app.tar.xz": lzma.compress(a_tar({"app/run.sh": SCRIPT})),
    "app.zip": a_zip({"app/run.sh": SCRIPT}),
    "broken.tgz": b"no archive",
    "evil.tar": a_tar({"../../evil": b"x"}),
    "evil.zip": a_zip({"../../evil": b"x"}),
    "large": bytes(100_000),
    "bomb.zip": a_zip({"bomb": bytes(1_000_000)}),
}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == "moved":
            raise web.HTTPFound("/run.sh")
        if name == "stalled":
            response = web.StreamResponse(headers={"Content-Length": "10"})
            await response.prepare(request)
            await request.content.read()
            await anyway.wait()
            return response
        if name not in FILES:
            raise web.HTTPNotFound
        return web.Response(body=FILES[name])

    anyway = asyncio.Event()
    application = web.Application()
    application.add_routes([web.get("/{name}", serve)])
    server = web.AppRunner(application, shutdown_timeout=0.1)
    await server.setup()
    site = web.TCPSite(server, HOST, 0)
    await site.start()
    yield f"http://{HOST}:{server.addresses[0][1]}"
    anyway.set()
    await server.cleanup()


async def output(agent: Agent, command: str, *uris: str) -> str:
    """What a task with these URIs, in protobuf's text form, writes."""
    agent.launch("t", command, " ".join(f"command {{ uris {{ {one} }} }}" for one in uris))
    last = await agent.ended("t")
    assert last.state == mesos.TASK_FINISHED, last.message
    return agent.stdout("t")


async def test_an_executable_is_fetched_by_http(agent: Agent, url: str) -> None:
    assert await output(agent, "./run.sh", f'value: "{url}/run.sh?v=1" executable: true') == (
        "fetched\n"
    )


async def test_a_redirect_is_followed_and_the_file_named_as_asked(agent: Agent, url: str) -> None:
    uri = f'value: "{url}/moved" executable: true output_file: "bin/tool"'
    assert await output(agent, "bin/tool", uri) == "fetched\n"


@pytest.mark.parametrize("name", ["app.tar.gz", "app.tar.xz", "app.zip"])
async def test_archives_are_unpacked(agent: Agent, url: str, name: str) -> None:
    assert await output(agent, "app/run.sh", f'value: "{url}/{name}"') == "fetched\n"


async def test_an_archive_stays_packed_when_asked(agent: Agent, url: str) -> None:
    uri = f'value: "{url}/app.zip" extract: false'
    assert await output(agent, "ls", uri) == "app.zip\nstderr\nstdout\n"


async def test_files_of_the_host_are_copied(agent: Agent, tmp_path: Path) -> None:
    source = tmp_path / "a file.sh"
    source.write_bytes(SCRIPT)
    by_url = f'value: "{source.as_uri()}" executable: true'
    by_path = f'value: "{source}" output_file: "copy"'
    said = await output(agent, "'./a file.sh'; cat copy", by_url, by_path)
    assert said == "fetched\n" + SCRIPT.decode()


@pytest.mark.parametrize(
    "uri",
    [
        'value: "URL/missing"',
        'value: "URL/broken.tgz"',
        'value: "URL/evil.tar"',
        'value: "URL/run.sh" output_file: "../out"',
        'value: "URL/run.sh" output_file: "/tmp/out"',
        'value: "URL/"',
        'value: "http://127.77.6.1:1/nobody-listens"',
        'value: "http://[bad"',
        'value: "file:///no/such/file"',
        'value: "/etc"',
        'value: "/dev/zero"',
        'value: "relative"',
        'value: "hdfs://name/path"',
        'value: "ftp://127.77.6.1/x"',
    ],
)
async def test_what_cannot_be_fetched_fails_the_launch(agent: Agent, url: str, uri: str) -> None:
    agent.launch("t", "true", f"command {{ uris {{ {uri.replace('URL', url)} }} }}")
    last = await agent.ended("t")
    assert agent.states("t") == ["TASK_FAILED"]
    assert last.reason == TaskStatus.REASON_CONTAINER_LAUNCH_FAILED
    assert last.source == TaskStatus.SOURCE_AGENT
    assert "Failed to fetch" in last.message


async def test_a_zip_that_points_outside_stays_inside(agent: Agent, url: str) -> None:
    assert "evil" in await output(agent, "ls", f'value: "{url}/evil.zip"')


async def test_a_kill_ends_a_fetch_that_stalls(agent: Agent, url: str) -> None:
    agent.launch("t", "true", f'command {{ uris {{ value: "{url}/stalled" }} }}')
    await eventually(lambda: os.path.exists(agent.sandbox("t") / "stalled"))
    agent.kill("t")
    assert (await agent.ended("t")).reason == TaskStatus.REASON_TASK_KILLED_DURING_LAUNCH


@pytest.mark.parametrize("name", ["large", "bomb.zip"])
async def test_artifacts_are_bounded_packed_and_unpacked(
    url: str, name: str, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as threads:
        async with aiohttp.ClientSession() as http:
            fetcher = Fetcher(http, threads, bytes_max=50_000)
            with pytest.raises(LaunchFailed, match="larger than"):
                await fetcher.fetch([CommandInfo.URI(value=f"{url}/{name}")], tmp_path)
