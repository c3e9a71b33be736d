"""Builds the peers once, into a cache folder; what cannot be built here is left out with a word.

mesos-go comes from Debian's `golang-github-mesos-mesos-go-dev`, pymesos from PyPI; the latter needs
an old Python, looked for by name and where pyenv keeps its versions.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
GO_PACKAGES: Final = Path("/usr/share/gocode")
MESOS_GO: Final = GO_PACKAGES / "src/github.com/mesos/mesos-go"
PYMESOS: Final = "pymesos==0.3.15"
OLD_PYTHON: Final = "python3.8"
BUILD_DEADLINE_S: Final = 300.0


class CannotBuild(Exception):
    """One sentence that says what is missing."""


def mesos_go() -> Path:
    """The program; takes `-master URL -tasks N`."""
    go = shutil.which("go")
    if go is None or not MESOS_GO.is_dir():
        raise CannotBuild(
            "mesos-go is left out: apt-get install golang-go golang-github-mesos-mesos-go-dev"
        )
    source = HERE / "mesos_go"
    program = _cache() / f"mesos-go-{_digest(source / 'main.go')}"
    if not program.exists():
        made = program.with_suffix(f".{os.getpid()}")
        _run(
            [go, "build", "-o", str(made), "."],
            cwd=source,
            GO111MODULE="off",
            GOPATH=f"{_cache() / 'go'}:{GO_PACKAGES}",
            GOCACHE=str(_cache() / "go-build"),
        )
        made.rename(program)
    return program


def pymesos() -> Sequence[str]:
    """The command; takes host:port and the number of tasks."""
    folder = _cache() / PYMESOS
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([_old_python(), "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", PYMESOS])
        (folder / "complete").touch()
    return str(python), str(HERE / "pymesos_framework.py")


def _old_python() -> str:
    """One that runs: what pyenv puts on the path may lead nowhere."""
    versions = Path.home() / ".pyenv/versions"
    kept = sorted(versions.glob(f"{OLD_PYTHON.removeprefix('python')}.*/bin/python"))
    for candidate in (shutil.which(OLD_PYTHON), *map(str, kept)):
        if candidate is None:
            continue
        probe = subprocess.run([candidate, "-V"], capture_output=True, check=False, timeout=10.0)
        if probe.returncode == 0:
            return candidate
    raise CannotBuild(f"pymesos is left out: it needs {OLD_PYTHON}, which is not here")


def _run(command: Sequence[str], cwd: Path | None = None, **variables: str) -> None:
    environment: Mapping[str, str] = {**os.environ, **variables}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True,
            timeout=BUILD_DEADLINE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"left out: {command[0]} took over {BUILD_DEADLINE_S:g} s") from None
    if done.returncode:
        raise CannotBuild(f"left out: {' '.join(command)}: {done.stderr.strip()[-500:]}")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "offerd/peers"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()[:12]
