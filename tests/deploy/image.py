"""Builds the image and runs it, without a registry and without a container engine's daemon.

The base image is a Debian made by debootstrap, tagged with the very name of the Dockerfile's FROM,
so that the Dockerfile is built as it is. The packages that it installs are downloaded beside it, by
their hashes, and lie in the base. Whatever is missing ends as one `CannotBuildImage`.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.debian import ensure_programs

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = {"buildah": "buildah", "debootstrap": "debootstrap"}
BASE_PACKAGES: Final = "python3,python3-venv,ca-certificates"
TAG: Final = "localhost/offerd:test"
STEP_DEADLINE_S: Final = 300.0
END_DEADLINE_S: Final = 15.0


class CannotBuildImage(Exception):
    """Images cannot be built on this machine; the text is one sentence that says why."""


class Image:
    """The built image; gone with its storage when the context ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "STORAGE_DRIVER": "vfs"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(CannotBuildImage):
            self.buildah("rm", "--all")
        shutil.rmtree(self._folder, ignore_errors=True)

    def build(self) -> None:
        """Raises CannotBuildImage where the tools or the base are missing."""
        if os.geteuid() != 0:
            raise CannotBuildImage("only root can make its base with debootstrap")
        if missing := ensure_programs(PROGRAMS):
            raise CannotBuildImage(missing)
        base = _ensure_base()
        wheels = self._folder / "wheels"
        _download_wheels(base, wheels)
        container = self.buildah("from", "scratch")
        self.buildah("add", container, str(base), "/")
        self.buildah("add", container, str(wheels), "/wheels")
        self.buildah(
            "config", "--env", "PIP_NO_INDEX=1", "--env", "PIP_FIND_LINKS=/wheels", container
        )
        self.buildah("commit", "--quiet", "--format", "docker", "--rm", container, _base_name())
        built = self._run(
            "bud", "--isolation", "chroot", "--pull-never", "--format", "docker",
            "--tag", TAG, str(ROOT),
        )  # fmt: skip
        assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]

    def config(self) -> dict[str, Any]:
        """What the image says of itself, in Docker's words."""
        inspected = json.loads(self.buildah("inspect", "--type", "image", TAG))
        config: dict[str, Any] = inspected["Docker"]["config"]
        return config

    def container(self) -> str:
        """A container of the image, to run commands in."""
        return self.buildah("from", "--pull-never", TAG)

    def command(self, container: str, arguments: Sequence[str], *options: str) -> list[str]:
        """What runs a command in a container as the image's user."""
        run = ["run", "--isolation", "chroot", *options, container, "--", *arguments]
        return [*self._buildah(), *run]

    def run(
        self, container: str, arguments: Sequence[str], *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in a container to its end."""
        return self._ended(self.command(container, arguments, *options))

    @property
    def environment(self) -> dict[str, str]:
        return self._environment

    def buildah(self, *arguments: str) -> str:
        ended = self._run(*arguments)
        if ended.returncode != 0:
            raise CannotBuildImage(f"buildah {arguments[0]} failed: {ended.stderr.strip()[-300:]}")
        return ended.stdout.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._ended([*self._buildah(), *arguments])

    def _buildah(self) -> list[str]:
        storage, run = self._folder / "storage", self._folder / "run"
        return ["buildah", "--root", str(storage), "--runroot", str(run)]

    def _ended(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=STEP_DEADLINE_S,
            check=False,
            env=self._environment,
        )


def _base_name() -> str:
    names: set[str] = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.M))
    (name,) = names
    return name


def _ensure_base() -> Path:
    """The folder with the base's files, made once a machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offerd" / "image"
    cache.mkdir(parents=True, exist_ok=True)
    suite = _suite()
    base = cache / f"{suite}-{BASE_PACKAGES.replace(',', '-')}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for no longer than the step below may take
        if not base.exists():
            made = cache / f"making-{suite}"
            shutil.rmtree(made, ignore_errors=True)
            _step(
                ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", suite,
                 str(made), _mirror(suite)]
            )  # fmt: skip
            made.rename(base)
    return base


def _suite() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    if found is None or "ID=debian" not in release.splitlines():
        raise CannotBuildImage("the base is made of the machine's own Debian, and this is none")
    return found[1]


def _mirror(suite: str) -> str:
    """Where the machine's apt takes this suite from."""
    wanted = ["Created-By: Packages", f"Codename: {suite}", "Component: main", "Origin: Debian"]
    found = _step(["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]).split()
    if not found:
        raise CannotBuildImage("apt knows no mirror of Debian; apt-get update may help")
    return found[0]


def _download_wheels(base: Path, wheels: Path) -> None:
    """What the Dockerfile installs, for the base's Python."""
    version = _step(
        ["chroot", str(base), "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    )
    requirements = [f"-r{ROOT / 'requirements' / name}" for name in ("build.txt", "run.txt")]
    _step(
        [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes",
         "--only-binary=:all:", f"--python-version={version.strip()}", f"--dest={wheels}",
         *requirements]
    )  # fmt: skip


def _step(command: list[str]) -> str:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=STEP_DEADLINE_S, check=False
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise CannotBuildImage(f"{command[0]}: {error}") from error
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout.strip())[-300:]
        raise CannotBuildImage(f"{Path(command[0]).name} failed: {said}")
    return ended.stdout


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that these did."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(stat[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            yield child
            waiting.append(child)
