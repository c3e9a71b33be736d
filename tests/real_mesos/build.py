"""Builds the programs of a real Mesos 1.11 master and agent into a cache folder.

What runs is Apache's own build: the native library inside the PyPI package `mesos-scheduler`
holds the master and the agent, and `node.cc` declares the few entry points used and starts them.
Packages are named only; where they come from is the machine's configuration of pip and apt.
Whatever is missing ends as one `CannotBuild` with a sentence fit for `pytest.skip`.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.real_mesos import unversion

SOURCES = Path(__file__).resolve().parent
MESOS_PACKAGE = "mesos-scheduler===1.11.0.linux-x86_64"
OLD_PIP_PACKAGE = "pip==24.0"
# The library was linked with OpenSSL 1.0.2, which this old wheel carries beside its own module.
OPENSSL_PACKAGE = "psycopg2-binary==2.7.7"
OPENSSL_LIBRARIES = (
    "libssl", "libcrypto", "libcom_err", "libgssapi", "libk5crypto",
    "libkeyutils", "libkrb5", "libselinux", "libsepol", "libz-",
)  # fmt: skip
UNVERSIONED_LIBRARIES = frozenset({"libssl", "libcrypto", "libcurl"})
# Debian package → the shared object that shows that it is there.
DEBIAN_PACKAGES = {
    "libsvn1": "libsvn_delta-1.so.1",
    "libapr1": "libapr-1.so.0",
    "libsasl2-2": "libsasl2.so.2",
    "libcurl4": "libcurl.so.4",
}
COMPILE_FLAGS = ("-std=c++11", "-O1", "-Wno-attributes", "-pthread")
LINK_FLAGS = (
    "-rdynamic",
    "-Wl,--disable-new-dtags",
    "-Wl,-rpath,$ORIGIN/lib",
    "-Wl,--allow-shlib-undefined",
)
NODE, NODE_ZK = "node", "node-zk"
LOCK_DEADLINE_S = 300.0
APT_DEADLINE_S = 180.0
PIP_DEADLINE_S = 120.0
COMPILE_DEADLINE_S = 120.0
PROBE_DEADLINE_S = 20.0


class CannotBuild(Exception):
    """Real Mesos cannot be built on this machine; `reason` is one sentence that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def default_cache_dir() -> Path:
    """Where builds are kept: `${XDG_CACHE_HOME:-~/.cache}/offerd/real-mesos`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "offerd" / "real-mesos"


def ensure_built(cache_dir: Path | None = None) -> Path:
    """The folder with `node`, `node-zk` and `lib/`, built now unless it is there already.

    The folder's name is a digest of the sources, so a change builds anew. Safe to be called by
    several processes at once. Raises CannotBuild.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotBuild(f"it runs on x86_64 Linux, not {platform.machine()} {sys.platform}")
    cache_dir = cache_dir or default_cache_dir()
    target = cache_dir / _digest()
    if not (target / NODE_ZK).exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / "lock"):
            if not (target / NODE_ZK).exists():
                _build(cache_dir, target)
    _ensure_debian_libraries()
    return target


def _digest() -> str:
    digest = hashlib.sha256(f"{MESOS_PACKAGE} {OPENSSL_PACKAGE}".encode())
    for name in ("build.py", "node.cc", "unversion.py"):
        digest.update((SOURCES / name).read_bytes())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + LOCK_DEADLINE_S
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CannotBuild(f"another process holds {path} for too long") from None
                time.sleep(0.1)
        yield


def _build(cache_dir: Path, target: Path) -> None:
    """Builds in a folder beside the target and renames it: a target that exists is whole."""
    if shutil.which("g++") is None:
        raise CannotBuild("there is no g++ on the PATH")
    _ensure_debian_libraries()
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache_dir) as temporary:
        work, made = Path(temporary), Path(temporary) / "made"
        (made / "lib").mkdir(parents=True)
        _add_openssl(work, made / "lib")
        library = _download_mesos(work).read_bytes()
        unversioned = unversion.drop_version_requirements(library, UNVERSIONED_LIBRARIES)
        (made / "lib" / "libmesos-scheduler.so").write_bytes(unversioned)
        _compile(made, NODE)
        _compile(made, NODE_ZK, "-DELECTION")
        _check_loads(made / NODE)
        made.rename(target)


