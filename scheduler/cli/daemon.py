"""The daemon, put together: settings choose the adapters, one term runs, signals end it.

    settings → store, election → term (engine, session) + API → until SIGTERM or SIGINT

Stopping leaves every task running: there is no TEARDOWN anywhere. Each stage of it is bounded, so
that it ends within ten seconds. Exit codes are those of `scheduler.errors`.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Final, NoReturn

import structlog
import uvloop

from scheduler.api.server import ApiServer
from scheduler.cli.backing import Backing, open_backing
from scheduler.cli.credentials import (
    agent_credential,
    api_tls,
    framework_credential,
    mesos_tls,
    operator_credential,
    peer_tls,
    revealed,
)
from scheduler.core.policy import AvoidPolicy, EndedPolicy, OfferPolicy, Policy, ReconcilePolicy
from scheduler.core.state import State
from scheduler.errors import OfferdError, SettingsError, first_of
from scheduler.jobspec import JobDefaults
from scheduler.mesos.codec import FrameworkSettings
from scheduler.mesos.operator import OperatorClient
from scheduler.mesos.session import MasterSession, SessionSettings
from scheduler.runtime import logs, systemd
from scheduler.runtime.daemon import Parts, lead_alone, live_among_others
from scheduler.runtime.protocols import Election, Following, Store
from scheduler.runtime.seat import Seat
from scheduler.runtime.term import Term, TermSettings
from scheduler.settings import Settings

log = structlog.get_logger()

OnListening = Callable[[str], None]

SWITCH_S: Final = 0.000_5
"""After which a thread may insist on its turn at the interpreter. The store's thread needs one for
each of its steps, so with Python's 5 ms a busy loop would keep an update that is being stored."""


def run_daemon(settings: Settings) -> int:
    """Runs until it is told to stop; gives the exit code."""
    sys.setswitchinterval(SWITCH_S)
    logs.configure(settings.log.level, settings.log.format)
    exit_code = 0
    try:
        uvloop.run(serve(settings))
    except* OfferdError as group:
        exit_code = report(group)
    return exit_code


async def serve(settings: Settings, on_listening: OnListening | None = None) -> None:
    """The daemon in a loop that runs already. `on_listening` is told the API's address when it
    answers. Raises `OfferdError`, alone or in a group."""
    stop = asyncio.Event()
    seat = Seat(settings.instance)
    api = _make_api(settings, seat)
    with _signals(stop):
        async with open_backing(settings) as backing:
            life = await _begin(_parts(settings, seat, backing), backing.following, stop)
            async with asyncio.TaskGroup() as group:
                await _listen(api, settings)
                living = group.create_task(life())
                signs = group.create_task(_signs_of_life(seat))
                checking = group.create_task(api.check_leader())
                stopping = group.create_task(stop.wait())
                if on_listening is not None:
                    await seat.taken()
                    on_listening(f"http://{settings.listen.host}:{api.port}")
                try:
                    await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    systemd.notify("STOPPING=1")
                    checking.cancel()
                    await api.stop()
                await living
                signs.cancel()
                stopping.cancel()
    log.info("daemon.stopped")


async def _begin(
    parts: Parts, following: Following | None, stop: asyncio.Event
) -> Callable[[], Coroutine[None, None, None]]:
    """Where nobody else can lead the office is taken before the port: who holds the store says more
    than who holds the port."""
    if following is not None:
        return partial(live_among_others, parts, following, stop)
    return partial(lead_alone, parts, await parts.election.campaign(), stop)


def _parts(settings: Settings, seat: Seat, backing: Backing) -> Parts:
    def make_term(number: int, store: Store, state: State | None) -> Term:
        return _make_term(settings, number, backing.election, store, state)

    return Parts(
        seat=seat,
        election=backing.election,
        make_store=backing.make_store,
        make_term=make_term,
        policy=policy_of(settings),
    )


# --- the parts -----------------------------------------------------------------------------------


