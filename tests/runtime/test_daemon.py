"""Standing by, leading, losing the office and standing by again; all adapters are the test's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from scheduler.core.model.ids import FrameworkId, Uid
from scheduler.core.policy import Policy
from scheduler.core.records import Desired, FrameworkRecord, JobRecord, Put, Write
from scheduler.core.state import State
from scheduler.errors import ElectionError, EtcdRefusal, EtcdRefused, StoreUnreadable
from scheduler.runtime.daemon import Parts, lead_alone, live_among_others
from scheduler.runtime.protocols import LeaderInfo, Store
from scheduler.runtime.seat import Seat
from scheduler.runtime.term import Term, TermSettings
from tests.builders import ROLE, a_service
from tests.runtime.fakes import HeldStore, SilentOperator, TestedSession

DEADLINE_S = 10.0
JOB = Put(JobRecord(a_service(), Uid("u"), 1, 1, Desired.RUN, 0.0, 0.0))
FRAMEWORK = Put(FrameworkRecord(FrameworkId("F-1"), True, 0.0))
OTHER = LeaderInfo("other", "http://other:8080", 1)


class TestedElection:
    __test__ = False

    def __init__(self) -> None:
        self.vacant = asyncio.Event()
        self.term = 1
        self.resigned = 0
        self._lost: asyncio.Future[None] | None = None

    async def campaign(self) -> int:
        await self.vacant.wait()
        self.vacant.clear()
        self.term += 1
        self._lost = asyncio.get_running_loop().create_future()
        return self.term

    def leads(self) -> bool:
        return self._lost is not None and not self._lost.done()

    async def watch(self) -> None:
        assert self._lost is not None
        await self._lost

    def lose(self) -> None:
        assert self._lost is not None
        self._lost.set_exception(ElectionError("the lease ended"))

    async def resign(self) -> None:
        self.resigned += 1
        self._lost = None


class TestedFollowing:
    __test__ = False

    def __init__(self, *writes: Write) -> None:
        self.writes = writes
        self.runs = 0
        self.error: asyncio.Future[None] | None = None
        self.on_leader: Callable[[LeaderInfo | None], None] | None = None

    async def run(
        self,
        on_writes: Callable[[Sequence[Write]], None],
        on_leader: Callable[[LeaderInfo | None], None],
        on_alive: Callable[[], None],
    ) -> None:
        self.runs += 1
        on_writes(self.writes)
        on_leader(OTHER)
        on_alive()
        self.on_leader = on_leader
        self.error = asyncio.get_running_loop().create_future()
        await self.error


class Scene:
    def __init__(self, *writes: Write) -> None:
        self.seat = Seat("here")
        self.election = TestedElection()
        self.following = TestedFollowing(*writes)
        self.stop = asyncio.Event()
        self.store_terms: list[int] = []
        self.sessions: list[TestedSession] = []
        self.parts = Parts(
            seat=self.seat,
            election=self.election,
            make_store=self._make_store,
            make_term=self._make_term,
            policy=Policy(roles=(ROLE,)),
        )

    def _make_store(self, term: int) -> Store:
        self.store_terms.append(term)
        return HeldStore(open_gate=True)

    def _make_term(self, number: int, store: Store, state: State | None) -> Term:
        session = TestedSession()
        self.sessions.append(session)

        return Term(
            TermSettings("here", self.parts.policy),
            number,
            leads=self.election.leads,
            state=state,
            store=store,
            make_session=lambda _: session,
            operator=SilentOperator(),
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.001)

    async def be_elected(self) -> None:
        await self.until(lambda: self.following.on_leader is not None)
        self.election.vacant.set()
        term = self.election.term + 1
        await self.until(lambda: self.election.term == term)
        assert self.following.on_leader is not None
        self.following.on_leader(LeaderInfo("here", "", term))
        await self.until(lambda: self.seat.leading)


@contextlib.asynccontextmanager
async def living(*writes: Write) -> AsyncIterator[Scene]:
    scene = Scene(*writes)
    async with asyncio.TaskGroup() as group:
        group.create_task(live_among_others(scene.parts, scene.following, scene.stop))
        await scene.seat.taken()
        try:
            yield scene
        finally:
            scene.stop.set()


async def test_a_standby_shows_what_the_leader_stored() -> None:
    async with living(JOB) as scene:
        await scene.until(lambda: scene.seat.age_s is not None)
        assert (scene.seat.leading, scene.seat.leader) == (False, OTHER)
        assert [job.job for job in scene.seat.views.jobs("", 10).items] == ["web"]


async def test_who_is_elected_leads_with_the_state_it_followed() -> None:
    async with living(JOB, FRAMEWORK) as scene:
        await scene.be_elected()
        assert scene.store_terms == [2]
        [session] = scene.sessions
        await session.started.wait()
        assert session.ids == ["F-1"]
        assert [job.job for job in scene.seat.views.jobs("", 10).items] == ["web"]


async def test_a_lost_office_leads_back_to_standing_by_and_to_another_term() -> None:
    async with living(JOB) as scene:
        await scene.be_elected()
        scene.following.on_leader = None
        scene.election.lose()
        await scene.until(lambda: scene.following.runs == 2)
        assert not scene.seat.leading
        await scene.be_elected()
        assert scene.store_terms == [2, 3]


async def test_a_store_that_cannot_be_read_ends_the_daemon() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with living() as scene:
            await scene.until(lambda: scene.following.error is not None)
            assert scene.following.error is not None
            scene.following.error.set_exception(StoreUnreadable("jobs/web"))
            await asyncio.Event().wait()
    assert raised.group_contains(StoreUnreadable)


async def test_an_office_is_given_back_whose_winner_cannot_read_what_is_stored() -> None:
    async with living() as scene:
        await scene.until(lambda: scene.following.error is not None)
        scene.election.vacant.set()
        await scene.until(lambda: scene.election.term == 2)
        assert scene.following.error is not None
        scene.following.error.set_exception(EtcdRefused(EtcdRefusal.PERMISSION, "denied"))
        await scene.until(lambda: scene.following.runs == 2)
        assert scene.election.resigned == 1
        assert not scene.election.leads()


async def test_stopping_a_leader_gives_the_office_back() -> None:
    async with living() as scene:
        await scene.be_elected()
        scene.stop.set()
    assert scene.election.resigned == 1
    assert not scene.seat.leading


async def test_a_daemon_that_leads_alone_ends_with_its_term() -> None:
    scene = Scene()
    scene.election.vacant.set()
    number = await scene.election.campaign()
    async with asyncio.TaskGroup() as group:
        life = group.create_task(lead_alone(scene.parts, number, scene.stop))
        await scene.until(lambda: scene.seat.leading)
        scene.stop.set()
        await life
    assert scene.election.resigned == 1


async def test_alone_a_lost_office_ends_the_daemon() -> None:
    scene = Scene()
    scene.election.vacant.set()
    number = await scene.election.campaign()

    async def lose() -> None:
        await scene.until(lambda: scene.seat.leading)
        scene.election.lose()

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as group:
            group.create_task(lead_alone(scene.parts, number, scene.stop))
            group.create_task(lose())
    assert raised.group_contains(ElectionError)