def _ensure_debian_libraries() -> None:
    missing = _missing_debian_packages()
    if not missing:
        return
    packages = " ".join(missing)
    if os.geteuid() != 0:
        raise CannotBuild(f"Debian packages are missing and only root can install them: {packages}")
    if shutil.which("apt-get") is None:
        raise CannotBuild(f"libraries are missing and there is no apt-get: {packages}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = f"DPkg::Lock::Timeout={APT_DEADLINE_S:.0f}"
    install = ["install", "-y", "-qq", "--no-install-recommends", *missing]
    for arguments in (["update", "-qq"], install):
        _run(["apt-get", "-o", lock, *arguments], APT_DEADLINE_S, environment)
    if still_missing := _missing_debian_packages():
        raise CannotBuild(f"apt-get did not bring {' '.join(still_missing)}")


def _missing_debian_packages() -> list[str]:
    search_path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    ldconfig = shutil.which("ldconfig", path=search_path)
    if ldconfig is None:
        raise CannotBuild("there is no ldconfig to list the machine's shared libraries")
    listed = _run([ldconfig, "-p"], PROBE_DEADLINE_S)
    known = {line.split()[0] for line in listed.splitlines() if "=>" in line}
    return [name for name, library in DEBIAN_PACKAGES.items() if library not in known]


def _download_mesos(work: Path) -> Path:
    """The native library out of a "dumb" binary distribution.

    Newer pips pass over a version like that, so an old one is brought first. It downloads and
    unpacks the archive, and then fails since there is nothing to install: so its exit code says
    nothing, and the unpacked folder, which --no-clean leaves, is the result.
    """
    _pip(["download", "--no-deps", "-q", "-d", str(work / "pip"), OLD_PIP_PACKAGE])
    old_pip = next((work / "pip").glob("pip-*.whl"), None)
    if old_pip is None:
        raise CannotBuild(f"pip could not bring {OLD_PIP_PACKAGE}")
    unpacked = work / "unpacked"
    unpacked.mkdir()
    environment = {**os.environ, "TMPDIR": str(unpacked)}
    command = [sys.executable, str(old_pip / "pip"), "download", "--no-clean", "--no-deps", "-q"]
    failure = "it left nothing"
    try:
        _run([*command, "-d", str(work / "none"), MESOS_PACKAGE], PIP_DEADLINE_S, environment)
    except CannotBuild as error:
        failure = error.reason
    found = next(unpacked.rglob("_scheduler.so"), None)
    if found is None:
        raise CannotBuild(f"pip could not bring {MESOS_PACKAGE}: {failure}")
    return found


def _add_openssl(work: Path, lib: Path) -> None:
    wheels = work / "wheels"
    foreign = ["--only-binary=:all:", "--python-version=3.6", "--platform=manylinux1_x86_64"]
    _pip(["download", "--no-deps", "-q", "-d", str(wheels), *foreign, OPENSSL_PACKAGE])
    wheel = next(wheels.glob("*.whl"), None)
    if wheel is None:
        raise CannotBuild(f"pip could not bring {OPENSSL_PACKAGE}")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = Path(member).name
            if "/.libs/" in member and name.startswith(OPENSSL_LIBRARIES):
                (lib / name).write_bytes(archive.read(member))
    # The wheel's file names end in a patch letter; the library asks for the plain soname.
    for name in ("libssl", "libcrypto"):
        carried = next(lib.glob(f"{name}-*.so.1.0.2*"))
        (lib / f"{name}.so.1.0.0").symlink_to(carried.name)


def _compile(made: Path, name: str, *defines: str) -> None:
    source_and_target = [str(SOURCES / "node.cc"), "-o", str(made / name)]
    library = [f"-L{made / 'lib'}", "-Wl,--no-as-needed", "-lmesos-scheduler"]
    command = ["g++", *COMPILE_FLAGS, *defines, *source_and_target, *LINK_FLAGS, *library]
    _run(command, COMPILE_DEADLINE_S)


def _check_loads(program: Path) -> None:
    """Without arguments the program prints its usage and ends with 2, if it could be loaded."""
    ended = subprocess.run([program], capture_output=True, timeout=PROBE_DEADLINE_S, check=False)
    if ended.returncode != 2:
        raise CannotBuild(f"the built program does not start: {_last_line(ended.stderr)}")


def _pip(arguments: list[str]) -> None:
    _run([_python_with_pip(), "-m", "pip", *arguments], PIP_DEADLINE_S)


def _python_with_pip() -> str:
    """This interpreter or, where its environment was made without pip, another one."""
    for python in (sys.executable, "/usr/bin/python3", "python3"):
        with contextlib.suppress(CannotBuild, OSError):
            _run([python, "-m", "pip", "--version"], PROBE_DEADLINE_S)
            return python
    raise CannotBuild("there is no pip")


def _run(command: list[str], deadline_s: float, environment: dict[str, str] | None = None) -> str:
    name = Path(command[0]).name
    try:
        ended = subprocess.run(
            command, capture_output=True, timeout=deadline_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"{name} did not end within {deadline_s:.0f} s") from None
    if ended.returncode != 0:
        said = _last_line(ended.stderr) or _last_line(ended.stdout)
        raise CannotBuild(f"{name} failed: {said}")
    return ended.stdout.decode(errors="replace")


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "no output")
