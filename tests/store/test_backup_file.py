"""A backup's file is read whole or refused, with what is wrong with it."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import BackupUnusable
from scheduler.store.backup_file import FORMAT, Header, read_backup, write_backup
from scheduler.store.records import Row
from tests.jobspec.documents import unhurried

HEADER = Header("0.1.0", 1000.5, "sqlite:a.db")
ROWS: list[Row] = [("framework", b"\x01a"), ("jobs/web", b"\x00\xff\n"), ("tasks/web/0", b"")]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "a.backup"
    assert write_backup(path, HEADER, ROWS) == 3
    return path


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BackupUnusable) as found:
        read_backup(path)
    assert str(path) in str(found.value)
    return str(found.value)


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=40)), max_size=8))
@unhurried
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("any") / "b"
    assert write_backup(path, HEADER, rows) == len(rows)
    assert read_backup(path) == (HEADER, rows)


def test_it_is_its_owners_alone_and_nothing_is_left_beside_it(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]


def test_a_name_that_is_taken_is_not_overwritten(backup: Path) -> None:
    with pytest.raises(BackupUnusable, match="there is such a file already"):
        write_backup(backup, HEADER, [])
    assert read_backup(backup) == (HEADER, ROWS)


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[Row]:
        yield ROWS[0]
        raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError):
        write_backup(tmp_path / "b", HEADER, rows())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="cannot be written: No such file or directory"):
        write_backup(tmp_path / "none" / "b", HEADER, ROWS)
    with pytest.raises(BackupUnusable, match="cannot be read: No such file or directory"):
        read_backup(tmp_path / "none" / "b")


def test_every_cut_is_noticed(backup: Path) -> None:
    whole = backup.read_bytes()
    ends = whole.index(b"\n")
    for length in range(len(whole)):
        said = refused(backup, whole[:length])
        assert "is cut short" in said or (length <= ends and "is no backup" in said)


def test_every_changed_byte_is_noticed(backup: Path) -> None:
    whole = backup.read_bytes()
    for position in range(len(whole)):
        for changed in (whole[position] ^ 1, ord("0")):
            other = whole[:position] + bytes([changed]) + whole[position + 1 :]
            if other != whole:
                refused(backup, other)


def test_lines_that_are_gone_doubled_or_in_another_order_are_noticed(backup: Path) -> None:
    first, *rows, end = backup.read_bytes().splitlines(keepends=True)
    for others in (rows[1:], [*rows, rows[0]], rows[::-1]):
        assert "was altered" in refused(backup, b"".join([first, *others, end]))
    assert "more follows" in refused(backup, b"".join([first, *rows, end, rows[0]]))


def test_one_of_a_newer_version_says_so(backup: Path) -> None:
    whole = backup.read_bytes()
    newer = whole.replace(b'"offerd_backup":%d' % FORMAT, b'"offerd_backup":%d' % (FORMAT + 1))
    assert newer != whole
    assert f"taken by a newer offerd (format {FORMAT + 1}" in refused(backup, newer)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"{}\n", b'{"a": 1}\n', b"\xff\n"])
def test_what_is_no_backup_says_so(tmp_path: Path, content: bytes) -> None:
    assert "is no backup of offerd's" in refused(tmp_path / "b", content)
