"""A test as the operator of a cluster: requests to one node, with a deadline."""

import base64
import contextlib
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from tests.real_mesos.nodes import Credential
from tests.real_mesos.ports import Endpoint

REQUEST_DEADLINE_S = 5.0

State = dict[str, Any]


class RefusedError(Exception):
    """A node answered with something other than 200."""


class OperatorHttp:
    """Asks nodes over HTTP, or over TLS if there is a CA file; with a credential if there is."""

    def __init__(self, credential: Credential | None, ca_file: Path | None) -> None:
        self._headers = {} if credential is None else {"Authorization": basic(credential)}
        self._tls = None if ca_file is None else ssl.create_default_context(cafile=ca_file)

    def get(self, endpoint: Endpoint, path: str) -> State:
        """The JSON answer. Raises RefusedError, OSError or HTTPException."""
        answer: State = json.loads(self._ask(endpoint, "GET", path, None))
        return answer

    def call(self, endpoint: Endpoint, call: State) -> None:
        """A call of the v1 operator API that changes something. Raises as `get`."""
        self._ask(endpoint, "POST", "/api/v1", json.dumps(call))

    def _ask(self, endpoint: Endpoint, method: str, path: str, body: str | None) -> bytes:
        connection = connect(endpoint.address, endpoint.port, REQUEST_DEADLINE_S, self._tls)
        headers = {**self._headers, "Content-Type": "application/json"} if body else self._headers
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status not in (200, 202):
                raise RefusedError(f"{endpoint} answered {response.status} to {path}: {answer!r}")
            return answer


def connect(
    host: str, port: int, deadline_s: float, tls: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    """A connection that is opened with its first request."""
    if tls is None:
        return http.client.HTTPConnection(host, port, timeout=deadline_s)
    return http.client.HTTPSConnection(host, port, timeout=deadline_s, context=tls)


def basic(credential: Credential) -> str:
    """The value of an Authorization header."""
    plain = f"{credential.principal}:{credential.secret}".encode()
    return f"Basic {base64.b64encode(plain).decode()}"
