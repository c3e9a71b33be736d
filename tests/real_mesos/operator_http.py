"""A test's own view of a cluster: GET on the operator endpoints of one node, with a deadline."""

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
        connection = connect(endpoint.address, endpoint.port, REQUEST_DEADLINE_S, self._tls)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise RefusedError(f"{endpoint} answered {response.status} to {path}")
            answer: State = json.load(response)
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
