"""Listens for REST requests, and stops in bounded time.

Neighbours: `app` (what is served), `runtime.daemon` (starts and stops it).
"""

import ssl
from typing import NoReturn

import aiohttp
from aiohttp import web

from scheduler.api.agent_files import AgentCredential, HttpAgentFiles
from scheduler.api.app import make_app
from scheduler.api.leader_check import LeaderCheck
from scheduler.api.leader_client import LeaderClient
from scheduler.jobspec import JobDefaults
from scheduler.runtime.protocols import Front

KEEPALIVE_S = 75.0
SHUTDOWN_S = 1.5
"""What running requests get when the daemon stops, and what they get again when they were told to
end: SIGTERM must end all of the daemon within ten seconds."""
AGENT_CONNECTIONS_MAX = 64
LEADER_CONNECTIONS_MAX = 64


class ApiServer:
    """One listening socket. `start` once, `stop` once; `stop` ends within twice `SHUTDOWN_S`."""

    def __init__(
        self,
        front: Front,
        *,
        defaults: JobDefaults,
        host: str,
        port: int,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        peer_token: str | None = None,
        peer_tls: ssl.SSLContext | None = None,
        agent_credential: AgentCredential | None = None,
        agent_tls: ssl.SSLContext | None = None,
    ) -> None:
        """`token` is what users bring, `peer_token` what instances bring to each other; `tls` is
        what we show, `peer_tls` what we believe of the leader, `agent_tls` of agents (None: what
        this machine trusts). `agent_credential` is what agents want to see before they show files.
        """
        self._front = front
        self._defaults = defaults
        self._host = host
        self._port = port
        self._token = token
        self._tls = tls
        self._peer_token = peer_token
        self._peer_tls = peer_tls
        self._agent_credential = agent_credential
        self._agent_tls = agent_tls
        self._runner: web.AppRunner | None = None
        self._leader_check: LeaderCheck | None = None
        self._sessions: list[aiohttp.ClientSession] = []

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for; only after `start`."""
        assert self._runner is not None
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self) -> None:
        """Listens. Raises OSError where the address cannot be had."""
        agents = self._session(
            aiohttp.TCPConnector(limit=AGENT_CONNECTIONS_MAX, ssl=self._agent_tls or True)
        )
        leader = self._session(
            aiohttp.TCPConnector(
                limit=LEADER_CONNECTIONS_MAX, ssl=self._peer_tls or True, force_close=True
            )
        )
        client = LeaderClient(leader, instance=self._front.instance, token=self._peer_token)
        self._leader_check = LeaderCheck(self._front, client)
        app = make_app(
            self._front,
            defaults=self._defaults,
            token=self._token,
            peer_token=self._peer_token,
            agent_files=HttpAgentFiles(agents, credential=self._agent_credential),
            leader_client=client,
            leader_check=self._leader_check,
        )
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=SHUTDOWN_S,
            handle_signals=False,
            auto_decompress=False,
        )
        try:
            await self._runner.setup()
            site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls)
            await site.start()
        except BaseException:
            await self.stop()
            raise

    async def check_leader(self) -> NoReturn:
        """Keeps asking whether changes can be passed on. Runs between `start` and `stop`."""
        assert self._leader_check is not None
        await self._leader_check.run()

    async def stop(self) -> None:
        """Takes no new request, gives the running ones their time, then closes everything."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        while self._sessions:
            await self._sessions.pop().close()

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        """Closed by `stop`."""
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._sessions.append(session)
        return session
