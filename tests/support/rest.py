"""A test's own client of a daemon's REST interface: one request, one deadline, no retries."""

import contextlib
import http.client
import json
import ssl
from typing import Any, Final
from urllib.parse import quote

REQUEST_DEADLINE_S: Final = 35.0

Document = dict[str, Any]


class RefusedRequest(Exception):
    """The daemon answered with something other than a success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class RestClient:
    """Asks one daemon, over https with `tls`. Raises RefusedRequest, OSError or HTTPException."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Document:
        return self.ask("GET", path, None)

    def post(self, path: str, body: object = None) -> Document:
        return self.ask("POST", path, {} if body is None else body)

    def delete(self, path: str) -> Document:
        return self.ask("DELETE", path, None)

    def status(self) -> Document:
        return self.get("/v1/status")

    def job(self, job: str) -> Document:
        return self.get(f"/v1/jobs/{quote(job, safe='')}")

    def tasks(self, job: str, *, ended: bool = False) -> list[Document]:
        """Live attempts and waiting instances of a job; with `ended` also ended attempts."""
        query = f"?limit=1000&ended={str(ended).lower()}"
        items: list[Document] = self.get(f"/v1/jobs/{quote(job, safe='')}/tasks{query}")["items"]
        return items

    def apply(self, document: Document) -> Document:
        return self.post("/v1/jobs", document)

    def scale(self, job: str, instances: int) -> Document:
        return self.post(f"/v1/jobs/{quote(job, safe='')}/scale", {"instances": instances})

    def ask(
        self, method: str, path: str, body: object, deadline_s: float = REQUEST_DEADLINE_S
    ) -> Document:
        connection = self._connection(deadline_s)
        with contextlib.closing(connection):
            headers = dict(self._headers)
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            if not 200 <= response.status < 300:
                raise RefusedRequest(response.status, text.decode(errors="replace"))
            document: Document = json.loads(text)
            return document

    def _connection(self, deadline_s: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=deadline_s)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=deadline_s, context=self._tls
        )
