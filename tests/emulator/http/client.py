"""A framework over real HTTP, as small as can be: one stream, calls, in either format."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from scheduler.emulator.cluster import EmulatedCluster
from scheduler.emulator.http import jsonform
from scheduler.emulator.options import EmulatorOptions
from scheduler.mesos.proto.scheduler_pb2 import Call, Event
from scheduler.mesos.recordio import Decoder

HOST = "127.77.4.1"
PATH = "/api/v1/scheduler"
DEADLINE_S = 10.0
JSON, PROTOBUF = "application/json", "application/x-protobuf"
SUBSCRIBE: dict[str, Any] = {
    "type": "SUBSCRIBE",
    "subscribe": {
        "framework_info": {
            "user": "root",
            "name": "test",
            "roles": ["web"],
            "failover_timeout": 3600.0,
            "checkpoint": True,
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        }
    },
}


def options(**changed: Any) -> EmulatorOptions:
    settings: dict[str, Any] = {"host": HOST, "simulate": True, "allocation_interval_s": 0.1}
    return EmulatorOptions(**{**settings, **changed})


@asynccontextmanager
async def a_cluster(**changed: Any) -> AsyncIterator[tuple[EmulatedCluster, aiohttp.ClientSession]]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with (
        EmulatedCluster(options(**changed)) as cluster,
        aiohttp.ClientSession(cluster.url, timeout=timeout) as web,
    ):
        yield cluster, web


class Framework:
    """Events are read when they are asked for, as the JSON mapping prints them."""

    def __init__(
        self, web: aiohttp.ClientSession, response: aiohttp.ClientResponse, kind: str
    ) -> None:
        self.response = response
        self.framework_id: dict[str, str] = {}
        self._web = web
        self._kind = kind
        self._decoder = Decoder()
        self._read: list[dict[str, Any]] = []

    @property
    def stream_id(self) -> str:
        return self.response.headers["Mesos-Stream-Id"]

    async def next(self, kind: str | None = None) -> dict[str, Any]:
        """The next event, or the next of this type; the others are passed over."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while self._read:
                    event = self._read.pop(0)
                    if kind in (None, event["type"]):
                        return event
                data = await self.response.content.readany()
                if not data:
                    raise EOFError
                for record in self._decoder.feed(data):
                    self._read.append(self._decode(record))

    async def call(self, call: dict[str, Any]) -> int:
        call = {"framework_id": self.framework_id, **call}
        headers = {"Content-Type": self._kind, "Mesos-Stream-Id": self.stream_id}
        async with self._web.post(PATH, data=encode(call, self._kind), headers=headers) as answer:
            return answer.status

    def _decode(self, record: bytes) -> dict[str, Any]:
        if self._kind == JSON:
            event: dict[str, Any] = json.loads(record)
            return event
        return jsonform.to_json(Event.FromString(record))


@asynccontextmanager
async def subscribed(
    web: aiohttp.ClientSession, kind: str = PROTOBUF, call: dict[str, Any] = SUBSCRIBE
) -> AsyncIterator[Framework]:
    headers = {"Content-Type": kind, "Accept": kind}
    async with web.post(PATH, data=encode(call, kind), headers=headers) as response:
        assert response.status == 200
        framework = Framework(web, response, kind)
        event = await framework.next("SUBSCRIBED")
        framework.framework_id = event["subscribed"]["framework_id"]
        yield framework


def encode(call: dict[str, Any], kind: str) -> bytes:
    body = json.dumps(call).encode()
    return body if kind == JSON else jsonform.loads(body, Call).SerializeToString()


def launch(offer: dict[str, Any], task_id: str, command: str) -> dict[str, Any]:
    task = {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}}],
        "command": {"value": command},
    }
    operation = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
    accept = {"offer_ids": [offer["id"]], "operations": [operation]}
    return {"type": "ACCEPT", "accept": accept}


def acknowledge(status: dict[str, Any]) -> dict[str, Any]:
    members = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
    return {"type": "ACKNOWLEDGE", "acknowledge": members}
