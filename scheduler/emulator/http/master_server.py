"""The master's port: which page answers which request, and its connections."""

import asyncio
import socket

from scheduler.emulator.http import operator_api, scheduler_api
from scheduler.emulator.http.connection import Connection
from scheduler.emulator.http.faults import Faults
from scheduler.emulator.http.master_pages import MasterPages
from scheduler.emulator.http.messages import Request, Response
from scheduler.emulator.http.operator_api import OperatorApi
from scheduler.emulator.http.place import Place
from scheduler.emulator.http.requests import Refused
from scheduler.emulator.http.scheduler_api import SchedulerApi

BACKLOG = 1024
AGENT_FAULTS = "/emulator/agents/"


class MasterServer:
    def __init__(self, place: Place) -> None:
        self._scheduler = SchedulerApi(place)
        self._operator = OperatorApi(place)
        self._faults = Faults(place)
        self._pages = {**MasterPages(place).pages(), **self._faults.pages()}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self.handle, self._connections), sock=listening, backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Breaks every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()

    def handle(self, request: Request, connection: Connection) -> Response | None:
        try:
            if request.path in scheduler_api.PATHS:
                return self._scheduler.handle(request, connection)
            if request.path in operator_api.PATHS:
                return self._operator.handle(request)
            if request.path.startswith(AGENT_FAULTS):
                return self._faults.of_agent(request)
            method = "GET" if request.method == "HEAD" else request.method
            page = self._pages.get((method, request.path))
            if page is not None:
                return page(request)
            other = "POST" if method == "GET" else "GET"
            if (other, request.path) in self._pages:
                raise Refused(405, f"Expecting '{other}'", {"Allow": other})
            raise Refused(404, "404 Not Found.")
        except Refused as refused:
            return refused.response()
