"""One SUBSCRIBE response: events in, RecordIO records out, written in batches.

It is the `EventSink` of one framework. The model never waits for it: what the peer does not read
piles up here, up to a limit past which the stream is cut (the real master has none, and dies of
it).
"""

import asyncio

from aiohttp import web

from scheduler.emulator.http import jsonform
from scheduler.mesos.proto.scheduler_pb2 import Event
from scheduler.mesos.recordio import encode

BUFFER_BYTES_MAX = 256 * 1024 * 1024


class Stream:
    def __init__(self, stream_id: str, *, as_json: bool) -> None:
        self.stream_id = stream_id
        self._as_json = as_json
        self._records: list[bytes] = []
        self._buffered = 0
        self._wake = asyncio.Event()
        self._closed = False
        self._broken = False

    def send(self, event: Event) -> None:
        if self._closed:
            return
        record = encode(jsonform.dumps(event) if self._as_json else event.SerializeToString())
        self._records.append(record)
        self._buffered += len(record)
        if self._buffered > BUFFER_BYTES_MAX:
            self.cut()
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def cut(self) -> None:
        self._broken = True
        self._records.clear()
        self.close()

    async def serve(self, response: web.StreamResponse) -> None:
        """Writes until the stream is closed and empty. Raises `ConnectionError` when the peer is
        gone, or the stream is cut from this side."""
        while self._records or not self._closed:
            await self._wake.wait()
            self._wake.clear()
            if self._broken:
                raise ConnectionResetError("the stream is cut")
            batch, self._records = b"".join(self._records), []
            if batch:
                await response.write(batch)
                self._buffered -= len(batch)
