"""Recording TCP proxies, all on one clock: what went by, when, and for which daemon.

They run in one thread. Each tap belongs to one daemon and one server, changes no byte, and may be
told to hold everything back, as a network that drops packets, or to refuse connections.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from tests.support.listening import stop_listening

HOST: Final = "127.77.50.254"
READ_BYTES: Final = 1 << 16
DEADLINE_S: Final = 10.0

T = TypeVar("T")


class Chunk(NamedTuple):
    """Bytes of one connection. `at`: when they had come from the daemon (`outwards`), or just
    before they were given to it: the earliest and the latest moment that can be known."""

    at: float
    outwards: bool
    data: bytes


@dataclass(eq=False)
class Connection:
    """All that went by on one connection of the daemon named `daemon`."""

    daemon: str
    chunks: list[Chunk] = field(default_factory=list)


class Tap:
    """`address` is where the daemon finds `target`, as host:port. Made by `Taps.tap`.

    With `answers_late_s` answers are held for a moment, so that what a daemon says without waiting
    for them comes by first.
    """

    def __init__(self, daemon: str, target: str, host: str, answers_late_s: float) -> None:
        self.address = ""
        self._host = host
        self.connections: list[Connection] = []
        self._daemon = daemon
        self._target = target
        self._answers_late_s = answers_late_s
        self._outwards_open = asyncio.Event()
        self._inwards_open = asyncio.Event()
        self.heal()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def last_at(self) -> float:
        """When something last went by."""
        chunks = [connection.chunks[-1] for connection in self.connections if connection.chunks]
        return max((chunk.at for chunk in chunks), default=0.0)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"{self._host}:{port}"

    async def close(self) -> None:
        self._refuses = True
        if self._server is not None:
            await stop_listening(self._server)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn

    def hold(self) -> None:
        self._outwards_open.clear()
        self._inwards_open.clear()

    def mute(self) -> None:
        self._inwards_open.clear()

    def delay(self, answers_late_s: float) -> None:
        self._answers_late_s = answers_late_s

    def refuse(self) -> None:
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def heal(self) -> None:
        self._refuses = False
        self._outwards_open.set()
        self._inwards_open.set()

    def _accept(self, near: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._serve(near, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        recorded = Connection(self._daemon)
        self.connections.append(recorded)
        self._writers.add(near_writer)
        try:
            await self._outwards_open.wait()
            await self._connect(near, near_writer, recorded)
        finally:
            self._writers.discard(near_writer)
            near_writer.transport.abort()

    async def _connect(
        self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter, recorded: Connection
    ) -> None:
        host, port = self._target.rsplit(":", 1)
        try:
            far, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outwards(near, far_writer, recorded))
                group.create_task(self._inwards(far, near_writer, recorded))
        finally:
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def _outwards(
        self, near: asyncio.StreamReader, far: asyncio.StreamWriter, recorded: Connection
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await near.read(READ_BYTES):
                recorded.chunks.append(Chunk(time.monotonic(), True, data))
                await self._outwards_open.wait()
                far.write(data)
                await far.drain()
        far.transport.abort()

    async def _inwards(
        self, far: asyncio.StreamReader, near: asyncio.StreamWriter, recorded: Connection
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await far.read(READ_BYTES):
                if self._answers_late_s:
                    await asyncio.sleep(self._answers_late_s)
                await self._inwards_open.wait()
                if near.is_closing():
                    break  # cut off meanwhile: nobody was told
                recorded.chunks.append(Chunk(time.monotonic(), False, data))
                near.write(data)
                await near.drain()
        near.transport.abort()


class Taps:
    """The thread that all taps run in, while the context is open."""

    def __init__(self) -> None:
        self._taps: list[Tap] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="taps", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for tap in self._taps:
            self._run(tap.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def tap(
        self, daemon: str, target: str, *, host: str = HOST, answers_late_s: float = 0.0
    ) -> Tap:
        """One more. `host` is where it listens: an address of ours that the daemon can reach."""
        made = Tap(daemon, target, host, answers_late_s)
        self._run(made.listen())
        self._taps.append(made)
        return made

    def hold(self, *taps: Tap) -> None:
        """Nothing goes by any more; connections stand, and new ones are taken in silence."""
        for tap in taps:
            self._loop.call_soon_threadsafe(tap.hold)

    def mute(self, *taps: Tap) -> None:
        """What daemons say goes by, and no answer."""
        for tap in taps:
            self._loop.call_soon_threadsafe(tap.mute)

    def delay(self, answers_late_s: float, *taps: Tap) -> None:
        """From now on answers are held for so long."""
        for tap in taps:
            self._loop.call_soon_threadsafe(tap.delay, answers_late_s)

    def refuse(self, *taps: Tap) -> None:
        """Connections are cut, and new ones at once."""
        for tap in taps:
            self._loop.call_soon_threadsafe(tap.refuse)

    def heal(self, *taps: Tap) -> None:
        for tap in taps:
            self._loop.call_soon_threadsafe(tap.heal)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)
