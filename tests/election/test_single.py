"""One daemon on a store: the lock, its holder's name, and terms that only grow."""

import asyncio
import os
import signal
import socket
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scheduler.election.open import open_election
from scheduler.election.single import SingleElection, SoleElection
from scheduler.errors import ElectionError, SettingsError, StoreLocked
from scheduler.runtime.protocols import Election

DEADLINE_S = 20.0


@asynccontextmanager
async def held_elsewhere(lock: Path) -> AsyncIterator[tuple[Process, int]]:
    """Another process in office, and its term."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.election.holder", str(lock), stdout=PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = await process.stdout.readline()
        assert line, "the holder ended"
        yield process, int(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def term_of(lock: Path) -> int:
    """Takes office and leaves it."""
    election = SingleElection(lock)
    term = await election.campaign()
    await election.resign()
    return term


async def test_terms_grow_by_one_from_1(tmp_path: Path) -> None:
    assert [await term_of(tmp_path / "lock") for _ in range(12)] == list(range(1, 13))


async def test_the_lock_file_says_whose_it_is(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    election = SingleElection(lock)
    await election.campaign()
    text = lock.read_text()
    assert text.startswith(f"term=1 pid={os.getpid()} host={socket.gethostname()} since=20")
    assert stat.S_IMODE(os.stat(lock).st_mode) == 0o600
    await election.resign()


async def test_a_second_daemon_is_told_who_holds_the_store(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    async with held_elsewhere(lock) as (holder, term):
        assert term == 1
        for _ in range(2):
            with pytest.raises(StoreLocked, match=rf"pid={holder.pid} host=\S+ since=\S+\)"):
                await SingleElection(lock).campaign()


async def test_a_second_election_in_this_process_is_refused_too(tmp_path: Path) -> None:
    first, second = SingleElection(tmp_path / "lock"), SingleElection(tmp_path / "lock")
    await first.campaign()
    with pytest.raises(StoreLocked, match=f"pid={os.getpid()}"):
        await second.campaign()
    await first.resign()
    assert await second.campaign() == 2
    await second.resign()


async def test_kill_9_of_the_holder_frees_the_office_and_keeps_the_term(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    for term in (1, 3, 5):
        async with held_elsewhere(lock) as (holder, held_term):
            assert held_term == term
            holder.kill()
            assert await holder.wait() == -signal.SIGKILL
        assert await term_of(lock) == term + 1


async def test_of_many_that_start_at_once_one_leads(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    elections = [SingleElection(lock) for _ in range(8)]
    endings = await asyncio.gather(
        *(election.campaign() for election in elections), return_exceptions=True
    )
    assert endings.count(1) == 1
    assert sum(isinstance(ending, StoreLocked) for ending in endings) == 7
    for election in elections:
        await election.resign()


async def test_a_child_process_does_not_keep_the_office(tmp_path: Path) -> None:
    election = SingleElection(tmp_path / "lock")
    await election.campaign()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(60)", close_fds=False
    )
    await election.resign()
    assert child.returncode is None
    assert await term_of(tmp_path / "lock") == 2
    child.kill()
    await child.wait()


@pytest.mark.parametrize("replaced", [False, True])
async def test_the_watch_ends_when_the_lock_file_goes(tmp_path: Path, replaced: bool) -> None:
    lock = tmp_path / "lock"
    election = SingleElection(lock)
    await election.campaign()
    watch = asyncio.create_task(election.watch())
    await asyncio.sleep(0)
    assert not watch.done()
    os.unlink(lock)
    if replaced:
        assert await term_of(lock) == 1
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(ElectionError, match="removed or replaced"):
            await watch
    await election.resign()


async def test_nobody_in_office_has_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(ElectionError, match="not held"):
        await SingleElection(tmp_path / "lock").watch()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ElectionError, match=rf"{tmp_path}/none/lock.*must exist"):
        await SingleElection(tmp_path / "none" / "lock").campaign()


@pytest.mark.parametrize("text", ["4711\n", "term=x pid=1 host=a since=b\n", "term=7 pid=1"])
async def test_a_file_that_is_no_lock_file_is_left_alone(tmp_path: Path, text: str) -> None:
    lock = tmp_path / "lock"
    lock.write_text(text)
    with pytest.raises(ElectionError, match="not a lock file of offerd"):
        await SingleElection(lock).campaign()
    assert lock.read_text() == text


async def test_what_is_left_of_a_longer_text_is_not_read(tmp_path: Path) -> None:
    """As after a crash between writing the line and cutting the file behind it."""
    lock = tmp_path / "lock"
    lock.write_text("term=41 pid=1 host=a since=b\n00:00:00+00:00\n")
    assert await term_of(lock) == 42
    assert await term_of(lock) == 43


async def test_memory_is_led_alone_in_term_1() -> None:
    election: Election = open_election("memory:")
    assert isinstance(election, SoleElection)
    assert await election.campaign() == 1
    watch = asyncio.create_task(election.watch())
    await asyncio.sleep(0)
    assert not watch.done()
    watch.cancel()
    await election.resign()


async def test_sqlite_is_led_by_the_lock_beside_its_file(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "offerd.db")
    election: Election = open_election(f"sqlite:{tmp_path}/link.db")
    assert await election.campaign() == 1
    assert sorted(os.listdir(tmp_path)) == ["link.db", "offerd.db.lock"]
    with pytest.raises(StoreLocked):
        await open_election(f"sqlite:{tmp_path}/offerd.db").campaign()
    await election.resign()


@pytest.mark.parametrize("url", ["sqlite:", ""])
def test_what_names_no_store_has_no_election(url: str) -> None:
    with pytest.raises(SettingsError, match="has no election"):
        open_election(url)


def test_an_election_in_etcd_needs_a_client() -> None:
    with pytest.raises(SettingsError, match="without a client"):
        open_election("etcd://host:2379")
