"""The Dockerfile as text: a linter's judgement, and what no linter knows of this project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "Dockerfile").read_text()
DEADLINE_S: Final = 60.0


def test_the_linter_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed in this environment")
    ended = subprocess.run(
        [hadolint, "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_images_are_named_in_full() -> None:
    """A short name means whatever the machine that builds takes it for."""
    for name in re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE):
        assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[a-z0-9/-]+:[a-z0-9.-]+", name), name


def test_only_what_the_build_copies_is_sent_to_it() -> None:
    kept = {
        line.removeprefix("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
    sources = {source.split("/")[0] for line in copies for source in line.split()}
    assert sources == kept


def test_everything_that_is_installed_has_a_hash() -> None:
    lines = [line for line in TEXT.replace("\\\n", " ").splitlines() if line.startswith("RUN")]
    installs = [part for line in lines for part in line.split("&&") if " install " in part]
    downloads = [part for part in installs if "pip" in part and "--no-deps" not in part]
    assert downloads
    assert all("--require-hashes" in part for part in downloads)
