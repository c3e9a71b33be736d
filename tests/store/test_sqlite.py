"""What only a file can do: rights, damage, other hands, a full disk."""

import asyncio
import os
import random
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.core.model.instance import Instance
from scheduler.core.records import Put
from scheduler.errors import StoreRefused, StoreUnreadable
from scheduler.store.group_commit import WRITES_MAX
from scheduler.store.sqlite import SqliteStore
from tests.store import samples
from tests.store.running import contents, running, stored_in
from tests.support.small_disk import fill, small_disk


async def filled(file: Path, instances: int = 2_000) -> None:
    store = SqliteStore(file)
    await store.open()
    async with running(store) as run:
        run.submit([Put(samples.framework()), Put(samples.job())], "head")
        run.submit([Put(samples.instance(index)) for index in range(instances)], "done")
        await run.until_done("done")
    await store.close()


async def change(file: Path, sql: str, *arguments: object) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(sql, arguments)


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "offerd.db"
    store = SqliteStore(file)
    await store.open()
    async with running(store) as run:
        run.submit([Put(samples.job())], "done")
        await run.until_done("done")
        names = sorted(os.listdir(tmp_path))
        assert names == ["offerd.db", "offerd.db-shm", "offerd.db-wal"]
        modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in names}
        assert modes == {0o600}
    await store.close()


async def test_the_file_is_in_write_ahead_mode(tmp_path: Path) -> None:
    await filled(tmp_path / "offerd.db", 1)
    with closing(sqlite3.connect(tmp_path / "offerd.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match=f"no directory {tmp_path}/none"):
        await SqliteStore(tmp_path / "none" / "offerd.db").open()


async def test_a_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="cannot be opened"):
        await SqliteStore(tmp_path).open()


async def test_pending_counts_what_is_not_durable_yet(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offerd.db")
    await store.open()
    assert store.pending == 0
    writes = [Put(samples.instance(index)) for index in range(WRITES_MAX + 1)]
    store.submit(writes, lambda: None)
    assert store.pending == WRITES_MAX + 1
    async with running(store) as run:
        run.submit([Put(samples.instance(0))], "done")
        await run.until_done("done")
        assert store.pending == 0
    await store.close()


async def test_a_status_read_a_moment_later_goes_before_launches(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offerd.db")
    await store.open()
    async with running(store) as run:
        launches = [Put(samples.instance(index)) for index in range(50)]
        run.submit(launches, "launches", launches=True)
        await asyncio.sleep(0)  # the store has its turn
        run.submit([Put(samples.instance(100))], "status")
        await run.until_all_done()
        assert run.said == ["status", "launches"]
    await store.close()


async def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    await change(file, "CREATE TABLE songs (title)")
    with pytest.raises(StoreUnreadable, match="not one of offerd's"):
        await SqliteStore(file).open()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("nothing but text\n" * 500)
    with pytest.raises(StoreUnreadable, match=r"notes\.txt"):
        await SqliteStore(file).open()
    assert file.read_text() == "nothing but text\n" * 500


async def test_a_file_of_a_newer_version_says_so(tmp_path: Path) -> None:
    file = tmp_path / "offerd.db"
    await filled(file, 1)
    await change(file, "UPDATE offerd_schema SET format = 99")
    with pytest.raises(StoreUnreadable, match="written by a newer offerd"):
        await SqliteStore(file).open()


@pytest.mark.parametrize("value", [b"", b"\x01\x83", b"\x63abc", "text", 7, b"no such schema"])
async def test_a_record_that_cannot_be_read_is_named_and_kept(
    tmp_path: Path, value: object
) -> None:
    file = tmp_path / "offerd.db"
    await filled(file, 10)
    await change(file, "UPDATE records SET value = ? WHERE path = 'tasks/team.web/7'", value)
    with pytest.raises(StoreUnreadable, match=r"offerd\.db: .*tasks/team\.web/7"):
        await stored_in(file)
    await change(file, "DELETE FROM records WHERE path = 'tasks/team.web/7'")
    assert len(await stored_in(file)) == 11


@pytest.mark.parametrize("part", [0, 1, 50, 100, 4_000, 4_096, 8_192, 100_000, 300_001])
async def test_a_file_cut_in_two_is_unreadable(tmp_path: Path, part: int) -> None:
    file = tmp_path / "offerd.db"
    await filled(file)
    assert file.stat().st_size > 300_001
    os.truncate(file, part)
    if part == 0:  # cannot be told from a new one
        assert await stored_in(file) == {}
        return
    with pytest.raises(StoreUnreadable):
        await stored_in(file)


@pytest.mark.parametrize("seed", range(12))
async def test_a_damaged_file_gives_no_other_error(tmp_path: Path, seed: int) -> None:
    file = tmp_path / "offerd.db"
    await filled(file, 300)
    chance = random.Random(seed)
    damaged = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 3, 100))):
        first = chance.randrange(len(damaged))
        piece = chance.randbytes(chance.choice((1, 8, 600)))
        damaged[first : first + len(piece)] = piece
    file.write_bytes(damaged)
    refusal = None
    try:
        found = await stored_in(file)
    except StoreUnreadable as error:
        refusal = str(error)
    else:
        # A byte that changed inside of a text cannot be noticed; records do not disappear.
        assert len(found) == 302
    assert refusal is None or "offerd.db" in refusal


