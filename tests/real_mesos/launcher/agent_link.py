"""An executor's connection to its agent: the v1 executor HTTP API, in JSON.

One thread sends the updates, so that they arrive in the order in which they were made; the main
thread reads the events. Updates are kept until acknowledged, and listed again at a SUBSCRIBE.
"""

import base64
import contextlib
import http.client
import json
import queue
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.real_mesos.launcher.settings import Settings

CALL_DEADLINE_S = 10.0

Message = dict[str, Any]


class AgentLink:
    """Sends updates and yields events, until the agent goes away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._outgoing: queue.Queue[Message] = queue.Queue()
        self._unacknowledged_updates: dict[str, Message] = {}
        self._unacknowledged_tasks: dict[str, Message] = {}

    def start(self) -> None:
        """Starts the thread that sends."""
        threading.Thread(target=self._send_all, daemon=True).start()

    def add_task(self, task_info: Message) -> None:
        """Notes a task to be listed at a SUBSCRIBE until its first update is acknowledged."""
        with self._lock:
            self._unacknowledged_tasks[task_info["task_id"]["value"]] = task_info

    def update(self, task_id: str, state: str, **fields: Any) -> None:
        """Queues a status update of a task."""
        status = {
            "task_id": {"value": task_id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
            "timestamp": time.time(),
            "executor_id": {"value": self._settings.executor_id},
            **fields,
        }
        with self._lock:
            self._unacknowledged_updates[status["uuid"]] = {"status": status}
            self._outgoing.put({"type": "UPDATE", "update": {"status": status}})

    def acknowledged(self, event: Message) -> None:
        """Forgets what the agent has stored: the update, and the task that it is about."""
        with self._lock:
            self._unacknowledged_updates.pop(event["uuid"], None)
            self._unacknowledged_tasks.pop(event["task_id"]["value"], None)

    def all_acknowledged(self) -> bool:
        """Whether the agent has stored every update made so far."""
        with self._lock:
            return not self._unacknowledged_updates

    def events(self) -> Iterator[Message]:
        """Subscribes and yields events until the stream ends, which raises OSError."""
        with self._lock:
            subscribe = {
                "unacknowledged_tasks": list(self._unacknowledged_tasks.values()),
                "unacknowledged_updates": list(self._unacknowledged_updates.values()),
            }
        # No deadline: an agent may have nothing to say for as long as the task runs.
        connection, response = self._call({"type": "SUBSCRIBE", "subscribe": subscribe}, None)
        with contextlib.closing(connection):
            if response.status != 200:
                raise OSError(f"subscribe: {response.status} {response.read()!r}")
            while size := response.readline().strip():
                yield json.loads(response.read(int(size)))
        raise OSError("the agent closed the stream")

    def _send_all(self) -> None:
        while True:
            call = self._outgoing.get()
            try:
                connection, response = self._call(call, CALL_DEADLINE_S)
                with contextlib.closing(connection):
                    answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                # It is in the list of the next SUBSCRIBE.
                print(f"update not sent: {error}", file=sys.stderr, flush=True)
                continue
            if response.status != 202:
                print(f"agent said {response.status} {answer!r}", file=sys.stderr, flush=True)

    def _call(
        self, message: Message, deadline_s: float | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        ids = {
            "framework_id": {"value": self._settings.framework_id},
            "executor_id": {"value": self._settings.executor_id},
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._settings.token:
            headers["Authorization"] = f"Bearer {self._settings.token}"
        connection = http.client.HTTPConnection(
            self._settings.agent_host, self._settings.agent_port, timeout=deadline_s
        )
        path = f"/{self._settings.agent_name}/api/v1/executor"
        connection.request("POST", path, json.dumps({**message, **ids}), headers)
        return connection, connection.getresponse()
