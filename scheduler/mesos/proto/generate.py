"""Makes the ``*_pb2`` modules from the ``.proto`` files of this folder.

``python -m scheduler.mesos.proto.generate`` writes them next to their sources; with ``--check`` it
writes nothing here and exits with 1, naming the files that are stale. Never imported by the
daemon: it needs the compiler of the ``check`` extra, which an installation lacks.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which

PROTO_DIRECTORY = Path(__file__).resolve().parent
# The generated code imports its neighbours by their full name, so the compiler works from the root.
PACKAGE_PATH = Path("scheduler", "mesos", "proto")
ROOT = PROTO_DIRECTORY.parents[len(PACKAGE_PATH.parts) - 1]
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
    """Write all modules and their stubs below ``target``, under the package's path.

    Raises SystemExit when the compiler is missing, has another version or fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit("protoc not found: install the 'check' extra")
    version = _run([str(compiler), "--version"])
    if version != COMPILER_VERSION:
        raise SystemExit(f"{compiler} is {version!r}, needed is {COMPILER_VERSION!r}")
    sources = sorted(PROTO_DIRECTORY.glob("*.proto"))
    _run(
        [
            str(compiler),
            f"--proto_path={ROOT}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            *(str(source.relative_to(ROOT)) for source in sources),
        ]
    )


def stale(directory: Path = PROTO_DIRECTORY) -> list[str]:
    """Names of generated files in ``directory`` that are missing, left over or out of date."""
    with tempfile.TemporaryDirectory(prefix="offerd-proto-") as scratch:
        generate(Path(scratch))
        fresh = _generated(Path(scratch) / PACKAGE_PATH)
    present = _generated(directory)
    names = fresh.keys() | present.keys()
    return sorted(name for name in names if fresh.get(name) != present.get(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.mesos.proto.generate")
    parser.add_argument("--check", action="store_true", help="only say which files are stale")
    if not parser.parse_args(arguments).check:
        generate(ROOT)
        return 0
    names = stale()
    for name in names:
        print(f"stale: {PACKAGE_PATH / name}", file=sys.stderr)
    return 1 if names else 0


def _generated(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("*_pb2.py*")}


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
