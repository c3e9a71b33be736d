"""Debian packages that a test needs: brought where root may, or a word why they are missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

INSTALL_DEADLINE_S: Final = 300.0


def install(packages: Sequence[str]) -> str | None:
    """Installs packages from wherever the machine's apt brings them. Why not, or None."""
    names = " ".join(packages)
    if os.geteuid() != 0:
        return f"only root can install {names}"
    if shutil.which("apt-get") is None:
        return f"there is no apt-get to install {names}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = f"DPkg::Lock::Timeout={INSTALL_DEADLINE_S:.0f}"
    steps = (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages])
    for arguments in steps:
        try:
            ended = subprocess.run(
                ["apt-get", "-o", lock, *arguments],
                capture_output=True,
                timeout=INSTALL_DEADLINE_S,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {arguments[0]} did not end within {INSTALL_DEADLINE_S:g} s"
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace").strip()[-300:]
            return f"apt-get {arguments[0]} failed: {said}"
    return None


def ensure_programs(programs: dict[str, str]) -> str | None:
    """Program → its package: installs what is not on the PATH. Why that cannot be, or None."""
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if not missing:
        return None
    refused = install(sorted(set(missing)))
    if refused is not None:
        return refused
    still = [program for program in programs if shutil.which(program) is None]
    return f"{' '.join(still)} did not come with its package" if still else None
