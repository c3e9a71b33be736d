"""One daemon of a stage, with taps of its own before all that it talks to.

`apart`, it has a host of its own, with a cable to etcd, one to the masters, and one to its users
and the other daemons. Taps stand at our end of each: what they see has come over the cable.
"""

import os
import signal
from pathlib import Path
from typing import Any, Final

from tests.faults.masters import WitnessedMaster
from tests.faults.taps import HOST, Tap, Taps
from tests.support.daemon import DaemonProcess
from tests.support.etcd_cluster import EtcdCluster
from tests.support.private_host import Cable, PrivateHost

NAME: Final = "faults"
ETCD_ANSWERS_LATE_S: Final = 0.002
PORT: Final = 8080
TOKEN: Final = "a-token-of-24-characters"


class Instance:
    """`apart`: on that host, instead of this one."""

    def __init__(
        self,
        name: str,
        folder: Path,
        taps: Taps,
        etcd: EtcdCluster,
        master: WitnessedMaster,
        apart: PrivateHost | None = None,
    ) -> None:
        self.name = name
        self.paused = False
        self.to_etcd = None if apart is None else apart.cable("etcd")
        self.to_master = None if apart is None else apart.cable("master")
        self.etcd_taps = [
            taps.tap(name, endpoint, host=_near(self.to_etcd), answers_late_s=ETCD_ANSWERS_LATE_S)
            for endpoint in etcd.endpoints
        ]
        self.way = master.join(name, taps, _near(self.to_master))
        if apart is None:
            self.daemon = DaemonProcess(folder, {})
            access: dict[str, Any] = {"advertise": self.daemon.url}
        else:
            cable = apart.cable("others", elsewhere=True)
            self.daemon = DaemonProcess(
                folder, {}, host=cable.far, port=PORT, token=TOKEN, inside=apart.inside
            )
            tap = taps.tap(name, f"{cable.far}:{PORT}", host=cable.near)
            access = {"advertise": f"http://{tap.address}"} | _tokens(folder / "token")
        self.host = apart
        store = ",".join(tap.address for tap in self.etcd_taps)
        self.daemon.configure(
            {
                "instance": name,
                **access,
                "store": f"etcd://{store}",
                "master": self.way.setting,
                "framework": {"name": NAME},
                "offers": {"revive_interval_min": "200ms"},
                # Those that have ended stay, for the judge to compare.
                "batches": {"keep_count": 100_000},
            }
        )

    @property
    def cables(self) -> list[Cable]:
        return [] if self.host is None else self.host.cables

    @property
    def taps(self) -> list[Tap]:
        return [*self.etcd_taps, *self.way.taps]

    def start(self) -> None:
        self.daemon.spawn()

    def kill(self) -> None:
        self.daemon.kill9()

    def pause(self) -> None:
        os.kill(self.daemon.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        os.kill(self.daemon.pid, signal.SIGCONT)
        self.paused = False


def _tokens(file: Path) -> dict[str, Any]:
    """Beyond loopback each daemon asks for one."""
    file.write_text(TOKEN)
    file.chmod(0o600)
    return {"api": {"token_file": str(file)}, "peer_token_file": str(file)}


def _near(cable: Cable | None) -> str:
    return HOST if cable is None else cable.near
