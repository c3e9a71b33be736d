"""One SQLite file of records: open, read a page, write a transaction, read or replace it whole.
Synchronous, and used by one thread only (that of `SqliteStore`); it knows nothing of the loop.

Durability is SQLite's: a write-ahead log, synced at each commit (`synchronous=FULL`). SQLite's
errors leave here as ours: `StoreRefused` for what may pass (full, locked, no right, I/O error),
`StoreUnreadable` for what will not.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from scheduler.core.records import Record
from scheduler.errors import StoreError, StoreRefused, StoreUnreadable
from scheduler.store.records import Row, decode

FORMAT = 1
"""Of the tables; a record's value carries a schema number of its own."""

LOCK_WAIT_S = 1.0
"""How long somebody else's lock (a backup, an operator's sqlite3) is waited for in one go."""

SQLITE_VERSION_MIN = (3, 32, 0)
"""The first one that takes 32,766 parameters in a statement."""

HEADER_BYTES = 100

STATEMENTS_CACHED = 16
"""Statements differ by their number of rows, and a large one takes about a megabyte."""

_ADVICE = {
    sqlite3.SQLITE_FULL: "no space is left; free some",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable for this user",
    sqlite3.SQLITE_PERM: "make the file and its directory writable for this user",
    sqlite3.SQLITE_CANTOPEN: "look at the directory and its rights",
    sqlite3.SQLITE_IOERR: "look at the disk and at the limits of this process",
    sqlite3.SQLITE_BUSY: "another process holds its lock",
    sqlite3.SQLITE_LOCKED: "another process holds its lock",
    sqlite3.SQLITE_PROTOCOL: "another process holds its lock",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}
"""By primary result code: those that may pass, and what to do about them."""

_CREATE = """
BEGIN IMMEDIATE;
CREATE TABLE offerd_schema (format INTEGER NOT NULL);
INSERT INTO offerd_schema VALUES (%d);
CREATE TABLE records (path TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL);
COMMIT;
"""


