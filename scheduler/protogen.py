"""Makes the ``*_pb2`` modules from the ``.proto`` files of the packages that have some.

``python -m scheduler.protogen`` writes them next to their sources; with ``--check`` it writes
nothing here and exits with 1, naming the files that are stale. Never imported by the daemon: it
needs the compiler of the ``check`` extra, which an installation lacks.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which

# The generated code imports its neighbours by their full name, so the compiler works from the root.
ROOT = Path(__file__).resolve().parents[1]
MESOS = Path("scheduler", "mesos", "proto")
ETCD = Path("scheduler", "etcd3", "proto")
PACKAGES = (MESOS, ETCD)
# Another release generates other text (and asks for another runtime): --check would never agree.
COMPILER_VERSION = "libprotoc 31.1"
COMPILER_TIMEOUT_S = 60.0


def find_compiler() -> Path | None:
    """Where ``protoc`` is: beside the interpreter, else on the path, else nowhere."""
    beside = Path(sys.executable).with_name("protoc")
    if beside.exists():
        return beside
    found = which("protoc")
    return None if found is None else Path(found)


def generate(target: Path) -> None:
    """Write all modules and their stubs below ``target``, under the paths of their packages.

    Raises SystemExit when the compiler is missing, has another version or fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit("protoc not found: install the 'check' extra")
    version = _run([str(compiler), "--version"])
    if version != COMPILER_VERSION:
        raise SystemExit(f"{compiler} is {version!r}, needed is {COMPILER_VERSION!r}")
    sources = sorted(source for package in PACKAGES for source in (ROOT / package).glob("*.proto"))
    _run(
        [
            str(compiler),
            f"--proto_path={ROOT}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            *(str(source.relative_to(ROOT)) for source in sources),
        ]
    )


def stale(root: Path = ROOT) -> list[str]:
    """Paths of generated files below ``root`` that are missing, left over or out of date."""
    with tempfile.TemporaryDirectory(prefix="offerd-proto-") as scratch:
        generate(Path(scratch))
        fresh = _generated(Path(scratch))
    present = _generated(root)
    paths = fresh.keys() | present.keys()
    return sorted(path for path in paths if fresh.get(path) != present.get(path))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.protogen")
    parser.add_argument("--check", action="store_true", help="only say which files are stale")
    if not parser.parse_args(arguments).check:
        generate(ROOT)
        return 0
    paths = stale()
    for path in paths:
        print(f"stale: {path}", file=sys.stderr)
    return 1 if paths else 0


def _generated(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for package in PACKAGES
        for path in (root / package).glob("*_pb2.py*")
    }


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=COMPILER_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"protoc gave no answer in {COMPILER_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise SystemExit(f"protoc failed: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
