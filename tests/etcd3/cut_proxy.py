"""A TCP proxy before etcd that can swallow answers, hold everything, or cut connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from tests.support.listening import stop_listening

HOST: Final = "127.77.30.210"
READ_BYTES: Final = 1 << 16


class CutProxy:
    """`answers` and `requests` are events: while one is cleared, bytes that way are held."""

    def __init__(self, target: str) -> None:
        self._target = target.rsplit(":", 1)
        self.endpoint = ""
        self.requests = asyncio.Event()
        self.answers = asyncio.Event()
        self.requests.set()
        self.answers.set()
        self.connections = 0
        self.taken = 0  # bytes from clients, whether they were held or not
        self._writers: set[asyncio.StreamWriter] = set()

    def hold(self) -> None:
        """The network takes everything and brings nothing, either way."""
        self.requests.clear()
        self.answers.clear()

    def release(self) -> None:
        self.requests.set()
        self.answers.set()

    def cut(self) -> None:
        """Both ends lose the connections that there are. What was held is lost."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def serve(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(near_writer)
        far, far_writer = await asyncio.open_connection(self._target[0], int(self._target[1]))
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(near, far_writer, self.requests))
                group.create_task(self._pump(far, near_writer, self.answers))
        finally:
            self._writers -= {near_writer, far_writer}

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(READ_BYTES):
                if gate is self.requests:
                    self.taken += len(data)
                await gate.wait()
                target.write(data)
                await target.drain()
        target.transport.abort()


@contextlib.asynccontextmanager
async def cut_proxy(target: str) -> AsyncIterator[CutProxy]:
    proxy = CutProxy(target)
    serving: set[asyncio.Task[None]] = set()
    closing = asyncio.Event()

    def accept(near: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if closing.is_set():  # it came in while the server was being closed
            writer.transport.abort()
            return
        task = asyncio.create_task(proxy.serve(near, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, HOST, 0)
    proxy.endpoint = f"{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        closing.set()
        await stop_listening(server)
        proxy.release()
        proxy.cut()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
