"""Which master to try next: those of the setting in turn, or the leader that ZooKeeper names.

It keeps no connection with a master; the stream and the operator client ask it before each try and
tell it what came of that. A standby answers with a redirect to the leader, so any one of the
masters is enough to find it, but a list survives the loss of the one that was named, and ZooKeeper
tells of a new leader before the old one's connections have timed out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final, Protocol

import structlog

from scheduler.errors import MasterRefused, MasterUnavailable, MesosError
from scheduler.mesos.address import (
    MasterAddress,
    MasterSetting,
    Scheme,
    ZooKeeperAddress,
    from_location,
    parse_master,
)
from scheduler.mesos.master_group import Leader, leading_child, read_master_info
from scheduler.mesos.zookeeper import ZooKeeperReader

# During an election two masters may point at each other.
REDIRECTS_MAX: Final = 5
# How long a try waits for a leader to be known before it ends as one that failed.
LEADER_TIMEOUT_S: Final = 10.0
# What could not be read is read again after this time, without a change that we were told of.
READ_AGAIN_S: Final = 2.0
# A client without a connection for so long is replaced: its thread may have died, or the servers
# have lost their data and turn away whoever has seen more than they know.
CLIENT_RENEW_S: Final = 10.0

OnSuperseded = Callable[[Leader], None]

log = structlog.get_logger()


class Candidates(Protocol):
    """The masters that may lead. Not thread-safe; one user each."""

    def followed(self, superseded: OnSuperseded) -> AbstractAsyncContextManager[None]:
        """While it is entered, `superseded` is called when another master than the one that `first`
        gave last is known to lead; once for each `first`."""
        ...

    async def first(self) -> MasterAddress:
        """Where a new try begins. Raises `MasterUnavailable` when nobody is known to lead, and
        `MasterRefused` when we may not know."""
        ...

    def redirected(self, base: MasterAddress, location: str) -> MasterAddress:
        """Where `base` says that the leader is. Raises `MasterUnavailable` after too many hops."""
        ...

    def leads(self, address: MasterAddress) -> None:
        """This one answered as the leader: the next try begins with it, once, unless it is known
        that another one leads."""
        ...


def open_candidates(master: MasterSetting, *, tls: bool) -> Candidates:
    """Reads the `master` setting. `tls` is whether masters found in ZooKeeper speak https, which it
    does not say. Raises `SettingsError`."""
    parsed = parse_master(master)
    if isinstance(parsed, ZooKeeperAddress):
        return ElectedMaster(parsed, "https" if tls else "http")
    return MasterList(parsed)


class _Redirects:
    """Counts the hops of one try."""

    def __init__(self) -> None:
        self._hops = 0

    def begin(self) -> None:
        self._hops = 0

    def follow(self, base: MasterAddress, location: str) -> MasterAddress:
        self._hops += 1
        if self._hops > REDIRECTS_MAX:
            raise MasterUnavailable(f"{base}: more than {REDIRECTS_MAX} redirects, no leader yet")
        target = from_location(location, base)
        log.info("session.redirected", master=base.url(), leader=target.url())
        return target


class MasterList:
    """Masters that are named one by one; see `Candidates`."""

    def __init__(self, addresses: Sequence[MasterAddress]) -> None:
        self._addresses = addresses
        self._next = 0
        self._led_last: MasterAddress | None = None
        self._redirects = _Redirects()

    def followed(self, superseded: OnSuperseded) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # nobody tells

    async def first(self) -> MasterAddress:
        """The master that led last, else the next of the list."""
        self._redirects.begin()
        address, self._led_last = self._led_last, None
        if address is None:
            address = self._addresses[self._next]
            self._next = (self._next + 1) % len(self._addresses)
        return address

    def redirected(self, base: MasterAddress, location: str) -> MasterAddress:
        return self._redirects.follow(base, location)

    def leads(self, address: MasterAddress) -> None:
        self._led_last = address


class ElectedMaster:
    """The master that the others elected through ZooKeeper; see `Candidates`.

    A connection with ZooKeeper that is lost, and a session that ends, say nothing about the
    masters: the last leader that was seen stays the leader until another one is seen. So does one
    whose node vanished without a successor, since there is nobody else to go to.
    """

    def __init__(self, address: ZooKeeperAddress, scheme: Scheme) -> None:
        self._address = address
        self._scheme: Scheme = scheme
        self._redirects = _Redirects()
        self._led_last: MasterAddress | None = None
        self._superseded: OnSuperseded | None = None
        self._given: Leader | None = None
        self._leader: Leader | None = None
        self._problem: MesosError = MasterUnavailable("")
        self._seen = asyncio.Event()
        """Set when a leader, or a reason why there is none that waiting helps with, is known."""

    @asynccontextmanager
    async def followed(self, superseded: OnSuperseded) -> AsyncIterator[None]:
        self._superseded = superseded
        self._forget(f"{self._address}: no ZooKeeper server answers")
        try:
            async with asyncio.TaskGroup() as group:
                follower = group.create_task(self._follow())
                try:
                    yield
                finally:
                    follower.cancel()
        except BaseExceptionGroup as group_error:
            # The user's own error, or ours; the other task was only cancelled.
            raise group_error.exceptions[0] from None
        finally:
            self._superseded = None

    async def first(self) -> MasterAddress:
        """The leader. Without being followed, the one that led last; else ZooKeeper is asked."""
        self._redirects.begin()
        if self._superseded is not None:
            self._given = None
            self._given = await self._wait_for_leader()
            return self._given.address
        address, self._led_last = self._led_last, None
        if address is None:
            async with self.followed(lambda _: None):
                address = (await self._wait_for_leader()).address
        return address

    def redirected(self, base: MasterAddress, location: str) -> MasterAddress:
        return self._redirects.follow(base, location)

    def leads(self, address: MasterAddress) -> None:
        self._led_last = address

    async def _wait_for_leader(self) -> Leader:
        try:
            async with asyncio.timeout(LEADER_TIMEOUT_S):
                await self._seen.wait()
        except TimeoutError:
            raise MasterUnavailable(str(self._problem)) from None
        if self._leader is None:
            raise MasterRefused(str(self._problem))
        return self._leader

    # --- following -------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            reader = ZooKeeperReader(self._address)
            reader.start()
            try:
                await self._read_on(reader)
            except TimeoutError:
                log.warning("zookeeper.renewed", zookeeper=str(self._address))
            finally:
                await reader.stop()

    async def _read_on(self, reader: ZooKeeperReader) -> None:
        """Reads whenever something may have changed. Raises TimeoutError when nobody answers."""
        while True:
            async with asyncio.timeout(CLIENT_RENEW_S):
                await reader.connected.wait()
            reader.stale.clear()
            read_again_s = None
            try:
                await self._read(reader)
            except MesosError as error:
                self._is_unknown(error)
                read_again_s = READ_AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(read_again_s):
                    await reader.stale.wait()

    async def _read(self, reader: ZooKeeperReader) -> None:
        """Looks who leads. Raises `MesosError` when that cannot be known now."""
        node = leading_child(await reader.children())
        if node is None:
            raise MasterUnavailable(f"{self._address}: no master leads")
        data = await reader.data(node)
        if data is None:
            # It went between the two looks: its watch is not set, so look again at once.
            reader.stale.set()
            return
        # Read each time: ZooKeeper that lost its data gives the same names to other masters.
        self._is_known(read_master_info(data, self._scheme))

    def _forget(self, why: str) -> None:
        self._leader = self._given = None
        self._problem = MasterUnavailable(why)
        self._seen.clear()

    def _is_unknown(self, error: MesosError) -> None:
        """Keeps the last leader; tells only what has not been told."""
        if str(error) != str(self._problem):
            log.warning("zookeeper.no_leader", reason=str(error), zookeeper=str(self._address))
        self._problem = error
        if isinstance(error, MasterRefused):
            self._seen.set()
        elif self._leader is None:
            self._seen.clear()

    def _is_known(self, leader: Leader) -> None:
        self._problem = MasterUnavailable("")
        if leader != self._leader:
            log.info("zookeeper.leader", master=leader.address.url(), master_id=leader.master_id)
        self._leader = leader
        self._seen.set()
        if self._given is not None and self._given != leader and self._superseded is not None:
            self._given = None
            self._superseded(leader)