def _make_term(
    settings: Settings, number: int, election: Election, store: Store, state: State | None
) -> Term:
    tls = mesos_tls(settings)
    framework = settings.framework
    operator = OperatorClient(settings.master, credential=operator_credential(settings), tls=tls)
    session = SessionSettings(
        master=settings.master,
        framework=FrameworkSettings(
            user=framework.user,
            name=framework.name,
            principal=framework.principal,
            checkpoint=framework.checkpoint,
            hostname=framework.hostname,
            webui_url=settings.webui_url or "",
        ),
        credential=framework_credential(settings),
        tls=tls,
    )

    def make_session(room: Callable[[], Awaitable[None]]) -> MasterSession:
        return MasterSession(session, wait_for_room=room)

    return Term(
        TermSettings(
            instance=settings.instance,
            advertise=settings.advertise or "",
            policy=policy_of(settings),
            new_id_when_removed=framework.new_id_when_removed,
            agents_interval_s=settings.operator.agents_interval_s,
        ),
        number,
        leads=election.leads,
        state=state,
        store=store,
        make_session=make_session,
        operator=operator,
    )


def policy_of(settings: Settings) -> Policy:
    """The engine's numbers. What `memory:` stores ends with the process, so its tasks end with it,
    too: the master is left without a failover timeout."""
    offers, avoid = settings.offers, settings.avoid
    durable = settings.store != "memory:"
    return Policy(
        roles=settings.framework.roles,
        failover_timeout_s=settings.framework.failover_timeout_s if durable else 0.0,
        offers=OfferPolicy(
            gather_s=offers.gather_s,
            gather_when_waiting=offers.gather_when_waiting,
            hold_s_max=offers.hold_s_max,
            refuse_s_nothing_waits=offers.refuse_nothing_waits_s,
            refuse_s_no_fit=offers.refuse_no_fit_s,
            refuse_jitter=offers.refuse_jitter_percent / 100,
            refuse_s_held=offers.refuse_held_s,
            refuse_s_rest=offers.refuse_rest_s,
            revive_interval_s=offers.revive_interval_s_min,
            revive_burst=offers.revive_burst,
            revive_gather_s=offers.revive_gather_s,
            revive_repeat_s=offers.revive_repeat_s,
            suppress_after_backoff_s=offers.suppress_after_backoff_s,
            update_interval_s=offers.update_interval_s_min,
            narrow_after_s=offers.narrow_after_s,
            constraint_groups_max=offers.constraint_groups_max,
        ),
        reconcile=ReconcilePolicy(interval_s=settings.reconcile_interval_s),
        avoid=AvoidPolicy(
            failures=avoid.failures,
            window_s=avoid.window_s,
            avoid_s_initial=avoid.time_s,
            avoid_s_max=avoid.time_s_max,
            forget_s=avoid.forget_after_s,
            share_max=avoid.share_max_percent / 100,
        ),
        ended=EndedPolicy(settings.batches.keep_s, settings.batches.keep_count),
        launch_timeout_s=settings.launch_timeout_s,
        unknown_kill_after_s=settings.unknown_tasks.kill_after_s,
    )


def _make_api(settings: Settings, seat: Seat) -> ApiServer:
    return ApiServer(
        seat,
        defaults=JobDefaults(role=settings.framework.roles[0]),
        host=settings.listen.host,
        port=settings.listen.port,
        token=revealed(settings.api.token_file),
        tls=api_tls(settings.api.tls),
        peer_token=revealed(settings.peer_token_file),
        peer_tls=peer_tls(settings),
        agent_credential=agent_credential(settings),
        agent_tls=mesos_tls(settings),
    )


async def _listen(api: ApiServer, settings: Settings) -> None:
    try:
        await api.start()
    except OSError as error:
        raise SettingsError(f"listen: {settings.listen}: {error.strerror}") from error
    log.info("api.listening", host=settings.listen.host, port=api.port)


# --- the process ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _signs_of_life(seat: Seat) -> NoReturn:
    """READY once, then the watchdog's beat: it stops when the event loop does."""
    await seat.taken()
    systemd.notify("READY=1")
    interval_s = systemd.watchdog_interval_s()
    while True:
        await asyncio.sleep(interval_s or 3600.0)
        if interval_s is not None:
            systemd.notify("WATCHDOG=1")


def report(group: BaseExceptionGroup[OfferdError]) -> int:
    """Says what ended the daemon, and gives the exit code of the first cause."""
    error = first_of(group)
    log.error("daemon.failed", error=str(error), exit_code=error.exit_code)
    sys.stderr.write(f"offerd: {error}\n")
    return error.exit_code
