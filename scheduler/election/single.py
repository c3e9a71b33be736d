"""Leading alone: the holder of a lock file leads for as long as it lives.

There is nobody to take over, so there is no waiting: a second daemon on the same store is told who
holds it, and ends. The lock is the kernel's (flock) and goes with its process, however that ends;
the file's text only says whose it is, and which term this is. The term outlives the daemon: it is
synced before office is taken, and grows by one each time.

It must not touch the store; neighbour: `open.py` chooses it by the setting `store`.
"""

import asyncio
import datetime
import errno
import fcntl
import os
import re
import socket
from pathlib import Path
from typing import Never

from scheduler.errors import ElectionError, StoreLocked

WATCH_S = 2.0
"""How often the lock file is looked at. The lock itself cannot be lost, only its name."""

OPENS_MAX = 5
"""Times that the file is opened anew because its name went to another one in between."""

TEXT_BYTES_MAX = 1_000

_TEXT = re.compile(rb"term=(\d{1,18}) (pid=\d+ host=\S+ since=\S+)\n")


class SingleElection:
    """Office by exclusive lock. `lock` is the path of the lock file, beside the store's."""

    def __init__(self, lock: Path) -> None:
        self._lock = lock.absolute()
        self._descriptor: int | None = None

    async def campaign(self) -> int:
        """The term, at once. Raises `StoreLocked`, with the holder, when another process holds the
        lock, and `ElectionError` when the file cannot be used."""
        descriptor = self._take()
        try:
            term = self._next_term(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return term

    def _take(self) -> int:
        for _ in range(OPENS_MAX):
            descriptor = self._open()
            try:
                self._flock(descriptor)
                if self._named(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            # Removed or replaced after it was opened: this lock would keep nobody out.
            os.close(descriptor)
        raise ElectionError(f"{self._lock}: something keeps replacing the lock file")

    def _open(self) -> int:
        try:
            return os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ElectionError(
                f"{self._lock}: the lock file cannot be opened: {error.strerror}; its directory "
                "must exist and be writable for this user"
            ) from error

    def _flock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreLocked(
                f"{self._lock}: another offerd uses this store ({self._holder(descriptor)}); "
                "stop it first, or give this one a store of its own"
            ) from error
        except OSError as error:
            raise ElectionError(f"{self._lock}: it cannot be locked: {error.strerror}") from error

    def _holder(self, descriptor: int) -> str:
        """As the holder wrote it; it may be about to, so anything is possible here."""
        found = _TEXT.match(os.pread(descriptor, TEXT_BYTES_MAX, 0))
        return found[2].decode(errors="replace") if found else "it has not said who it is"

    def _next_term(self, descriptor: int) -> int:
        """Counts the term up, durably, and says who we are."""
        try:
            before = os.pread(descriptor, TEXT_BYTES_MAX, 0)
            term = self._term_in(before) + 1
            text = (
                f"term={term} pid={os.getpid()} host={socket.gethostname() or '?'} "
                f"since={datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')}\n"
            ).encode()
            # One write within one sector, then the cut: a crash between the two leaves a whole
            # first line, and no more than that is read.
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
            os.fsync(descriptor)
            _sync_directory(self._lock.parent)
        except OSError as error:
            raise ElectionError(
                f"{self._lock}: the term cannot be stored: {error.strerror}"
                + ("; free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "")
            ) from error
        return term

    def _term_in(self, text: bytes) -> int:
        if not text:
            return 0
        found = _TEXT.match(text)
        if found is None:
            raise ElectionError(
                f"{self._lock}: it is not a lock file of offerd; if no offerd runs here, remove it "
                "(terms then start again at 1)"
            )
        return int(found[1])

    def _named(self, descriptor: int) -> bool:
        """Whether the file that is locked is still the one that others would open."""
        try:
            by_name = os.stat(self._lock)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ElectionError(
                f"{self._lock}: it cannot be looked at: {error.strerror}"
            ) from error
        return os.path.samestat(by_name, os.fstat(descriptor))

    def leads(self) -> bool:
        """The kernel takes the lock from nobody who lives."""
        return self._descriptor is not None

    async def watch(self) -> Never:
        """Returns never. Raises `ElectionError` when the lock file lost its name: the next daemon
        would lock another file and lead beside this one."""
        while True:
            if self._descriptor is None:
                raise ElectionError(f"{self._lock}: it is not held")
            if not self._named(self._descriptor):
                raise ElectionError(
                    f"{self._lock}: the lock file was removed or replaced, so another daemon could "
                    "start on this store; leave it alone while a daemon runs"
                )
            await asyncio.sleep(WATCH_S)

    async def resign(self) -> None:
        """Lets the lock go; the file stays, for its term."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Not by closing alone: a process that is just being started has a copy for a moment.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


class SoleElection:
    """Office without a lock, for a store that nobody else can see (`memory:`). Always term 1."""

    async def campaign(self) -> int:
        return 1

    def leads(self) -> bool:
        return True

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def resign(self) -> None:
        return None


def _sync_directory(directory: Path) -> None:
    """So that the name of a new file is as durable as what is in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
