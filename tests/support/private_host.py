"""A host of its own for a child process: a network namespace, with cables that can be cut.

A cable is a pair of veth devices with one address at each end, and nothing else goes over it. What
a cut one is given is lost in silence: no end is told, as with a switch that has failed. Needs root;
`ensure_private_hosts` skips a test elsewhere, with a word.

    this process   198.18.p.n  ═══ cable ═══  198.18.p.n+1   the child
"""

import contextlib
import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.support.waiting import wait_until

# Meant for benchmarks of network devices (RFC 2544): nobody's address. Test processes that run at
# the same time differ in the third number.
NETWORK: Final = f"198.18.{os.getpid() % 250}"
ADDRESSES: Final = 256
COMMAND_S: Final = 10.0
_TOOLS: Final = ("ip", "tc", "nsenter", "unshare", "setpriv")
# FIN_WAIT1, LAST_ACK and CLOSING, as /proc/net/tcp writes them.
_CLOSED_AND_SENDING: Final = frozenset({"04", "09", "0B"})
_numbers = itertools.count(0, 2)


def ensure_private_hosts() -> None:
    """Skips the test where none can be made."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no network namespaces without {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("network namespaces are root's")
    try:
        with PrivateHost() as host:
            host.cable("probe").cut()
    except NotAllowed as error:
        pytest.skip(f"no network namespaces here: {error}")


class NotAllowed(Exception):
    """A command about networks failed, as it says."""


@dataclass(frozen=True, slots=True)
class Cable:
    """`near` is our address, `far` that of the host; `_device` is our end, `_inside` enters it."""

    name: str
    near: str
    far: str
    _device: str
    _inside: tuple[str, ...]

    def cut(self, *, inwards: bool = True, outwards: bool = True) -> None:
        """What is sent to the host (`inwards`) or by it is lost from now on."""
        if inwards:
            _run("tc", "qdisc", "replace", "dev", self._device, "root", "blackhole")
        if outwards:
            _run(*self._inside, "tc", "qdisc", "replace", "dev", self.name, "root", "blackhole")

    def mend(self) -> None:
        for end in (("tc",), (*self._inside, "tc")):
            device = self._device if end == ("tc",) else self.name
            if "blackhole" in _run(*end, "qdisc", "show", "dev", device):
                _run(*end, "qdisc", "del", "dev", device, "root")


class PrivateHost:
    """Stands while its context is open. `inside` before a command runs it there, with its pid."""

    def __init__(self) -> None:
        self.cables: list[Cable] = []
        # The kernel ends the namespace with its last process, and its cables with it.
        self._keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.inside = ("nsenter", "--net", f"--target={self._keeper.pid}")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.push(self)
            wait_until(self._apart, "a network namespace", COMMAND_S)
            _run(*self.inside, "ip", "link", "set", "lo", "up")
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for cable in self.cables:
            _run("ip", "link", "del", cable._device)
        self._keeper.kill()
        self._keeper.wait(COMMAND_S)

    def cable(self, name: str, *, elsewhere: bool = False) -> Cable:
        """One more cable; with `elsewhere` it is the way to all that has none of its own."""
        number = next(_numbers)
        device = f"offerd{os.getpid()}.{number}"[-15:]
        near, far = (f"{NETWORK}.{(number + end) % ADDRESSES}" for end in (0, 1))
        there = f"netns {self._keeper.pid}"
        _run(*f"ip link add {device} type veth peer name {name} {there}".split())
        made = Cable(name, near, far, device, self.inside)
        self.cables.append(made)
        _run(*f"ip address add {near}/31 dev {device}".split())
        _run(*f"ip link set dev {device} up".split())
        _run(*self.inside, *f"ip address add {far}/31 dev {name}".split())
        _run(*self.inside, *f"ip link set dev {name} up".split())
        if elsewhere:
            _run(*self.inside, *f"ip route add default via {near}".split())
        return made

    def delivered(self) -> bool:
        """Whether the kernel has nothing left to send on connections that were closed."""
        lines = Path(f"/proc/{self._keeper.pid}/net/tcp").read_text().splitlines()[1:]
        return not any(line.split()[3] in _CLOSED_AND_SENDING for line in lines)

    def _apart(self) -> bool:
        if self._keeper.poll() is not None:
            raise NotAllowed("unshare --net ended")
        ours, its = (Path(f"/proc/{of}/ns/net") for of in ("self", self._keeper.pid))
        return ours.readlink() != its.readlink()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, timeout=COMMAND_S, check=False, text=True)
    if done.returncode != 0:
        raise NotAllowed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
