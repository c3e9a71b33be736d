"""The single writer around an engine that has always something to place, and tells when it may."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

from scheduler.core.effects import Accept, Acknowledge, Call, Launch, Step
from scheduler.core.engine import Engine
from scheduler.core.events import (
    CallEnded,
    CallId,
    CallOutcome,
    Event,
    Now,
    StatusUpdated,
    TaskState,
)
from scheduler.core.model.ids import AgentId, FrameworkId, JobId, OfferId, TaskId, Uid
from scheduler.core.policy import Budget
from scheduler.core.records import FrameworkRecord, Put
from scheduler.runtime.loop import EngineLoop
from scheduler.runtime.mailbox import Mailbox
from scheduler.runtime.outbox import Outbox
from scheduler.runtime.pace import LoopLimits
from tests.builders import a_status, a_template
from tests.runtime.fakes import HeldStore

DEADLINE_S = 10.0
LIMITS = LoopLimits()
ANSWER = CallEnded(CallId(1), CallOutcome.SENT)
WRITE = Put(FrameworkRecord(FrameworkId("F"), True, 0.0))


def an_update() -> StatusUpdated:
    return a_status(TaskId("web.0.1.u"), TaskState.RUNNING, uuid=b"u" * 16)


class PlacingEngine:
    """Acknowledges updates, and places `launches` where it may; each step asks for another one.
    `handled` are its steps: the number of updates, and of instances that it might place."""

    def __init__(self) -> None:
        self.handled: list[tuple[int, int]] = []
        self.launches = 0
        self.before_each: Callable[[], None] = lambda: None

    def start(self, now: Now) -> Step:
        return Step()

    def handle(self, now: Now, events: Sequence[Event], budget: Budget) -> Step:
        self.before_each()
        updates = [event for event in events if isinstance(event, StatusUpdated)]
        self.handled.append((len(updates), min(budget.rows, budget.launches)))
        if budget.launches and self.launches:
            return Step(writes=(WRITE,) * self.launches, calls=(self._accept(),), more=True)
        return Step(
            writes=(WRITE,) * bool(updates),
            calls=tuple(
                Acknowledge(update.agent_id, update.task_id, update.uuid or b"")
                for update in updates
            ),
            more=True,
        )

    def _accept(self) -> Accept:
        launch = Launch(
            TaskId("t"), JobId("t"), 0, AgentId("S"), Uid("u"), 1, a_template(), (), (), ()
        )  # fmt: skip
        return Accept(CallId(2), (OfferId("o"),), (launch,) * self.launches, 1.0)


class Scene:
    def __init__(self, store: HeldStore) -> None:
        self.store = store
        self.mono = 100.0
        self.engine = PlacingEngine()
        self.acknowledged: list[Call] = []
        wake = asyncio.Event()
        self.mailbox = Mailbox(1000, wake)
        outbox = Outbox(
            store,
            may_leave=lambda: True,
            stream_now=lambda: 0,
            send=self.acknowledged.extend,
            answer=lambda _: None,
            notice=lambda _: None,
            emit=self.mailbox.put,
            released=wake.set,
        )
        self.loop = EngineLoop(
            cast(Engine, self.engine),
            self.mailbox,
            outbox,
            wake,
            clock=lambda: Now(0.0, self.mono),
            limits=LIMITS,
        )

    async def steps(self, count: int) -> Sequence[tuple[int, int]]:
        """The next steps of the engine."""
        begin = len(self.engine.handled)
        async with asyncio.timeout(DEADLINE_S):
            while len(self.engine.handled) < begin + count:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
        return self.engine.handled[begin : begin + count]


@contextlib.asynccontextmanager
async def running(*, open_gate: bool) -> AsyncIterator[Scene]:
    scene = Scene(HeldStore(open_gate=open_gate))
    task = asyncio.create_task(scene.loop.run())
    try:
        yield scene
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_step_that_applies_updates_places_nothing_and_the_next_one_does() -> None:
    async with running(open_gate=True) as scene:
        for _ in range(LIMITS.updates_alone_max + 1):
            scene.mailbox.put(an_update())
        steps = await scene.steps(3)
        assert steps[0] == (LIMITS.updates_alone_max + 1, 0)
        assert steps[1] == (0, LIMITS.rows_a_step)


async def test_what_else_comes_shares_a_step_with_placing() -> None:
    async with running(open_gate=True) as scene:
        scene.mailbox.put(ANSWER)
        assert await scene.steps(2) == [(0, LIMITS.rows_a_step)] * 2


async def test_updates_that_never_end_do_not_keep_placing_waiting() -> None:
    async with running(open_gate=True) as scene:
        scene.engine.before_each = lambda: scene.mailbox.put(an_update())
        await scene.steps(2 * LIMITS.updates_alone_max)
        placing = [placed > 0 for _, placed in await scene.steps(100)]
        assert placing.count(True) >= 49


async def test_nothing_is_placed_while_an_update_that_came_alone_is_not_acknowledged() -> None:
    async with running(open_gate=False) as scene:
        scene.mailbox.put(an_update())
        await scene.steps(1)
        for _ in range(20):
            scene.mailbox.put(ANSWER)
            assert await scene.steps(1) == [(0, 0)]
        assert scene.acknowledged == []
        scene.store.let_through()
        assert len(scene.acknowledged) == 1
        assert await scene.steps(1) == [(0, LIMITS.rows_alone)]


async def test_a_slow_store_does_not_keep_placing_waiting_for_long() -> None:
    async with running(open_gate=False) as scene:
        scene.mailbox.put(an_update())
        await scene.steps(1)
        for _ in range(20):
            scene.mono += 2 * LIMITS.patience_s
            assert await scene.steps(1) == [(0, LIMITS.rows_alone)]
        assert scene.acknowledged == []


async def test_beside_updates_that_come_alone_launches_are_placed_when_the_last_are_stored() -> (
    None
):
    """An update would wait behind those that are under way."""
    async with running(open_gate=False) as scene:
        scene.mailbox.put(an_update())
        await scene.steps(1)
        scene.engine.launches = 1
        scene.store.let_through()
        assert await scene.steps(1) == [(0, LIMITS.rows_alone)]
        assert scene.store.launches == [WRITE]
        scene.mailbox.put(ANSWER)
        assert await scene.steps(1) == [(0, 0)]
        scene.store.let_through()
        assert await scene.steps(1) == [(0, LIMITS.rows_alone)]
