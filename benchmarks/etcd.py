"""A stock etcd, of one member or three, each a child process with its data on disk."""

import contextlib
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.children import HOST, POLL_S, START_DEADLINE_S, BenchmarkFailed, Child, free_port

PROBE_DEADLINE_S: Final = 2.0


class _Member(Child):
    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.data = folder / name
        self.client, self.peer, self._probe = (f"{HOST}:{free_port()}" for _ in range(3))

    def run(self, cluster: str) -> None:
        client, peer = f"http://{self.client}", f"http://{self.peer}"
        self.start(
            "etcd", f"--name={self.name}", f"--data-dir={self.data}",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--listen-metrics-urls=http://{self._probe}", f"--initial-cluster={cluster}",
        )  # fmt: skip

    def healthy(self) -> bool:
        self.check()
        with contextlib.suppress(OSError):
            url = f"http://{self._probe}/health"
            with urllib.request.urlopen(url, timeout=PROBE_DEADLINE_S) as answer:
                return bool(json.load(answer)["health"] == "true")
        return False


@contextlib.contextmanager
def etcd(folder: Path, members: int = 1) -> Iterator[str]:
    """The store setting of a healthy cluster."""
    if shutil.which("etcd") is None:
        raise BenchmarkFailed("etcd is missing: apt-get install etcd-server")
    with contextlib.ExitStack() as stack:
        all_ = [stack.enter_context(_Member(folder, f"etcd{n}")) for n in range(members)]
        cluster = ",".join(f"{member.name}=http://{member.peer}" for member in all_)
        for member in all_:
            member.run(cluster)
        deadline = time.monotonic() + START_DEADLINE_S
        while not all(member.healthy() for member in all_):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"etcd was not healthy after {START_DEADLINE_S:g} s")
            time.sleep(POLL_S)
        yield "etcd://" + ",".join(member.client for member in all_)
