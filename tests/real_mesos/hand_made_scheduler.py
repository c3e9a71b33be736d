"""The smallest framework that can prove a cluster: v1 scheduler API in JSON over http.client.

It shares no code with the project's own session, so that one cannot hide the other's mistakes.
It blocks; every read has a deadline.
"""

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.real_mesos.nodes import Credential
from tests.real_mesos.operator_http import basic, connect

READ_DEADLINE_S = 15.0

Message = dict[str, Any]


class HandMadeScheduler:
    """One subscription; events are read one by one with `wait_for`."""

    def __init__(
        self,
        master_url: str,
        name: str = "hand-made",
        *,
        roles: tuple[str, ...] = ("*",),
        credential: Credential | None = None,
        ca_file: Path | None = None,
    ) -> None:
        address = urlsplit(master_url)
        self._host, self._port = address.hostname or "", address.port or 0
        self._tls = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._info = {
            "user": "root",
            "name": name,
            "roles": list(roles),
            "checkpoint": True,
            "failover_timeout": 60.0,
            "capabilities": [
                {"type": kind} for kind in ("MULTI_ROLE", "PARTITION_AWARE", "TASK_KILLING_STATE")
            ],
        }
        self._credential = credential
        if credential is not None:
            self._info["principal"] = credential.principal
        self._stream = self._connection()
        self._stream_id = ""
        self.framework_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()

    def subscribe(self) -> int:
        """Sends SUBSCRIBE; the HTTP status. With 200, events can be read."""
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self._info}}
        self._stream.request("POST", "/api/v1/scheduler", json.dumps(call), self._headers())
        self._response = self._stream.getresponse()
        if self._response.status == 200:
            self._stream_id = self._response.headers["Mesos-Stream-Id"]
            subscribed = self.wait_for(lambda event: event["type"] == "SUBSCRIBED")
            self.framework_id = subscribed["subscribed"]["framework_id"]["value"]
        return self._response.status

    def wait_for(
        self, condition: Callable[[Message], bool], deadline_s: float = READ_DEADLINE_S
    ) -> Message:
        """The next event that fits; those before it are passed over, updates acknowledged."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            event: Message = json.loads(self._response.read(int(self._response.readline())))
            if event["type"] == "UPDATE":
                self._acknowledge(event["update"]["status"])
            if condition(event):
                return event
        raise TimeoutError(f"no fitting event within {deadline_s:g} s")

    def wait_for_state(self, task_id: str, state: str) -> Message:
        """The status of the update that says that a task has come to a state."""

        def fits(event: Message) -> bool:
            status = event.get("update", {}).get("status", {})
            return bool(status) and (status["task_id"]["value"], status["state"]) == (
                task_id,
                state,
            )

        status: Message = self.wait_for(fits)["update"]["status"]
        return status

    def wait_for_offers(self) -> list[Message]:
        """The offers of the next OFFERS event."""
        event = self.wait_for(lambda event: event["type"] == "OFFERS")
        offers: list[Message] = event["offers"]["offers"]
        return offers

    def decline(self, offers: list[Message], refuse_s: float) -> None:
        """Gives offers back."""
        offer_ids = [offer["id"] for offer in offers]
        decline = {"offer_ids": offer_ids, "filters": {"refuse_seconds": refuse_s}}
        self.call({"type": "DECLINE", "decline": decline})

    def launch(self, offer: Message, task_id: str, command: str | Message, **fields: Any) -> None:
        """Accepts an offer with one small task: a shell command, or a whole CommandInfo."""
        tasks = [_task_info(offer, task_id, command) | fields]
        self._accept(offer, {"type": "LAUNCH", "launch": {"task_infos": tasks}})

    def launch_pod(self, offer: Message, executor_id: str, commands: dict[str, str]) -> None:
        """Accepts an offer with a task group of shell commands by task id."""
        executor = {
            "type": "DEFAULT",
            "executor_id": {"value": executor_id},
            "framework_id": {"value": self.framework_id},
            "resources": _resources(offer, cpus=0.1, mem=32, disk=32),
        }
        tasks = [_task_info(offer, task_id, command) for task_id, command in commands.items()]
        group = {"executor": executor, "task_group": {"tasks": tasks}}
        self._accept(offer, {"type": "LAUNCH_GROUP", "launch_group": group})

    def kill(self, task_id: str) -> None:
        """Asks for the end of a task."""
        self.call({"type": "KILL", "kill": {"task_id": {"value": task_id}}})

    def call(self, message: Message) -> None:
        """Sends any call but SUBSCRIBE on a connection of its own; expects 202."""
        connection = self._connection()
        with contextlib.closing(connection):
            body = json.dumps({**message, "framework_id": {"value": self.framework_id}})
            headers = self._headers() | {"Mesos-Stream-Id": self._stream_id}
            connection.request("POST", "/api/v1/scheduler", body, headers)
            response = connection.getresponse()
            if response.status != 202:
                raise AssertionError(f"{message['type']}: {response.status} {response.read()!r}")

    def _accept(self, offer: Message, operation: Message) -> None:
        accept = {"offer_ids": [offer["id"]], "operations": [operation]}
        self.call({"type": "ACCEPT", "accept": accept | {"filters": {"refuse_seconds": 0}}})

    def _acknowledge(self, status: Message) -> None:
        if "uuid" in status:
            fields = ("agent_id", "task_id", "uuid")
            acknowledge = {name: status[name] for name in fields}
            self.call({"type": "ACKNOWLEDGE", "acknowledge": acknowledge})

    def _connection(self) -> http.client.HTTPConnection:
        return connect(self._host, self._port, READ_DEADLINE_S, self._tls)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._credential is not None:
            headers["Authorization"] = basic(self._credential)
        return headers


def _task_info(offer: Message, task_id: str, command: str | Message) -> Message:
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": _resources(offer, cpus=0.1, mem=32),
        "command": {"value": command} if isinstance(command, str) else command,
    }


def _resources(offer: Message, **amounts: float) -> list[Message]:
    return [
        {
            "name": name,
            "type": "SCALAR",
            "scalar": {"value": amount},
            "allocation_info": offer["allocation_info"],
        }
        for name, amount in amounts.items()
    ]
