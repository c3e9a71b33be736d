"""A build is made once; where it cannot be made, one sentence says why."""

from pathlib import Path

import pytest

from tests.real_mesos.build import CannotBuild, ensure_built

pytestmark = pytest.mark.real_mesos


def test_a_second_call_finds_the_build_of_the_first(mesos_build: Path) -> None:
    assert ensure_built() == mesos_build
    assert (mesos_build / "node").exists()


def test_a_machine_without_a_compiler_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotBuild, match=r"there is no g\+\+ on the PATH"):
        ensure_built(tmp_path)


def test_packages_that_cannot_be_reached_are_named(
    mesos_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CannotBuild, match="psycopg2-binary"):
        ensure_built(tmp_path)
    assert [left.name for left in tmp_path.iterdir()] == ["lock"]
