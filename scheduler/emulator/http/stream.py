"""One SUBSCRIBE response: events in, RecordIO records out, one a chunk.

It is the `EventSink` of one framework. The model never waits for it: what the peer does not read
piles up in the connection, up to a limit past which that is cut (the real master has none, and
dies of it).
"""

from scheduler.emulator.http import jsonform
from scheduler.emulator.http.connection import Connection
from scheduler.mesos.proto.scheduler_pb2 import Event
from scheduler.mesos.recordio import encode


class Stream:
    def __init__(self, stream_id: str, connection: Connection, *, as_json: bool) -> None:
        self.stream_id = stream_id
        self._connection = connection
        self._as_json = as_json
        self._open = True

    def send(self, event: Event) -> None:
        if self._open:
            record = jsonform.dumps(event) if self._as_json else event.SerializeToString()
            self._connection.chunk(encode(record))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._connection.end_stream()

    def cut(self) -> None:
        if self._open:
            self._open = False
            self._connection.abort()

    def lost(self) -> None:
        """The connection is gone by itself."""
        self._open = False
