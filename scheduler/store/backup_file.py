"""Backups as files: lines of JSON, the first says what it is, the last how much there is of it.

    {"offerd_backup": 1, "offerd": "0.1.0", "taken_at": 1764163200.0, "source": "etcd, revision 7"}
    {"path": "jobs/web", "value": "<base64 of the record as stores keep it>"}
    {"rows": 1, "sha256": "<of every byte before this line>"}

A file is whole or not there: it is written beside its name, synced and renamed. It is read to its
end before anything of it is used. It may hold secrets of jobs, so it is its owner's alone.
Neighbour: `records` (what a value is).
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from scheduler.errors import BackupUnusable
from scheduler.store.records import Row

FORMAT: Final = 1
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""No store keeps a record that is nearly as long."""


class Header(msgspec.Struct, frozen=True):
    """`offerd` is the version that took it, `source` says of which store and moment it is."""

    offerd: str
    taken_at: float
    source: str
    offerd_backup: int = FORMAT


class _Line(msgspec.Struct, frozen=True, gc=False):
    path: str
    value: bytes


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: int
    sha256: str


class _Format(msgspec.Struct, frozen=True):
    offerd_backup: int


def write_backup(path: Path, header: Header, rows: Iterable[Row]) -> int:
    """Gives the number of rows. Raises `BackupUnusable` for a name that is taken already, and where
    the file cannot be written."""
    if path.exists():
        raise BackupUnusable(f"{path}: there is such a file already; name another one")
    try:
        with _beside(path) as (file, name):
            count = _write(file, header, rows)
            file.flush()
            os.fsync(file.fileno())
            # Unlike a rename it fails where somebody else took the name meanwhile.
            os.link(name, path)
        _sync(path.parent)
    except OSError as error:
        raise BackupUnusable(f"{path}: it cannot be written: {error.strerror}") from error
    return count


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """A file of mode 0600 in the same folder, and its name, which is gone in the end."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file, name
    finally:
        os.unlink(name)


def _write(file: BinaryIO, header: Header, rows: Iterable[Row]) -> int:
    encoder, digest, count = msgspec.json.Encoder(), hashlib.sha256(), 0

    def write(value: object) -> None:
        line = encoder.encode(value) + b"\n"
        digest.update(line)
        file.write(line)

    write(header)
    for path, value in rows:
        write(_Line(path, value))
        count += 1
    write(_End(count, digest.hexdigest()))
    return count


def _sync(folder: Path) -> None:
    """So that the name is as durable as what is in the file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_backup(path: Path) -> tuple[Header, list[Row]]:
    """The whole of it, or `BackupUnusable` with what is wrong: cut short, altered, of a newer
    version, or no backup at all."""
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise BackupUnusable(f"{path}: it cannot be read: {error.strerror}") from error


def _read(path: Path, file: BinaryIO) -> tuple[Header, list[Row]]:
    first = file.readline(LINE_BYTES_MAX)
    header = _header(path, first)
    digest, rows = hashlib.sha256(first), list[Row]()
    line_decoder = msgspec.json.Decoder(_Line)
    while line := file.readline(LINE_BYTES_MAX):
        if not line.endswith(b"\n"):
            break
        if line.startswith(b'{"rows":'):
            _check_end(path, line, len(rows), digest.hexdigest())
            if file.read(1):
                raise BackupUnusable(f"{path}: it was altered: more follows behind its end")
            return header, rows
        try:
            row = line_decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            number = len(rows) + 2
            raise BackupUnusable(f"{path}: it was altered: line {number}: {error}") from error
        digest.update(line)
        rows.append((row.path, row.value))
    raise BackupUnusable(f"{path}: it is cut short: it ends after {len(rows)} records")


def _header(path: Path, line: bytes) -> Header:
    try:
        number = msgspec.json.decode(line, type=_Format).offerd_backup
        if number > FORMAT:
            raise BackupUnusable(
                f"{path}: it was taken by a newer offerd (format {number}, this one knows "
                f"{FORMAT}); use that version"
            )
        return msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupUnusable(f"{path}: it is no backup of offerd's") from error


def _check_end(path: Path, line: bytes, rows: int, digest: str) -> None:
    try:
        end = msgspec.json.decode(line, type=_End)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupUnusable(f"{path}: it was altered: its last line: {error}") from error
    if (end.rows, end.sha256) != (rows, digest):
        raise BackupUnusable(
            f"{path}: it was altered: its checksum or its number of records ({end.rows}, there are "
            f"{rows}) is another"
        )