class SqliteFile:
    def __init__(self, path: Path) -> None:
        # Resolved, as SQLite does it to find the log of a file behind a link.
        self._path = path.resolve()
        self._wal = self._path.with_name(self._path.name + "-wal")
        self._connection: sqlite3.Connection | None = None
        self._identities: tuple[object, ...] = ()

    def open(self) -> None:
        """Makes the file when there is none (mode 0600) and checks it whole, which takes 35 ms for
        100,000 instances. Raises `StoreRefused` or `StoreUnreadable`."""
        if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
            raise StoreRefused(
                f"{self._path}: this Python comes with SQLite {sqlite3.sqlite_version}; "
                f"{'.'.join(map(str, SQLITE_VERSION_MIN))} or newer is needed"
            )
        self._make_file()
        with self._own_errors():
            connection = sqlite3.connect(
                self._path,
                timeout=LOCK_WAIT_S,
                isolation_level=None,
                cached_statements=STATEMENTS_CACHED,
            )
            self._connection = connection
            try:
                self._prepare(connection)
            except BaseException:
                self.close()
                raise
        self._identities = self._identities_now()

    def _make_file(self) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            size = os.stat(self._path).st_size
        except FileNotFoundError as error:
            raise StoreRefused(
                f"{self._path}: there is no directory {self._path.parent}; make it first"
            ) from error
        except OSError as error:
            raise StoreRefused(f"{self._path}: it cannot be opened: {error.strerror}") from error
        # SQLite takes less than a header for an empty database.
        if 0 < size < HEADER_BYTES:
            raise self._damaged(f"it ends after {size} bytes")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreRefused(
                f"{self._path}: this file system does not carry a write-ahead log "
                f"(journal mode {mode}); use a local disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self._damaged(str(verdict))
        if not _tables_of(connection):
            connection.executescript(_CREATE % FORMAT)
        self._check_tables(connection)

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        if not {"offerd_schema", "records"} <= _tables_of(connection):
            raise StoreUnreadable(f"{self._path}: it is an SQLite file, but not one of offerd's")
        row = connection.execute("SELECT max(format) FROM offerd_schema").fetchone()
        if not isinstance(row[0], int) or row[0] < FORMAT:
            raise self._damaged(f"it has no format number that is known ({row[0]!r})")
        if row[0] > FORMAT:
            raise StoreUnreadable(
                f"{self._path}: it was written by a newer offerd (format {row[0]}, this one knows "
                f"{FORMAT}); start that version"
            )

    def read(self, after: str, limit: int) -> tuple[list[Record], str]:
        """At most `limit` records in the order of their paths, from behind `after` on, and the path
        of the last one. The framework's comes first, then jobs, then instances."""
        with self._own_errors():
            rows = self._open_connection.execute(
                "SELECT path, value FROM records WHERE path > ? ORDER BY path LIMIT ?",
                (after, limit),
            ).fetchall()
        records = [self._record(path, value) for path, value in rows]
        return records, rows[-1][0] if rows else after

    def _record(self, path: object, value: object) -> Record:
        if not (isinstance(path, str) and isinstance(value, bytes)):
            raise self._damaged(f"the row {path!r} was not written by offerd")
        try:
            return decode(path, value)
        except StoreUnreadable as error:
            raise StoreUnreadable(f"{self._path}: {error}") from error

    def write(self, values: Mapping[str, bytes | None]) -> None:
        """One transaction: each path gets its value, or goes where that is None. It is durable when
        this returns; after an error nothing of it is (or all, when only the answer was lost)."""
        puts = [(path, value) for path, value in values.items() if value is not None]
        removes = [path for path, value in values.items() if value is None]
        try:
            with self._own_errors():
                self._transact(self._open_connection, puts, removes)
        except StoreRefused:
            self._check_identities()
            raise
        # A commit into a file that has lost its name would be gone at the next start.
        self._check_identities()

    def _transact(
        self,
        connection: sqlite3.Connection,
        puts: list[tuple[str, bytes]],
        removes: list[str],
    ) -> None:
        both = bool(puts and removes)
        try:
            # One statement for all rows: between two, this thread waits for the interpreter's lock,
            # 5 ms each time that the loop is busy. A statement alone is its own transaction.
            if both:
                connection.execute("BEGIN IMMEDIATE")
            if puts:
                connection.execute(
                    "INSERT INTO records (path, value) VALUES "
                    + ",".join(["(?,?)"] * len(puts))
                    + " ON CONFLICT (path) DO UPDATE SET value = excluded.value",
                    [column for row in puts for column in row],
                )
            if removes:
                connection.execute(
                    f"DELETE FROM records WHERE path IN ({','.join('?' * len(removes))})", removes
                )
            if both:
                connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def rows(self) -> Iterator[Row]:
        """Every row as of one moment, in the order of paths, on a connection of its own that only
        reads: a daemon may go on writing meanwhile."""
        if not self._path.exists():
            raise StoreRefused(f"{self._path}: there is no such file")
        with self._own_errors():
            address = f"file:{quote(str(self._path))}?mode=ro"
            connection = sqlite3.connect(
                address, uri=True, timeout=LOCK_WAIT_S, isolation_level=None
            )
            with closing(connection):
                connection.execute("BEGIN")
                self._check_tables(connection)
                yield from connection.execute("SELECT path, value FROM records ORDER BY path")

    def replace_all(self, rows: Iterable[Row]) -> None:
        """In one transaction: these rows are all there is, or what was there before still is."""
        with self._own_errors():
            connection = self._open_connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("DELETE FROM records")
                connection.executemany("INSERT INTO records (path, value) VALUES (?, ?)", rows)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self._check_identities()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreRefused(f"{self._path}: the store is closed")
        return self._connection

    def _check_identities(self) -> None:
        if self._identities_now() != self._identities:
            raise StoreUnreadable(
                f"{self._path}: the file, or its -wal, was removed or replaced while in use. What "
                "was stored last may be missing from it; restore the file that was there"
            )

    def _identities_now(self) -> tuple[object, ...]:
        return _identity_of(self._path), _identity_of(self._wal)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # raised by the module itself: text in the file that is no UTF-8
            return self._damaged(str(error))
        advice = _ADVICE.get(code & 0xFF)
        if advice is None or code == sqlite3.SQLITE_READONLY_DBMOVED:
            return self._damaged(f"{error} ({error.sqlite_errorname})")
        return StoreRefused(f"{self._path}: {error} ({error.sqlite_errorname}): {advice}")

    def _damaged(self, why: str) -> StoreUnreadable:
        return StoreUnreadable(
            f"{self._path}: it cannot be used as a store: {why}. Keep it, and restore a backup"
        )


def _tables_of(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
