"""Which master to try next: the addresses of the setting, in turn, and where redirects lead.

It keeps no connection; the stream and the operator client ask it before each try and tell it
what came of that. A standby answers with a redirect to the leader, so any one of the masters is
enough to find it, but a list survives the loss of the one that was named.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from scheduler.errors import MasterUnavailable, MesosError
from scheduler.mesos.address import MasterAddress, ZooKeeperAddress, from_location, parse_master

# During an election two masters may point at each other.
REDIRECTS_MAX: Final = 5

log = structlog.get_logger()


class Candidates:
    """The masters that may lead. Not thread-safe; one user each."""

    def __init__(self, master: str | Sequence[str]) -> None:
        """Reads the `master` setting. Raises `SettingsError`, or `MesosError` for ZooKeeper."""
        parsed = parse_master(master)
        if isinstance(parsed, ZooKeeperAddress):
            raise MesosError(
                f"{parsed}: ZooKeeper discovery comes with a later version; "
                "give the masters' own addresses instead, as in http://host:5050"
            )
        self._addresses = parsed
        self._next = 0
        self._led_last: MasterAddress | None = None
        self._redirects = 0

    def first(self) -> MasterAddress:
        """Where a new try begins: at the master that led last, else at the next of the list."""
        self._redirects = 0
        address, self._led_last = self._led_last, None
        if address is None:
            address = self._addresses[self._next]
            self._next = (self._next + 1) % len(self._addresses)
        return address

    def redirected(self, base: MasterAddress, location: str) -> MasterAddress:
        """Where `base` says that the leader is. Raises `MasterUnavailable` after too many hops."""
        self._redirects += 1
        if self._redirects > REDIRECTS_MAX:
            raise MasterUnavailable(f"{base}: more than {REDIRECTS_MAX} redirects, no leader yet")
        target = from_location(location, base)
        log.info("session.redirected", master=base.url(), leader=target.url())
        return target

    def leads(self, address: MasterAddress) -> None:
        """This one answered as the leader: the next try begins with it, once."""
        self._led_last = address
