"""Several daemons on one real etcd, before one emulated master: all of them processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster_state import FrameworkState
from tests.support.daemon import HOST, DaemonProcess
from tests.support.etcd_cluster import EtcdCluster, etcd_cluster
from tests.support.masters import EmulatedMaster
from tests.support.waiting import wait_until

NETWORK = "127.77.60"
TTL_S = 2
DAEMONS_START_S = 30.0
TAKEOVER_S = 30.0

Document = dict[str, Any]


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd"), NETWORK) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedMaster]:
    started = EmulatedMaster(tmp_path_factory.mktemp("master"), {"simulate": True})
    yield started
    started.stop()


class Company:
    """Daemons of one framework, `name`. What each is told beside the common settings is its own."""

    def __init__(self, folder: Path, name: str, etcd: EtcdCluster, master: EmulatedMaster) -> None:
        self._folder = folder
        self.name = name
        self._etcd = etcd
        self.master = master
        self.daemons: list[DaemonProcess] = []

    def hire(self, scheme: str = "http", **more: Any) -> DaemonProcess:
        """A daemon that is not started yet."""
        instance = f"offerd-{len(self.daemons) + 1}"
        daemon = DaemonProcess(self._folder / instance, {})
        daemon.url = f"{scheme}://{HOST}:{daemon.port}"
        daemon.configure(self.settings(instance, daemon.url) | more)
        self.daemons.append(daemon)
        return daemon

    def settings(self, instance: str, advertise: str) -> Document:
        credential = self.master.credential
        secret = self._folder / "framework-secret"
        secret.write_text(credential.secret)
        return {
            "master": self.master.url,
            "store": "etcd://" + ",".join(self._etcd.endpoints),
            "etcd": {"prefix": self._folder.name},
            "election": {"ttl": f"{TTL_S}s"},
            "instance": instance,
            "advertise": advertise,
            "framework": {
                "name": self.name,
                "principal": credential.principal,
                "secret_file": str(secret),
            },
            "offers": {"revive_interval_min": "200ms"},
        }

    def leader(self, deadline_s: float = TAKEOVER_S) -> DaemonProcess:
        """Who leads, once one of those alive does."""

        def leading() -> DaemonProcess | None:
            alive = [daemon for daemon in self.daemons if daemon.alive()]
            led = [daemon for daemon in alive if daemon.api.status()["leading"]]
            assert len(led) <= 1, "two lead"
            return led[0] if led else None

        found = wait_until(leading, "a leader", deadline_s)
        assert found is not None
        return found

    def framework(self, framework_id: str) -> FrameworkState:
        """What the master says of a framework now."""
        return FrameworkState(self.master.state(), framework_id)

    def end(self) -> None:
        for daemon in self.daemons:
            daemon.kill9()
            print(f"--- {daemon.folder.name}\n{daemon.log_tail()}")
        for framework in self.master.state()["frameworks"]:
            if framework["name"].startswith(self.name):
                self.master.tear_down(framework["id"])


@pytest.fixture
def company(
    tmp_path: Path, etcd: EtcdCluster, master: EmulatedMaster, request: pytest.FixtureRequest
) -> Iterator[Company]:
    made = Company(tmp_path, request.node.name, etcd, master)
    yield made
    made.end()
