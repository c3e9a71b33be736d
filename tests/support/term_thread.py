"""A daemon's term in a thread of this process: engine, store, session and API as in the daemon,
with a session that does not wait long between two tries.

For tests that break the connection dozens of times: the daemon's own back-off, which is right for a
cluster, would make them last minutes.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scheduler.api.server import ApiServer
from scheduler.core.model.ids import Role
from scheduler.core.policy import OfferPolicy, Policy
from scheduler.jobspec import JobDefaults
from scheduler.mesos.access import Credential
from scheduler.mesos.codec import FrameworkSettings
from scheduler.mesos.operator import OperatorClient
from scheduler.mesos.session import MasterSession, SessionLimits, SessionSettings
from scheduler.runtime.seat import Seat
from scheduler.runtime.term import Term, TermSettings
from scheduler.store.sqlite import SqliteStore
from tests.support.daemon import HOST, free_port
from tests.support.rest import RestClient
from tests.support.waiting import wait_until

ROLE: Final = Role("*")
DEADLINE_S: Final = 10.0
LIMITS: Final = SessionLimits(retry_initial_s=0.02, retry_s_max=0.05, failovers_max=1000)


class TermThread:
    """Runs while its context is open. `api` asks it, as it would ask a daemon."""

    def __init__(self, store: Path, master_url: str, name: str, credential: Credential) -> None:
        self._store = store
        self._master_url = master_url
        self._name = name
        self._credential = credential
        self._port = free_port()
        self.api = RestClient(HOST, self._port)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="term", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.api.get("/readyz"), "the term to be ready", DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)
        if self._failure is not None and error is None:
            raise self._failure

    def framework_id(self) -> str:
        """The id, when the term is connected."""

        def connected() -> str:
            status = self.api.status()
            assert status["connected"]
            return str(status["framework_id"])

        return wait_until(connected, "the term to be connected", DEADLINE_S)

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._run())
            except BaseException as error:  # noqa: BLE001 - told in the test's own thread
                self._failure = error

    async def _run(self) -> None:
        store = SqliteStore(self._store)
        await store.open()
        try:
            term = self._term(store)
            await term.load()
            seat = Seat("in-thread")
            seat.sit(term)
            api = ApiServer(
                seat, defaults=JobDefaults(role=ROLE), host=HOST, port=self._port, token=None
            )
            await api.start()
            try:
                await term.run(self._stop)
            finally:
                await api.stop()
        finally:
            await store.close()

    def _term(self, store: SqliteStore) -> Term:
        operator = OperatorClient((self._master_url,), credential=self._credential, tls=None)
        settings = SessionSettings(
            master=self._master_url,
            framework=FrameworkSettings(
                user="root", name=self._name, principal=self._credential.principal
            ),
            credential=self._credential,
            limits=LIMITS,
        )

        def session(room: Callable[[], Awaitable[None]]) -> MasterSession:
            return MasterSession(settings, wait_for_room=room)

        policy = Policy(roles=(ROLE,), offers=OfferPolicy(revive_interval_s=0.05))
        return Term(
            TermSettings(instance="in-thread", policy=policy),
            1,
            leads=lambda: True,
            store=store,
            make_session=session,
            operator=operator,
        )
