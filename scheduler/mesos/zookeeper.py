"""One client of ZooKeeper, for reading: kazoo's threads on one side, the event loop on the other.

kazoo's callbacks only hand data over to the loop; everything that can block on a thread of kazoo's
runs beside the loop. What the nodes mean is master_group.py's, what follows is discovery.py's.
kazoo's own log is dropped: its requests hold the password.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, KazooException, NoAuthError, NoNodeError
from kazoo.protocol.states import KazooState

from scheduler.errors import MasterRefused, MasterUnavailable
from scheduler.mesos.address import ZooKeeperAddress

# A server that hangs is left after two thirds of it. Nothing of ours ends with a session, so it may
# be shorter than that of the masters; the server may choose otherwise.
SESSION_TIMEOUT_S: Final = 6.0
ANSWER_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 2.0
_RECONNECT: Final = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 2.0}

# Outside of the tree of loggers, so that no configuration of it brings the records back.
_SILENT: Final = logging.Logger("kazoo", level=logging.CRITICAL + 1)

log = structlog.get_logger()


class ZooKeeperReader:
    """Reads nodes below one address and says when to read again.

    `connected` is set while a server answers. `stale` is set when something that was read may have
    changed, and with each change of the connection. One event loop; `start` and `stop` once each.
    """

    def __init__(self, address: ZooKeeperAddress) -> None:
        self.connected = asyncio.Event()
        self.stale = asyncio.Event()
        self._address = address
        self._loop = asyncio.get_running_loop()
        credential = f"{address.user}:{address.password}"
        self._client = KazooClient(
            hosts=address.hosts_text,
            timeout=SESSION_TIMEOUT_S,
            auth_data=[("digest", credential)] if address.user is not None else None,
            connection_retry=dict(_RECONNECT),
            logger=_SILENT,
        )

    def start(self) -> None:
        """Begins to connect, and keeps trying; waits for nothing."""
        self._client.add_listener(self._on_state)
        self._client.start_async()

    async def stop(self) -> None:
        """Closes the session. A client that hangs (in a look-up of a name) is left behind."""
        stopped = asyncio.Event()

        def close() -> None:
            # It may not join its threads in time; that is all that it can raise.
            with contextlib.suppress(KazooException):
                self._client.stop()
                self._client.close()
            self._hand_over(stopped.set)

        # No thread of the loop's own pool: the loop's end would wait for it.
        threading.Thread(target=close, daemon=True).start()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await stopped.wait()
        except TimeoutError:
            log.warning("zookeeper.not_stopped", zookeeper=str(self._address))

    async def children(self) -> list[str]:
        """The names of the group's children; `stale` follows the next change of them.

        Raises `MasterUnavailable`, or `MasterRefused` where ZooKeeper does not let us read.
        """
        path = self._address.path
        try:
            found: list[str] = await self._answer(
                self._client.get_children_async(path, self._on_change)
            )
        except NoNodeError:
            raise MasterUnavailable(f"{self._address}: there is no node {path}") from None
        return found

    async def data(self, child: str) -> bytes | None:
        """What a child of the group holds; None when it is gone. Watched and raises as above."""
        path = f"{self._address.path}/{child}"
        try:
            found: tuple[bytes, object] = await self._answer(
                self._client.get_async(path, self._on_change)
            )
        except NoNodeError:
            return None
        return found[0]

    async def _answer(self, result: Any) -> Any:
        """What one of kazoo's AsyncResults comes to."""
        answered: asyncio.Future[Any] = self._loop.create_future()

        def settle() -> None:
            if answered.done():
                return
            if result.exception is not None:
                answered.set_exception(result.exception)
            else:
                answered.set_result(result.value)

        result.rawlink(lambda _: self._hand_over(settle))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await answered
        except TimeoutError:
            raise MasterUnavailable(
                f"{self._address}: no answer within {ANSWER_TIMEOUT_S:g} s"
            ) from None
        except NoNodeError:
            raise
        except (NoAuthError, AuthFailedError):
            raise MasterRefused(
                f"{self._address}: ZooKeeper does not let us read the masters' group; check user "
                "and password in the setting master (zk://user:password@…)"
            ) from None
        except KazooException as error:
            raise MasterUnavailable(f"{self._address}: {type(error).__name__}") from None

    # --- on kazoo's threads ----------------------------------------------------------------------

    def _on_state(self, state: str) -> None:
        self._hand_over(lambda: self._state_is(state))

    def _on_change(self, _: object) -> None:
        self._hand_over(self.stale.set)

    def _hand_over(self, callback: Callable[[], None]) -> None:
        # A loop that has ended waits for nothing.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    # --- in the loop -----------------------------------------------------------------------------

    def _state_is(self, state: str) -> None:
        log.info("zookeeper.state", state=state.lower(), zookeeper=str(self._address))
        if state == KazooState.CONNECTED:
            self.connected.set()
        else:
            self.connected.clear()
        self.stale.set()
