"""An agent's /files/browse, /files/read and /files/download over the sandboxes of its tasks.

Paths are virtual, `/frameworks/<FID>/executors/<EID>/runs/<CID or latest>/…`, or real. Whatever a
path says and whatever links a task has left, nothing outside the agent's sandboxes is shown: what
was opened is looked at, not what was asked for.
"""

import asyncio
import grp
import json
import os
import pwd
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

PIECE_BYTES_MAX: Final = 64 * 1024
""" "At most 16 pages per call whatever length"."""
DOWNLOAD_PIECE_BYTES: Final = 1 << 18
JSON: Final = "application/json"

Result = TypeVar("Result")


class SandboxFiles:
    """`root` is the real folder that holds all sandboxes; `sandboxes` the latest run by framework
    and executor, kept up to date by its owner."""

    def __init__(
        self, root: Path, sandboxes: Mapping[tuple[str, str], Path], threads: Executor
    ) -> None:
        self._root = root
        self._sandboxes = sandboxes
        self._threads = threads

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.get("/files/browse", self._browse),
            web.get("/files/read", self._read),
            web.get("/files/download", self._download),
        ]

    async def _browse(self, request: web.Request) -> web.StreamResponse:
        path = _asked(request)
        entries = await self._on_thread(partial(self._list, path))
        return web.json_response(entries)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        path = _asked(request)
        offset, length = _number(request, "offset"), _number(request, "length")
        start, data = await self._on_thread(partial(self._piece, path, offset, length))
        # "data is bytes put in a JSON string without UTF-8 checking": Latin-1 keeps each byte.
        text = json.dumps(data.decode("latin-1"), ensure_ascii=False)
        body = f'{{"offset":{start},"data":{text}}}'.encode("latin-1")
        return web.Response(body=body, content_type=JSON)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = _asked(request)
        file = await self._on_thread(partial(self._open_file, path))
        try:
            left = os.fstat(file).st_size
            name = path.rstrip("/").rpartition("/")[2]
            response = web.StreamResponse(
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Disposition": f"attachment; filename={json.dumps(name)}",
                    "Content-Length": str(left),
                }
            )
            await response.prepare(request)
            while left:
                piece = await self._on_thread(
                    partial(os.read, file, min(left, DOWNLOAD_PIECE_BYTES))
                )
                if not piece:
                    response.force_close()  # cut short meanwhile; the reader must notice
                    break
                left -= len(piece)
                await response.write(piece)
            return response
        finally:
            os.close(file)

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- on a thread

    def _list(self, path: str) -> list[dict[str, object]]:
        folder = self._open(path)
        try:
            if not stat.S_ISDIR(os.fstat(folder).st_mode):
                raise web.HTTPNotFound(text=f"{path} is not a directory")
            with os.scandir(folder) as entries:
                found = [(one.name, one.stat(follow_symlinks=False)) for one in entries]
        finally:
            os.close(folder)
        base = path.rstrip("/")
        return [_entry(f"{base}/{name}", status) for name, status in sorted(found)]

    def _piece(self, path: str, offset: int, length: int) -> tuple[int, bytes]:
        """(offset, bytes); offset -1 asks for the size."""
        file = self._open_file(path)
        try:
            if offset == -1:
                return os.fstat(file).st_size, b""
            wanted = PIECE_BYTES_MAX if length == -1 else min(length, PIECE_BYTES_MAX)
            return offset, os.pread(file, wanted, offset)
        finally:
            os.close(file)

    def _open_file(self, path: str) -> int:
        file = self._open(path)
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode):
            return file
        os.close(file)
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise web.HTTPBadRequest(text=f"{path} is {kind}")

    def _open(self, path: str) -> int:
        """A file descriptor of what `path` names, if that is in a sandbox; raises HTTPNotFound.

        The link may be turned elsewhere between two looks, hence the second one. A pipe must not
        make it wait for a writer.
        """
        try:
            real = os.path.realpath(self._located(path), strict=True)
            if self._is_inside(real):
                opened = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                if self._is_inside(os.readlink(f"/proc/self/fd/{opened}")):
                    return opened
                os.close(opened)
        except (OSError, ValueError):  # ValueError: a NUL byte
            pass
        raise web.HTTPNotFound(text=f"{path} not found")

    def _located(self, path: str) -> str:
        """The real path that a virtual one stands for; others are real already."""
        match path.split("/"):
            case ["", "frameworks", framework, "executors", executor, "runs", *rest]:
                latest = self._sandboxes.get((framework, executor))
                if latest is None:
                    raise FileNotFoundError(path)
                return os.path.join(latest.parent, *rest)
            case ["", *_]:
                return path
            case _:
                raise FileNotFoundError(path)

    def _is_inside(self, real: str) -> bool:
        return real.startswith(f"{self._root}/")


def _asked(request: web.Request) -> str:
    path = request.query.get("path", "")
    if not path:
        raise web.HTTPBadRequest(text="Expecting 'path=value' in query.")
    return path


def _number(request: web.Request, name: str) -> int:
    """A count of bytes; -1 where it is absent."""
    text = request.query.get(name, "-1")
    try:
        number = int(text)
    except ValueError:
        raise web.HTTPBadRequest(text=f"Failed to parse {name}: '{text}'.") from None
    if not -1 <= number < 1 << 63:
        raise web.HTTPBadRequest(text=f"Negative or too large {name}: {number}.")
    return number


def _entry(path: str, status: os.stat_result) -> dict[str, object]:
    return {
        "path": path,
        "mode": stat.filemode(status.st_mode),
        "nlink": status.st_nlink,
        "uid": _user(status.st_uid),
        "gid": _group(status.st_gid),
        "size": status.st_size,
        "mtime": int(status.st_mtime),
    }


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
