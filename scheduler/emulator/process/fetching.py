"""Brings a task's URIs into its sandbox before it starts, as the Mesos fetcher does.

Knows absolute paths, file:// and http(s)://; unpacks archives unless told not to, and sets the
executable bit. Bounds in bytes and entries; the time is bounded by `task`. No cache, no Hadoop.
Whatever an archive or `output_file` says, nothing is written outside the sandbox.
"""

import asyncio
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp

from scheduler.emulator.process.launch_failed import LaunchFailed
from scheduler.mesos.proto.mesos_v1_pb2 import CommandInfo

ARTIFACT_BYTES_MAX: Final = 1 << 30
UNPACKED_BYTES_MAX: Final = 4 << 30
ENTRIES_MAX: Final = 100_000
SILENCE_S: Final = 60.0
"""Mesos gives up a download that stalls for a minute."""
CHUNK_BYTES: Final = 1 << 18
TAR_ENDINGS: Final = (
    ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz",
)  # fmt: skip

Result = TypeVar("Result")


class Fetcher:
    """`bytes_max` bounds one artifact, packed; four times as much unpacked."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        threads: Executor,
        bytes_max: int = ARTIFACT_BYTES_MAX,
    ) -> None:
        self._http = http
        self._threads = threads
        self._bytes_max = bytes_max
        self._unpacked_max = bytes_max * (UNPACKED_BYTES_MAX // ARTIFACT_BYTES_MAX)

    async def fetch(self, uris: Iterable[CommandInfo.URI], directory: Path) -> None:
        """Fetches all, one after another; raises LaunchFailed at the first that can't be had."""
        for uri in uris:
            try:
                await self._fetch_one(uri, directory)
            except (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
                raise LaunchFailed(f"Failed to fetch '{uri.value}': {error}") from error
            except aiohttp.ClientError as error:
                said = f"{type(error).__name__} {error}"
                raise LaunchFailed(f"Failed to fetch '{uri.value}': {said}") from error

    async def _fetch_one(self, uri: CommandInfo.URI, directory: Path) -> None:
        name = uri.output_file or unquote(urlsplit(uri.value).path).rpartition("/")[2]
        target = _inside(directory, name)
        await self._on_thread(partial(target.parent.mkdir, parents=True, exist_ok=True))
        if uri.value.startswith(("http://", "https://")):
            await self._download(uri.value, target)
        else:
            await self._on_thread(partial(_copy, uri.value, target, self._bytes_max))
        if uri.executable:
            await self._on_thread(partial(target.chmod, 0o755))
        elif uri.extract and name.endswith(TAR_ENDINGS):
            await self._on_thread(partial(_untar, target, directory, self._unpacked_max))
        elif uri.extract and name.endswith(".zip"):
            await self._on_thread(partial(_unzip, target, directory, self._unpacked_max))

    async def _download(self, url: str, target: Path) -> None:
        silence = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        async with self._http.get(url, timeout=silence) as response:
            if response.status != 200:
                raise OSError(f"status {response.status}")
            written = 0
            with await self._on_thread(lambda: target.open("wb")) as file:
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    written += len(chunk)
                    _bound(written, self._bytes_max)
                    await self._on_thread(partial(file.write, chunk))

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _inside(directory: Path, name: str) -> Path:
    """ "output_file: name in the sandbox (may contain directories)"."""
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise OSError(f"{name!r} is no place in the sandbox")
    return directory / name


def _bound(amount: int, amount_max: int) -> None:
    if amount > amount_max:
        raise OSError(f"larger than {amount_max} bytes")


def _copy(address: str, target: Path, bytes_max: int) -> None:
    path = unquote(urlsplit(address).path) if address.startswith("file://") else address
    if not path.startswith("/"):
        raise OSError("only absolute paths, file:// and http(s):// can be fetched")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a regular file")
    _bound(os.stat(path).st_size, bytes_max)
    shutil.copyfile(path, target)


def _untar(archive: Path, directory: Path, bytes_max: int) -> None:
    unpacked = 0
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            unpacked += member.size
            _bound(unpacked, bytes_max)
            if number >= ENTRIES_MAX:
                raise OSError(f"more than {ENTRIES_MAX} entries")
            # This filter refuses what would end outside the folder, by name or by link.
            tar.extract(member, directory, filter="data")


def _unzip(archive: Path, directory: Path, bytes_max: int) -> None:
    with zipfile.ZipFile(archive) as entries:
        members = entries.infolist()
        _bound(sum(member.file_size for member in members), bytes_max)
        if len(members) > ENTRIES_MAX:
            raise OSError(f"more than {ENTRIES_MAX} entries")
        for member in members:
            # `extract` drops drives, leading slashes and "..", and makes no links.
            place = entries.extract(member, directory)
            permissions = (member.external_attr >> 16) & 0o777
            if permissions and not member.is_dir():
                os.chmod(place, permissions)
