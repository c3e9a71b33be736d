"""Real etcd, of one member or more, on loopback addresses of its own; and ways to hurt it."""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.waiting import wait_until

START_DEADLINE_S: Final = 30.0
COMMAND_DEADLINE_S: Final = 20.0
INSTALL_DEADLINE_S: Final = 300.0
PROBE_DEADLINE_S: Final = 2.0
PACKAGES: Final = ("etcd-server", "etcd-client")


@functools.cache
def ensure_etcd() -> None:
    """Installs Debian's etcd where it is missing and may be installed; else skips the test."""
    if _installed():
        return
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        for command in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
            subprocess.run(
                ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
                capture_output=True,
                timeout=INSTALL_DEADLINE_S,
                check=False,
            )
    if not _installed():
        pytest.skip(f"etcd is missing: apt-get install {' '.join(PACKAGES)}")


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM files. Clients have to show a certificate of the same authority."""

    authority: Path
    certificate: Path
    key: Path


class EtcdMember:
    """One etcd process, which may be killed, paused and started again."""

    def __init__(self, name: str, host: str, folder: Path, scheme: str) -> None:
        self.name = name
        self.folder = folder
        self.scheme = scheme
        ports = _free_ports(host, 3)
        self.endpoint, self.peer, self._probe = (f"{host}:{port}" for port in ports)
        self.command: Sequence[str] = ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """It was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Returns at once; see `await_healthy`."""
        assert self._process is None, f"{self.name} runs"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *self.command, f"--listen-metrics-urls=http://{self._probe}"],
                stdout=log,
                stderr=log,
            )

    def await_healthy(self) -> None:
        wait_until(self.healthy, f"{self.name} to be healthy", START_DEADLINE_S)

    def listens(self) -> bool:
        """Clients can connect, if to no use yet."""
        host, port = self.endpoint.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=PROBE_DEADLINE_S).close()
        except ConnectionRefusedError:
            return False
        return True

    def healthy(self) -> bool:
        """It runs, and its cluster has a leader."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"etcd ended with {code}: {self._log_end()}")
        with urllib.request.urlopen(
            f"http://{self._probe}/health", timeout=PROBE_DEADLINE_S
        ) as answer:
            return bool(json.load(answer)["health"] == "true")

    def kill(self) -> None:
        """kill -9."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(COMMAND_DEADLINE_S)

    def pause(self) -> None:
        """Hangs: its connections live on and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _log_end(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


class EtcdCluster:
    """`network` are the first three numbers of its addresses, as in "127.77.30"."""

    def __init__(
        self,
        folder: Path,
        network: str,
        size: int = 1,
        options: Sequence[str] = (),
        tls: EtcdTls | None = None,
    ) -> None:
        ensure_etcd()
        self.tls = tls
        scheme = "http" if tls is None else "https"
        self.members = [
            EtcdMember(f"m{n}", f"{network}.{n}", folder / f"m{n}", scheme)
            for n in range(1, size + 1)
        ]
        peers = ",".join(f"{member.name}=http://{member.peer}" for member in self.members)
        for member in self.members:
            member.command = _command(member, peers, tls, options)

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    def start(self) -> None:
        for member in self.members:
            member.start()
        for member in self.members:
            member.await_healthy()

    def stop(self) -> None:
        for member in self.members:
            member.kill()

    def etcdctl(self, *arguments: str, flags: Mapping[str, str] | None = None) -> str:
        """Runs Debian's etcdctl against the first member; gives what it prints."""
        command = ["etcdctl", f"--endpoints={self.members[0].scheme}://{self.endpoints[0]}"]
        if self.tls is not None:
            command += [f"--cacert={self.tls.authority}"]
            command += [f"--cert={self.tls.certificate}", f"--key={self.tls.key}"]
        command += [f"--{name}={value}" for name, value in (flags or {}).items()]
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"etcdctl {arguments}: {done.stderr}"
        return done.stdout


@contextlib.contextmanager
def etcd_cluster(
    folder: Path,
    network: str,
    size: int = 1,
    options: Sequence[str] = (),
    tls: EtcdTls | None = None,
) -> Iterator[EtcdCluster]:
    """A cluster that is up, and gone afterwards. Skips the test where etcd can't be had."""
    cluster = EtcdCluster(folder, network, size, options, tls)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


# Whatever happens to the tests, the kernel ends their children.
_DIES_WITH_US: Final = ("setpriv", "--pdeathsig=KILL") if shutil.which("setpriv") else ()


def _command(
    member: EtcdMember, peers: str, tls: EtcdTls | None, options: Sequence[str]
) -> list[str]:
    url = f"{member.scheme}://{member.endpoint}"
    command = [
        "etcd",
        f"--name={member.name}",
        f"--data-dir={member.folder / 'data'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://{member.peer}",
        f"--initial-advertise-peer-urls=http://{member.peer}",
        f"--initial-cluster={peers}",
        "--initial-cluster-state=new",
        "--logger=zap",
        "--log-level=error",
    ]
    if tls is not None:
        command += [f"--cert-file={tls.certificate}", f"--key-file={tls.key}"]
        command += [f"--trusted-ca-file={tls.authority}", "--client-cert-auth"]
    return [*command, *options]


def _free_ports(host: str, count: int) -> list[int]:
    """Nobody else knows of the address, so what is free now stays so."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((host, 0))
        return [one.getsockname()[1] for one in sockets]


def _installed() -> bool:
    return all(shutil.which(command) is not None for command in ("etcd", "etcdctl"))
