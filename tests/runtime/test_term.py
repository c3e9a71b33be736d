"""One term around a real engine: what leaves when, what ends it, and how it stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog
import structlog.testing

from scheduler.core.effects import Acknowledge, Answer, UpdateFramework, Verdict
from scheduler.core.events import (
    AgentsListed,
    ApplyJob,
    ConnectFailed,
    FrameworksListed,
    OffersMade,
    TaskState,
)
from scheduler.core.model.ids import FrameworkId, TaskId, Uid
from scheduler.core.policy import Policy
from scheduler.core.records import FrameworkRecord
from scheduler.errors import FrameworkRemoved, MasterUnavailable, StoreUnreadable, TermEnded
from scheduler.runtime.protocols import Session
from scheduler.runtime.term import MAILBOX_MAX, Term, TermSettings
from tests.builders import ROLE, a_service, a_status, an_offer
from tests.runtime.fakes import HeldStore, TestedSession

DEADLINE_S = 10.0


class Scene:
    def __init__(
        self, store: HeldStore, *, new_id: bool = False, ask_timeout_s: float = DEADLINE_S
    ) -> None:
        self.store = store
        self.session = TestedSession()
        self.stop = asyncio.Event()
        self.listings = 0
        self.leads = True
        self.term = Term(
            TermSettings(
                "here",
                Policy(roles=(ROLE,)),
                new_id_when_removed=new_id,
                ask_timeout_s=ask_timeout_s,
            ),
            1,
            leads=lambda: self.leads,
            store=store,
            make_session=self._make_session,
            operator=self,
        )

    def _make_session(self, room: Callable[[], Awaitable[None]]) -> Session:
        return self.session

    async def agents(self) -> AgentsListed:
        self.listings += 1
        raise MasterUnavailable("not now")

    async def frameworks(self) -> FrameworksListed:
        raise AssertionError("not asked where agents are not told")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - the term's own state has no event to wait for
                await asyncio.sleep(0.001)

    async def apply(self) -> Answer:
        return await self.term.ask(lambda ticket: ApplyJob(ticket, a_service(), Uid("u")))


@contextlib.asynccontextmanager
async def running(
    store: HeldStore | None = None, *, new_id: bool = False, ask_timeout_s: float = DEADLINE_S
) -> AsyncIterator[Scene]:
    scene = Scene(store or HeldStore(open_gate=True), new_id=new_id, ask_timeout_s=ask_timeout_s)
    await scene.term.load()
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.term.run(scene.stop))
        async with asyncio.timeout(DEADLINE_S):
            await scene.session.started.wait()
        try:
            yield scene
        finally:
            scene.stop.set()


async def test_a_task_is_launched_and_its_status_acknowledged() -> None:
    async with running() as scene:
        scene.session.subscribe()
        assert (await scene.apply()).verdict is Verdict.DONE
        scene.session.emit(OffersMade((an_offer(),)))
        task = TaskId("web.0.1.u")
        await scene.until(lambda: scene.term.views.task(task) is not None)
        scene.session.emit(a_status(task, TaskState.RUNNING, uuid=b"u" * 16))
        await scene.until(lambda: any(isinstance(c, Acknowledge) for c in scene.session.calls))
        view = scene.term.views.task(task)
        assert view is not None
        assert view.state == "running"


async def test_no_call_leaves_while_the_store_has_not_answered() -> None:
    async with running(HeldStore()) as scene:
        scene.session.subscribe()
        await scene.until(lambda: scene.store.held > 0)
        assert scene.session.calls == []
        scene.store.open_gate = True
        scene.store.let_through(scene.store.held)
        await scene.until(lambda: any(isinstance(c, UpdateFramework) for c in scene.session.calls))


async def test_a_request_that_is_not_stored_in_time_is_answered_so() -> None:
    async with running(HeldStore()) as scene:
        scene.term._asks._timeout_s = 0.05
        answer = await scene.apply()
        assert answer.verdict is Verdict.UNAVAILABLE
        assert "may still" in answer.detail
        scene.store.open_gate = True
        scene.store.let_through(scene.store.held)


async def test_a_store_that_fails_for_good_ends_the_term() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with running() as scene:
            scene.store.fail(StoreUnreadable("the file was replaced"))
            await asyncio.Event().wait()
    assert raised.group_contains(StoreUnreadable)


async def test_a_refusing_store_is_shown_and_requests_are_turned_away() -> None:
    async with running() as scene:
        assert scene.store.refusing is not None
        assert scene.store.recovered is not None
        scene.store.refusing("no space left")
        assert (await scene.apply()).verdict is Verdict.UNAVAILABLE
        assert scene.term.views.status().store_refusing == "no space left"
        scene.store.recovered()
        assert (await scene.apply()).verdict is Verdict.DONE


async def test_a_refusing_store_is_logged_while_writes_are_held() -> None:
    with structlog.testing.capture_logs() as lines:
        async with running(HeldStore()) as scene:
            asked = asyncio.create_task(scene.apply())
            await scene.until(lambda: scene.store.held > 0)
            assert scene.store.refusing is not None
            scene.store.refusing("no space left")
            assert "store.refusing" in [line["event"] for line in lines]
            scene.store.let_through(scene.store.held)
            await asked


async def test_an_id_whose_timeout_was_never_set_is_given_up_when_it_was_removed() -> None:
    store = HeldStore([FrameworkRecord(FrameworkId("F-0"), False, 0.0)], open_gate=True)
    async with running(store) as scene:
        scene.session.end(FrameworkRemoved("removed"))
        await scene.session.started.wait()
        assert scene.session.ids == ["F-0", None]
        assert scene.session.wanted[1].failover_timeout_s == 0.0


async def test_an_id_with_tasks_is_given_up_only_when_the_operator_said_so() -> None:
    record = FrameworkRecord(FrameworkId("F-0"), True, 0.0)
    with pytest.raises(ExceptionGroup) as raised:
        async with running(HeldStore([record], open_gate=True)) as scene:
            scene.session.end(FrameworkRemoved("removed"))
            await asyncio.Event().wait()
    assert raised.group_contains(FrameworkRemoved)
    async with running(HeldStore([record], open_gate=True), new_id=True) as scene:
        scene.session.end(FrameworkRemoved("removed"))
        await scene.session.started.wait()
        assert scene.session.ids == ["F-0", None]


async def test_stopping_lets_what_was_decided_become_durable_first() -> None:
    async with running(HeldStore()) as scene:
        asked = asyncio.create_task(scene.apply())
        await scene.until(lambda: scene.store.held > 0)
        scene.stop.set()
        await scene.until(lambda: not scene.term.leading)
        scene.store.let_through(scene.store.held)
        assert (await asked).verdict is Verdict.DONE


async def test_requests_that_nobody_will_answer_are_told_when_it_stops() -> None:
    async with running(HeldStore()) as scene:
        asked = asyncio.create_task(scene.apply())
        await scene.until(lambda: scene.store.held > 0)
        scene.stop.set()
    assert (await asked).verdict is Verdict.UNAVAILABLE


async def test_requests_of_a_lost_term_are_told_at_once_that_nobody_knows() -> None:
    with pytest.raises(ExceptionGroup):
        async with running(HeldStore(), ask_timeout_s=3600.0) as scene:
            asked = asyncio.create_task(scene.apply())
            await scene.until(lambda: scene.store.held > 0)
            scene.store.fail(TermEnded("another term began"))
            await asyncio.Event().wait()
    async with asyncio.timeout(DEADLINE_S):
        answer = await asked
    assert answer.verdict is Verdict.UNAVAILABLE
    assert "may still take effect" in answer.detail
    assert not scene.term.leading


async def test_an_id_is_given_up_once_there_is_room_for_the_request() -> None:
    store = HeldStore([FrameworkRecord(FrameworkId("F-0"), False, 0.0)], open_gate=True)
    async with running(store) as scene:
        scene.session.end(FrameworkRemoved("removed"))
        for _ in range(MAILBOX_MAX):
            scene.session.emit(ConnectFailed("no"))
        async with asyncio.timeout(DEADLINE_S):
            await scene.session.started.wait()
        assert scene.session.ids == ["F-0", None]


async def test_agents_are_asked_for_even_when_the_master_does_not_answer() -> None:
    async with running() as scene:
        await scene.until(lambda: scene.listings > 0)


async def test_nothing_leaves_when_the_office_may_be_lost_and_the_term_ends() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with running(HeldStore()) as scene:
            scene.session.subscribe()
            await scene.until(lambda: scene.store.held > 0)
            scene.leads = False
            assert not scene.term.leading
            scene.store.let_through()
            await asyncio.Event().wait()
    assert scene.session.calls == []
    assert raised.group_contains(TermEnded)
