"""/files/browse, read and download: what they answer, and that they show sandboxes only."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.emulator.process.agents import FRAMEWORK, HOST, Agent

BASE = f"/frameworks/{FRAMEWORK}/executors/t/runs"


class Files:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, call: str, **query: str | int) -> tuple[int, bytes]:
        async with self.session.get(f"/files/{call}", params=query) as response:
            return response.status, await response.read()

    async def read(self, path: str, **query: int) -> tuple[int, bytes]:
        """(offset, data)"""
        status, body = await self.get("read", path=path, **query)
        assert status == 200
        answer = json.loads(body.decode("utf-8", "surrogateescape"), strict=False)
        return answer["offset"], answer["data"].encode("utf-8", "surrogateescape")


@pytest.fixture
async def files(agent: Agent) -> AsyncIterator[Files]:
    """The files of an agent whose task `t` has written `hello` and a folder."""
    agent.launch("t", "printf hello; mkdir folder; printf inner > folder/inner")
    await agent.ended("t")
    application = web.Application()
    application.add_routes(agent.runner.routes())
    server = web.AppRunner(application, shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, HOST, 0).start()
    port = server.addresses[0][1]
    async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
        yield Files(session)
    await server.cleanup()


async def test_virtual_and_real_paths_lead_to_the_same_file(agent: Agent, files: Files) -> None:
    for base in (f"{BASE}/latest", f"{BASE}/c-t", str(agent.sandbox("t"))):
        assert await files.read(f"{base}/stdout", offset=0) == (0, b"hello")


async def test_a_read_gives_a_piece_by_bytes(files: Files) -> None:
    path = f"{BASE}/latest/stdout"
    assert await files.read(path, offset=1, length=3) == (1, b"ell")
    assert await files.read(path, offset=4, length=100) == (4, b"o")
    assert await files.read(path, offset=1, length=0) == (1, b"")
    assert await files.read(path, offset=500) == (500, b"")


async def test_without_an_offset_the_size_is_told(files: Files) -> None:
    path = f"{BASE}/latest/stdout"
    assert await files.read(path) == (5, b"")
    assert await files.read(path, offset=-1) == (5, b"")


async def test_a_read_gives_at_most_sixteen_pages(agent: Agent, files: Files) -> None:
    (agent.sandbox("t") / "large").write_bytes(bytes(200_000))
    _, data = await files.read(f"{BASE}/latest/large", offset=0, length=150_000)
    assert data == bytes(65_536)


async def test_every_byte_survives(agent: Agent, files: Files) -> None:
    every = bytes(range(256)) * 3 + "Grüße, 世界".encode() + b"\xf0\x9f"
    (agent.sandbox("t") / "bytes").write_bytes(every)
    assert await files.read(f"{BASE}/latest/bytes", offset=0) == (0, every)
    assert await files.get("download", path=f"{BASE}/latest/bytes") == (200, every)


async def test_browsing_lists_a_folder_with_virtual_paths(files: Files) -> None:
    status, body = await files.get("browse", path=f"{BASE}/latest")
    assert status == 200
    listed = {one.pop("path"): one for one in json.loads(body)}
    assert list(listed) == [f"{BASE}/latest/{name}" for name in ("folder", "stderr", "stdout")]
    stdout = listed[f"{BASE}/latest/stdout"]
    assert (stdout["mode"], stdout["size"], stdout["nlink"]) == ("-rw-r--r--", 5, 1)
    assert set(stdout) == {"mode", "size", "nlink", "uid", "gid", "mtime"}
    assert listed[f"{BASE}/latest/folder"]["mode"].startswith("d")


async def test_a_download_is_an_attachment(agent: Agent, files: Files) -> None:
    (agent.sandbox("t") / "large").write_bytes(os.urandom(700_000))
    async with files.session.get(
        "/files/download", params={"path": f"{BASE}/latest/large"}
    ) as response:
        assert response.status == 200
        assert response.content_type == "application/octet-stream"
        assert response.headers["Content-Disposition"] == 'attachment; filename="large"'
        assert await response.read() == (agent.sandbox("t") / "large").read_bytes()


@pytest.mark.parametrize(
    ("call", "query", "status"),
    [
        ("browse", {}, 400),
        ("read", {}, 400),
        ("download", {}, 400),
        ("browse", {"path": f"{BASE}/latest/none"}, 404),
        ("browse", {"path": f"{BASE}/latest/stdout"}, 404),
        ("read", {"path": f"{BASE}/latest/none"}, 404),
        ("read", {"path": f"/frameworks/{FRAMEWORK}/executors/none/runs/latest/stdout"}, 404),
        ("read", {"path": "relative"}, 404),
        ("read", {"path": f"{BASE}/latest/nul\0"}, 404),
        ("download", {"path": f"{BASE}/latest/none"}, 404),
        ("read", {"path": f"{BASE}/latest/folder"}, 400),
        ("download", {"path": f"{BASE}/latest/folder"}, 400),
        ("read", {"path": f"{BASE}/latest/stdout", "offset": "-2"}, 400),
        ("read", {"path": f"{BASE}/latest/stdout", "offset": "x"}, 400),
        ("read", {"path": f"{BASE}/latest/stdout", "offset": "0", "length": "-5"}, 400),
        ("read", {"path": f"{BASE}/latest/stdout", "offset": str(1 << 70)}, 400),
    ],
)
async def test_wrong_questions_are_refused(
    files: Files, call: str, query: dict[str, str], status: int
) -> None:
    assert (await files.get(call, **query))[0] == status


@pytest.mark.parametrize("call", ["browse", "read", "download"])
async def test_nothing_outside_the_sandboxes_is_shown(
    agent: Agent, files: Files, tmp_path: Path, call: str
) -> None:
    secret = tmp_path / "agent-0" / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden")
    sandbox = agent.sandbox("t")
    (sandbox / "link").symlink_to(secret / "key")
    (sandbox / "linked").symlink_to(secret)
    (sandbox / "hop").symlink_to(sandbox / "link")
    (tmp_path / "agent-0" / "slaves-twin").mkdir()
    climb = "../" * 9
    outside = [
        "/etc",
        "/etc/passwd",
        "/",
        str(secret),
        str(secret / "key"),
        str(tmp_path / "agent-0" / "slaves-twin"),
        f"{sandbox}/{climb}secret/key",
        f"{sandbox}/{climb}secret",
        f"{BASE}/latest/{climb}secret/key",
        f"{BASE}/../../../../../../secret",
        f"{BASE}//etc/passwd",
        f"{BASE}/latest//etc",
        f"{BASE}/latest/link",
        f"{BASE}/latest/linked",
        f"{BASE}/latest/linked/key",
        f"{BASE}/latest/hop",
    ]
    for path in outside:
        status, body = await files.get(call, path=path, offset=0)
        assert status == 404, path
        assert b"hidden" not in body


async def test_a_link_within_the_sandbox_is_followed(agent: Agent, files: Files) -> None:
    (agent.sandbox("t") / "link").symlink_to("folder/inner")
    assert await files.read(f"{BASE}/latest/link", offset=0) == (0, b"inner")


async def test_a_pipe_is_refused_and_not_waited_for(agent: Agent, files: Files) -> None:
    os.mkfifo(agent.sandbox("t") / "pipe")
    assert (await files.get("read", path=f"{BASE}/latest/pipe", offset=0))[0] == 400


async def test_a_download_that_is_cut_short_is_noticed(agent: Agent, files: Files) -> None:
    large = agent.sandbox("t") / "large"
    large.touch()
    os.truncate(large, 1 << 30)
    async with files.session.get(
        "/files/download", params={"path": f"{BASE}/latest/large"}
    ) as response:
        await response.content.read(1000)
        os.truncate(large, 0)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
