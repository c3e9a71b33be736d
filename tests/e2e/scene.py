"""What a scenario works with: a master, daemons with frameworks of their own, job documents."""

import re
from pathlib import Path
from typing import Any, Final

from tests.real_mesos.nodes import Credential
from tests.support.cluster_state import FrameworkState
from tests.support.daemon import DaemonProcess
from tests.support.masters import Master
from tests.support.waiting import wait_until

Document = dict[str, Any]

RESOURCES: Final = {"cpus": 0.1, "mem": "32MiB"}


def service(job: str, instances: int = 1, **more: Any) -> Document:
    """A service that runs until it is killed."""
    return {
        "job": job,
        "kind": "service",
        "instances": instances,
        "command": "exec sleep 1000",
        "resources": RESOURCES,
        "update": {"min_healthy_time": "200ms"},
        "kill": {"grace": "1s"},
        **more,
    }


def batch(job: str, instances: int = 1, command: str = "true", **more: Any) -> Document:
    """A batch; its tasks finish at once."""
    return {
        "job": job,
        "kind": "batch",
        "instances": instances,
        "command": command,
        "resources": RESOURCES,
        **more,
    }


class Scene:
    """A master for one scenario."""

    def __init__(self, master: Master, folder: Path, test_name: str) -> None:
        self.master = master
        self._folder = folder
        self._name = re.sub(r"[^a-z0-9]+", "-", test_name.lower()).strip("-")[:60]
        self._daemons: list[DaemonProcess] = []

    def settings(
        self, *, master_url: str | None = None, secret: str | None = None, **framework: Any
    ) -> Document:
        """A settings document of this scenario's framework, with further keys of `framework`."""
        credential: Credential = self.master.credential
        secret_file = self._folder / ("secret" if secret is None else "other-secret")
        secret_file.write_text(secret or credential.secret)
        return {
            "master": master_url or self.master.url,
            "framework": {
                "name": self._name,
                "principal": credential.principal,
                "secret_file": str(secret_file),
                **framework,
            },
            "offers": {"revive_interval_min": "200ms"},
        }

    def framework_name(self) -> str:
        """The name of this scenario's frameworks; those of it are torn down at the end."""
        return self._name

    def daemon(self, settings: Document | None = None) -> DaemonProcess:
        """A daemon that is not started yet, in a folder of its own."""
        folder = self._folder / f"daemon-{len(self._daemons)}"
        daemon = DaemonProcess(folder, settings or self.settings())
        self._daemons.append(daemon)
        return daemon

    def running_daemon(self, settings: Document | None = None) -> tuple[DaemonProcess, str]:
        """A daemon that has subscribed, and its framework id."""
        daemon = self.daemon(settings).start()
        return daemon, daemon.wait_until_connected()

    def framework(self, framework_id: str) -> FrameworkState:
        """What the master says of a framework now."""
        return FrameworkState(self.master.state(), framework_id)

    def frameworks(self) -> list[Document]:
        """This scenario's frameworks at the master."""
        listed = self.master.state()["frameworks"]
        return [one for one in listed if one["name"] == self._name]

    def registered(self) -> list[str]:
        """Their ids."""
        return [one["id"] for one in self.frameworks()]

    def wait_for_running(
        self, framework_id: str, job: str, count: int, deadline_s: float = 10.0
    ) -> list[str]:
        """The task ids, when the master shows so many running and no others live."""

        def fits() -> list[str]:
            now = self.framework(framework_id)
            now.assert_none_twice()
            running = now.running(job)
            live = [(task["id"], task["state"]) for task in now.live(job)]
            assert len(running) == len(live) == count, f"live: {live}"
            return running or ["none"]

        found = wait_until(fits, f"{count} tasks of {job} to run", deadline_s)
        return [] if count == 0 else found

    def end(self) -> None:
        """Daemons are killed, their frameworks torn down, and logs shown if the test failed."""
        for daemon in self._daemons:
            daemon.kill9()
            print(f"--- {daemon.folder.name}\n{daemon.log_tail()}")
        for framework_id in self.registered():
            self.master.tear_down(framework_id)