async def test_a_log_cut_in_two_keeps_whole_transactions(tmp_path: Path) -> None:
    file = tmp_path / "offerd.db"
    store = SqliteStore(file)
    await store.open()
    async with running(store) as run:
        for index in range(100):
            run.submit([Put(samples.instance(index))], str(index))
            await run.until_done(str(index))
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{file}{suffix}", f"{tmp_path}/copy.db{suffix}")
    await store.close()
    log = tmp_path / "copy.db-wal"
    os.truncate(log, log.stat().st_size // 2 + 77)
    found = await stored_in(tmp_path / "copy.db")
    assert 0 < len(found) < 100
    assert found == {samples.instance(n).key: samples.instance(n) for n in range(len(found))}


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_taken_away_ends_the_run_and_nothing_is_done(
    tmp_path: Path, suffix: str, replaced: bool
) -> None:
    file = tmp_path / "offerd.db"
    store = SqliteStore(file)
    await store.open()
    async with running(store) as run:
        run.submit([Put(samples.instance(0))], "before")
        await run.until_done("before")
        taken = f"{file}{suffix}"
        if replaced:
            shutil.copyfile(taken, tmp_path / "other")
            os.rename(tmp_path / "other", taken)
        else:
            os.unlink(taken)
        run.submit([Put(samples.instance(1))], "after")
        with pytest.raises(StoreUnreadable, match="removed or replaced"):
            await run.until_done("after")
        assert run.said == ["before"]
        assert store.pending == 1
    await store.close()


async def test_a_store_put_in_its_place_is_not_touched(tmp_path: Path) -> None:
    """As when a backup is restored under a running daemon."""
    file, other_file = tmp_path / "offerd.db", tmp_path / "other.db"
    store, other = SqliteStore(file), SqliteStore(other_file)
    await store.open()
    await other.open()
    async with running(store) as run, running(other) as other_run:
        run.submit([Put(samples.instance(0))], "before")
        await run.until_done("before")
        other_run.submit([Put(samples.job())], "other")
        await other_run.until_done("other")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{other_file}{suffix}", tmp_path / "copy")
            os.rename(tmp_path / "copy", f"{file}{suffix}")
        run.submit([Put(samples.instance(1))], "after")
        with pytest.raises(StoreUnreadable, match="removed or replaced"):
            await run.until_done("after")
    await store.close()
    await other.close()
    assert await stored_in(file) == {samples.WEB: samples.job()}


async def test_a_link_and_its_file_are_one_store(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "offerd.db")
    await filled(tmp_path / "link.db", 3)
    assert len(await stored_in(tmp_path / "data" / "offerd.db")) == 5


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


async def test_a_full_disk_refuses_and_recovers(disk: Path) -> None:
    file = disk / "offerd.db"
    store = SqliteStore(file)
    await store.open()
    records: list[Instance] = [samples.instance(index) for index in range(1_000)]
    async with running(store) as run:
        run.submit([Put(record) for record in records[:500]], "before")
        await run.until_done("before")
        ballast = fill(disk)
        run.submit([Put(record) for record in records[500:]], "during")
        await run.until(lambda said: len(said) == 2)
        assert "no space is left" in run.said[1]
        run.submit([Put(samples.job())], "later")
        ballast.unlink()
        await run.until_done("later")
        assert run.said[2:] == ["recovered", "during", "later"]
        assert len(await contents(store)) == 1_001
    await store.close()
    assert len(await stored_in(file)) == 1_001


async def test_a_new_store_on_a_full_disk_is_refused(disk: Path) -> None:
    ballast = fill(disk)
    file = disk / "offerd.db"
    with pytest.raises(StoreRefused, match=r"offerd\.db"):
        await SqliteStore(file).open()
    ballast.unlink()
    assert await stored_in(file) == {}


async def test_commits_go_on_beside_a_loop_that_never_idles(tmp_path: Path) -> None:
    """Without a hand from the loop the thread starves: a commit then takes a quarter of a
    second, and under more load many seconds."""
    store = SqliteStore(tmp_path / "offerd.db")
    await store.open()
    async with running(store) as run:
        started = time.monotonic()
        for number in range(40):
            run.submit([Put(samples.instance(number))], str(number))
            while str(number) not in run.said:
                busy_until = time.monotonic() + 0.000_3
                while time.monotonic() < busy_until:
                    pass
                await asyncio.sleep(0)
                assert time.monotonic() - started < 5.0
    await store.close()
