"""A real ZooKeeper for tests that need no Mesos: its package, one server, and nodes in it.

The package and a Java runtime come from Debian; as root they are installed where they are missing.
"""

import logging
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

from tests.real_mesos.ports import Endpoint
from tests.real_mesos.processes import Child
from tests.real_mesos.zookeeper import zookeeper_missing, zookeeper_node
from tests.support.debian import install
from tests.support.waiting import wait_until

PACKAGES: Final = ("zookeeper", "default-jre-headless")
START_DEADLINE_S: Final = 30.0
HOST: Final = "127.77.31.1"
# kazoo logs each request, and with it the credentials that a test uses.
SILENT: Final = logging.Logger("nodes", level=logging.CRITICAL + 1)


def ensure_zookeeper() -> str | None:
    """Installs ZooKeeper where it is missing; why it cannot be had, in a few words, or None."""
    missing = zookeeper_missing()
    if missing is None:
        return None
    refused = install(PACKAGES)
    if refused is not None:
        return f"{missing}, and {refused}"
    return zookeeper_missing()


class ZooKeeperServer:
    """One server at `hosts`; what it holds stays when it is killed and started again."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        self._folder = folder
        self._endpoint = Endpoint(host, _free_port(host))
        self._child: Child | None = None

    @property
    def hosts(self) -> str:
        return str(self._endpoint)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it and returns when it serves: for a moment it listens and answers nothing."""
        node = zookeeper_node(self._folder, self._endpoint)
        child = self._child = Child(node.name, node.command, node.environment, self._folder)

        def answers() -> bool:
            if not child.alive():
                raise RuntimeError(f"ZooKeeper ended: {child.log_tail()}")
            where = (self._endpoint.address, self._endpoint.port)
            with socket.create_connection(where, 1.0) as asked:
                asked.sendall(b"srvr")
                return b"Mode: standalone" in asked.makefile("rb").read()

        wait_until(answers, "ZooKeeper to serve", START_DEADLINE_S)

    def kill(self) -> None:
        """SIGKILL."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stand, nothing is answered."""
        assert self._child is not None
        self._child.pause()

    def resume(self) -> None:
        assert self._child is not None
        self._child.resume()


class Nodes:
    """A client that plays the masters: its nodes below `path` last as long as they are wanted.

    They are not ephemeral, so that a server that was killed comes back with them.
    """

    def __init__(self, hosts: str, path: str, credential: str | None = None) -> None:
        self._path = path
        self._client: Any = KazooClient(
            hosts=hosts,
            auth_data=[("digest", credential)] if credential is not None else None,
            connection_retry={"max_tries": -1, "max_delay": 0.5},
            command_retry={"max_tries": -1, "max_delay": 0.5},
            logger=SILENT,
        )

    def __enter__(self) -> Self:
        self._client.start(timeout=START_DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.stop()
        self._client.close()

    def add_group(self, *, readable: bool = True) -> None:
        """The group's own node; not `readable`: for nobody but its creator."""
        self._client.ensure_path(self._path, acl=None if readable else CREATOR_ALL_ACL)

    def add(self, label: str, data: bytes) -> str:
        """A child with the next sequence number; its name."""
        made: str = self._client.create(f"{self._path}/{label}_", data, sequence=True)
        return made.rpartition("/")[2]

    def put(self, name: str, data: bytes = b"") -> None:
        """A child of that very name, or other data in it."""
        path = f"{self._path}/{name}"
        if self._client.exists(path):
            self._client.set(path, data)
        else:
            self._client.create(path, data)

    def remove(self, name: str) -> None:
        self._client.retry(self._client.delete, f"{self._path}/{name}")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
