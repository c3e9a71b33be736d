"""`backup` and `restore` on a store without a daemon: what they say, and what they refuse."""

import asyncio
from pathlib import Path

import pytest

from scheduler.core.records import FrameworkRecord, JobRecord, Record, key_of
from scheduler.store.contents import SqliteContents
from scheduler.store.records import decode, encode, path_of
from tests.cli.conftest import invoke
from tests.store import samples

RECORDS: list[Record] = [samples.framework(), samples.job(), samples.instance(0)]


def env(folder: Path, **more: str) -> dict[str, str]:
    return {"OFFERD_STORE": f"sqlite:{folder / 'offerd.db'}"} | more


def kept(folder: Path) -> list[Record]:
    _, rows = asyncio.run(SqliteContents(folder / "offerd.db").read())
    return [decode(path, value) for path, value in rows]


@pytest.fixture
def backup(tmp_path: Path) -> str:
    rows = [(path_of(key_of(record)), encode(record)) for record in RECORDS]
    asyncio.run(SqliteContents(tmp_path / "offerd.db").replace(rows, 1))
    file = str(tmp_path / "a.backup")
    result = invoke(["backup", file], env(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{file}: 3 records, of 1 jobs (sqlite:{tmp_path / 'offerd.db'})\n"
    return file


def test_a_restore_says_what_it_did_and_what_is_left_to_do(backup: str, tmp_path: Path) -> None:
    target = tmp_path / "other"
    target.mkdir()
    result = invoke(["restore", backup], env(target))
    assert result.exit_code == 0, result.stderr
    assert "restored 1 jobs" in result.stdout
    assert "what ran is stopped" in result.stdout
    assert "1 tasks lived then" in result.stdout
    assert "WARNING" not in result.stdout
    assert [type(record) for record in kept(target)] == [FrameworkRecord, JobRecord]


def test_a_setting_that_would_end_the_tasks_of_before_is_warned_of(
    backup: str, tmp_path: Path
) -> None:
    hasty = env(tmp_path, OFFERD_UNKNOWN_TASKS="{kill_after: 1h}")
    result = invoke(["restore", "--replace", backup], hasty)
    assert "WARNING: the setting unknown_tasks ends them after 3600 s" in result.stdout


def test_the_framework_stays_behind_where_that_is_wanted(backup: str, tmp_path: Path) -> None:
    result = invoke(["restore", "--replace", "--new-framework", backup], env(tmp_path))
    assert "tasks of before stay with the old framework" in result.stdout
    assert [type(record) for record in kept(tmp_path)] == [JobRecord]


@pytest.mark.parametrize(
    ("command", "store", "code", "said"),
    [
        ("backup", "memory:", 2, "memory: keeps nothing"),
        ("restore", "memory:", 2, "memory: keeps nothing"),
        ("backup", "sqlite:{folder}/none.db", 20, "there is no such file"),
        ("restore", "sqlite:{folder}/none/a.db", 23, "must exist and be writable"),
    ],
)
def test_a_store_that_cannot_be_used_is_told(
    backup: str, tmp_path: Path, command: str, store: str, code: int, said: str
) -> None:
    file = backup if command == "restore" else str(tmp_path / "b.backup")
    result = invoke([command, file], {"OFFERD_STORE": store.format(folder=tmp_path)})
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert not (tmp_path / "b.backup").exists()


def test_a_file_that_is_no_backup_touches_nothing(backup: str, tmp_path: Path) -> None:
    Path(backup).write_text("{}\n")
    result = invoke(["restore", "--replace", backup], env(tmp_path))
    assert (result.exit_code, "is no backup of offerd's" in result.stderr) == (2, True)
    assert kept(tmp_path) == RECORDS
