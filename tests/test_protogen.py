"""Generated code is what the compiler makes of its sources today."""

import shutil
from pathlib import Path

import pytest

from scheduler import protogen

needs_compiler = pytest.mark.skipif(
    protogen.find_compiler() is None,
    reason="protoc comes with the 'check' extra",
)


@needs_compiler
def test_the_generated_modules_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert protogen.main(["--check"]) == 0, capsys.readouterr().err


@needs_compiler
def test_stale_files_are_named(tmp_path: Path) -> None:
    for package in protogen.PACKAGES:
        (tmp_path / package).mkdir(parents=True)
        for path in (protogen.ROOT / package).glob("*_pb2.py*"):
            shutil.copy(path, tmp_path / package)
    (tmp_path / protogen.MESOS / "quota_pb2.py").write_text("changed")
    (tmp_path / protogen.ETCD / "etcd_pb2.pyi").unlink()
    (tmp_path / protogen.MESOS / "gone_pb2.py").write_text("left over")
    assert protogen.stale(tmp_path) == [
        "scheduler/etcd3/proto/etcd_pb2.pyi",
        "scheduler/mesos/proto/gone_pb2.py",
        "scheduler/mesos/proto/quota_pb2.py",
    ]
