"""What `offerd backup` and `offerd restore` do: the store whole, to a file and back.

A restore holds the office while it writes, so that no daemon leads meanwhile. Neighbours:
`core.restored` (what records become), `store.contents` (the store whole), `store.backup_file`.
"""

import asyncio
import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from scheduler import __version__
from scheduler.cli.backing import open_contents
from scheduler.core.records import JobRecord, Record, key_of
from scheduler.core.restored import Restored, restored
from scheduler.errors import BackupUnusable, StoreLocked, StoreUnreadable
from scheduler.runtime.protocols import Election
from scheduler.runtime.uids import mint_uid
from scheduler.settings import Settings
from scheduler.store.backup_file import Header, read_backup, write_backup
from scheduler.store.contents import Contents
from scheduler.store.records import Row, decode, encode, path_of

OFFICE_S_MAX: Final = 10.0


class Wish(msgspec.Struct, frozen=True):
    """The options of a restore; see `core.restored`."""

    replace: bool
    run: bool
    new_framework: bool


async def back_up(settings: Settings, file: Path) -> str:
    """Gives what is to be said of it. Each record is read before it is written: a backup that
    cannot be restored is none."""
    async with open_contents(settings) as (contents, _):
        source, rows = await contents.read()
    jobs = sum(isinstance(decode(path, value), JobRecord) for path, value in rows)
    count = write_backup(file, Header(__version__, time.time(), source), rows)
    return f"{file}: {count} records, of {jobs} jobs ({source})"


async def restore_from(settings: Settings, file: Path, wish: Wish) -> str:
    """Gives what is to be said of it. Nothing is touched before the whole file was found good."""
    header, rows = read_backup(file)
    try:
        records = [decode(path, value) for path, value in rows]
    except StoreUnreadable as error:
        raise BackupUnusable(f"{file}: {error}") from error
    uids = iter(mint_uid, None)
    made = restored(records, uids, run=wish.run, new_framework=wish.new_framework, wall=time.time())
    async with open_contents(settings) as (contents, election):
        await _replace(contents, election, made, wish)
    return "\n".join(_said(settings, header, made, wish))


async def _replace(contents: Contents, election: Election, made: Restored, wish: Wish) -> None:
    leader = await contents.leader()
    if leader:
        raise StoreLocked(f"{leader} leads on this store; stop every daemon first")
    try:
        async with asyncio.timeout(OFFICE_S_MAX):
            term = await election.campaign()
    except TimeoutError:
        raise StoreLocked("the office cannot be had; stop every daemon first") from None
    try:
        if not wish.replace and not await contents.empty():
            raise BackupUnusable(
                "the store is not empty; with --replace what it holds is removed (back it up first)"
            )
        await contents.replace([_row(record) for record in made.records], term)
    finally:
        await election.resign()


def _row(record: Record) -> Row:
    return path_of(key_of(record)), encode(record)


def _said(settings: Settings, header: Header, made: Restored, wish: Wish) -> Iterator[str]:
    taken_at = datetime.datetime.fromtimestamp(header.taken_at, datetime.UTC)
    yield (
        f"restored {made.jobs} jobs as of {taken_at.isoformat(timespec='seconds')} "
        f"({header.source}, offerd {header.offerd})"
    )
    if made.deleting:
        yield f"{made.deleting} jobs that were being deleted then are gone"
    if not wish.run:
        yield "what ran is stopped: apply a job to start it (offerd job JOB -o json shows it)"
    if wish.new_framework:
        yield "without the framework id: tasks of before stay with the old framework"
        return
    yield (
        f"{made.tasks_before} tasks lived then; those that still do become unknown tasks "
        "(offerd tasks --unknown), and `offerd kill TASK` ends one"
    )
    kill_after_s = settings.unknown_tasks.kill_after_s
    if kill_after_s is not None:
        yield (
            f"WARNING: the setting unknown_tasks ends them after {kill_after_s:g} s; set it to "
            "`keep` before a daemon starts to keep them"
        )
