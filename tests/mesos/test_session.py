"""The session against a master that answers, lies, stalls, cuts and is not there.

What must hold whatever the master does: stream and calls are lost together, Disconnected is told
once for each Subscribed, each call ends in exactly one outcome, and the session tries again unless
that cannot help.
"""

import asyncio
import base64
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Decline,
    Reconcile,
    Revive,
    UpdateFramework,
    Wanted,
)
from scheduler.core.events import (
    CallEnded,
    CallId,
    CallOutcome,
    ConnectFailed,
    Disconnected,
    Event,
    OfferRescinded,
    OffersMade,
    StatusUpdated,
    Subscribed,
    TaskState,
)
from scheduler.core.model.ids import AgentId, OfferId, Role, TaskId
from scheduler.errors import (
    FrameworkRemoved,
    FrameworkTaken,
    InvariantBroken,
    MasterRefused,
    TermEnded,
)
from scheduler.mesos.access import Credential, Tls
from scheduler.mesos.address import MasterAddress
from scheduler.mesos.calls import CallConnection, CallLimits
from scheduler.mesos.codec import FrameworkSettings
from scheduler.mesos.discovery import open_candidates
from scheduler.mesos.session import MasterSession, SessionLimits, SessionSettings
from scheduler.mesos.stream import StreamLimits, subscribe
from scheduler.runtime.protocols import Session
from tests.mesos import fake_master, wires
from tests.mesos.certificates import make_certificate
from tests.mesos.fake_master import ACCEPTED, Call, FakeMaster, answer, error, subscribed
from tests.mesos.running import WANTED, RunningSession

QUICK = SessionLimits(retry_initial_s=0.005, retry_s_max=0.02)
SECRET = Credential("fw", "sesame")


@pytest.fixture
async def master() -> AsyncIterator[FakeMaster]:
    async with FakeMaster() as fake:
        yield fake


def a_session(
    master: FakeMaster | str,
    limits: SessionLimits = QUICK,
    credential: Credential | None = None,
    tls: Tls | None = None,
) -> RunningSession:
    settings = SessionSettings(
        master=master if isinstance(master, str) else master.url,
        framework=FrameworkSettings(user="nobody", name="test"),
        credential=credential,
        tls=tls.context() if tls else None,
        limits=limits,
    )
    return RunningSession(MasterSession(settings))


def as_session(session: Session) -> Session:
    """Lets the type checker compare."""
    return session


def rescind(offer_id: str) -> fake_master.Event:
    event = fake_master.Event(type=fake_master.Event.RESCIND)
    event.rescind.offer_id.value = offer_id
    return event


def update(task_id: str, state: int = 1, uuid: bytes = b"0123456789abcdef") -> fake_master.Event:
    event = fake_master.Event(type=fake_master.Event.UPDATE)
    status = event.update.status
    status.task_id.value = task_id
    status.agent_id.value = "M-S0"
    status.uuid = uuid
    status.MergeFromString(bytes([0x10, state]))  # also numbers that the enum does not have
    return event


def declines(count: int, first: int = 1) -> list[Decline]:
    return [
        Decline(CallId(number), (OfferId(f"O{number}"),), 5.0)
        for number in range(first, first + count)
    ]


# --- subscribing ---------------------------------------------------------------------------------


async def test_the_first_subscribe_has_no_id_and_the_next_has_the_one_that_was_given(
    master: FakeMaster,
) -> None:
    async with a_session(master) as running:
        told = await running.next(Subscribed)
        url = master.url
        assert told == Subscribed(told.framework_id, told.master_id, url, "1.11.0", "nobody", True)
        assert (told.framework_id, told.master_id) == ("M-0001", "M")
        (await master.stream()).cut()
        await running.next(Disconnected)
        await running.next(Subscribed)
    first, second = master.subscribes
    assert not first.HasField("framework_id")
    assert not first.subscribe.framework_info.HasField("id")
    assert second.framework_id.value == second.subscribe.framework_info.id.value == "M-0001"


async def test_every_request_carries_the_credentials_and_calls_the_stream_id(
    master: FakeMaster,
) -> None:
    async with a_session(master, credential=SECRET) as running:
        await running.next(Subscribed)
        running.send(*declines(2))
        await running.outcomes([1, 2])
    subscribe, *calls = master.requests
    basic = "Basic " + base64.b64encode(b"fw:sesame").decode()
    for request in master.requests:
        assert request.path == "/api/v1/scheduler"
        assert request.headers["authorization"] == basic
        assert request.headers["content-type"] == "application/x-protobuf"
    assert subscribe.headers["accept"] == "application/x-protobuf"
    assert subscribe.headers["accept-encoding"] == "identity"
    assert "mesos-stream-id" not in subscribe.headers
    assert [request.headers["mesos-stream-id"] for request in calls] == ["stream-1"] * 2


async def test_what_a_framework_was_registered_with_is_said_for_ever(master: FakeMaster) -> None:
    async with a_session(master) as running:
        first = await running.next(Subscribed)
        assert (first.user, first.checkpoint) == ("nobody", True)
        running.registered = ("somebody", False)
        (await master.stream()).cut()
        await running.next(Disconnected)
        again = await running.next(Subscribed)
        assert (again.user, again.checkpoint) == ("somebody", False)
        running.send(UpdateFramework(CallId(1), WANTED))
        await running.outcomes([1])
    said = [call.subscribe.framework_info for call in master.subscribes]
    said += [call.update_framework.framework_info for call in master.calls]
    assert [(info.user, info.checkpoint) for info in said] == [
        ("nobody", True),
        ("somebody", False),
        ("somebody", False),
    ]


async def test_calls_that_answer_subscribed_leave(master: FakeMaster) -> None:
    """The call connection stands before Subscribed is told."""

    def reconcile_at_once(event: Event) -> None:
        if isinstance(event, Subscribed):
            running.send(Reconcile(CallId(1), ()))

    async with a_session(master) as running:
        running.on_event = reconcile_at_once
        (ended,) = await running.outcomes([1])
    assert ended.outcome is CallOutcome.SENT
    assert [call.type for call in master.calls] == [Call.RECONCILE]
    assert master.calls[0].HasField("reconcile")


async def test_a_redirect_without_a_scheme_is_followed_with_credentials() -> None:
    async with FakeMaster() as leader, FakeMaster() as standby:
        location = f"//{fake_master.HOST}:{leader.port}/master/api/v1/scheduler"
        standby.on_subscribe = [answer("307 Temporary Redirect", "", f"Location: {location}")]
        async with a_session(standby, credential=SECRET) as running:
            assert (await running.next(Subscribed)).master_url == leader.url
            running.send(*declines(1))
            await running.outcomes([1])
        assert "authorization" in leader.requests[0].headers
        assert leader.subscribes == standby.subscribes
        assert len(leader.calls) == 1
        assert standby.calls == []


async def test_masters_that_redirect_in_a_circle_are_asked_again_until_one_leads(
    master: FakeMaster,
) -> None:
    location = f"Location: //{fake_master.HOST}:{master.port}/api/v1/scheduler"
    master.on_subscribe = [answer("307 Temporary Redirect", "", location)] * 8
    async with a_session(master) as running:
        await running.next(Subscribed)
    assert len(master.subscribes) == 9


async def test_each_master_of_a_list_is_tried() -> None:
    async with FakeMaster() as gone:
        dead = gone.url
    async with FakeMaster() as alive, a_session(f"{dead},{alive.url}") as running:
        assert (await running.next(Subscribed)).master_url == alive.url


@pytest.mark.parametrize("status", ["503 Service Unavailable", "404 Not Found", "500 Oops"])
async def test_a_master_that_is_not_ready_is_asked_again(master: FakeMaster, status: str) -> None:
    master.on_subscribe = [answer(status, "No leader")] * 3
    async with a_session(master) as running:
        await running.next(Subscribed)
    assert len(master.subscribes) == 4


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "400 Bad Request"])
async def test_a_refusal_at_the_start_ends_the_session_without_showing_the_secret(
    master: FakeMaster, status: str
) -> None:
    master.on_subscribe = [answer(status, "No.")]
    async with a_session(master, credential=SECRET) as running:
        failure = await running.failure()
    assert isinstance(failure, MasterRefused)
    assert status.split()[0] in str(failure)
    assert "sesame" not in str(failure)
    assert running.events == []


async def test_a_refusal_after_we_were_subscribed_is_borne(master: FakeMaster) -> None:
    """Then it may be the master's mistake, and our tasks are running."""
    master.on_subscribe = [None, answer("401 Unauthorized", "No."), None]
    async with a_session(master) as running:
        await running.next(Subscribed)
        (await master.stream()).cut()
        await running.next(Subscribed)
    assert len(master.subscribes) == 3


UNANSWERED = {
    "silent": b"",
    "no event": fake_master.STREAM_HEAD % b"x",
    "no stream": answer("200 OK", "<html>"),
    "not HTTP": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("what", UNANSWERED.values(), ids=UNANSWERED.keys())
async def test_a_subscribe_that_is_not_answered_is_tried_again(
    master: FakeMaster, what: bytes
) -> None:
    master.on_subscribe = [what]
    limits = SessionLimits(
        stream=StreamLimits(subscribe_timeout_s=0.1), retry_initial_s=0.005, retry_s_max=0.02
    )
    async with a_session(master, limits) as running:
        await running.next(Subscribed)
    assert len(master.subscribes) == 2


async def test_calls_go_to_the_address_that_the_stream_is_connected_to(
    master: FakeMaster,
) -> None:
    """A host name may stand for several masters; the call connection must not look it up again."""
    candidates = open_candidates(master.url, tls=False)
    async with subscribe(
        candidates,
        b"\x10\x01",
        headers={},
        tls=None,
        limits=StreamLimits(),
        may_speak=lambda: True,
    ) as stream:
        assert stream.ip == fake_master.HOST
        lost = asyncio.Event()
        calls = await CallConnection.open(
            MasterAddress("http", "resolves-to-nothing.invalid", master.port),
            headers={},
            on_answer=lambda *_: None,
            on_lost=lambda _: lost.set(),
            ip=stream.ip,
        )
        calls.send(1, Call(type=Call.REVIVE).SerializeToString())
        await master.until(lambda: len(master.calls) == 1)
        await calls.aclose()
    assert master.requests[-1].headers["host"] == f"resolves-to-nothing.invalid:{master.port}"


async def test_a_stream_that_is_given_up_is_reset() -> None:
    """The kernel would go on sending a SUBSCRIBE that could not be delivered, and it would take
    the stream from a successor."""
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nMesos-Stream-Id: a-b\r\n\r\n")
        try:
            while await reader.read(1024):
                pass
            end.set_result(None)
        except ConnectionResetError as reset:
            end.set_exception(reset)
        writer.close()

    server = await asyncio.start_server(serve, fake_master.HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with subscribe(
            open_candidates(f"http://{fake_master.HOST}:{port}", tls=False),
            b"\x10\x01",
            headers={},
            tls=None,
            limits=StreamLimits(),
            may_speak=lambda: True,
        ):
            pass
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(end, 10.0)


async def test_no_subscribe_leaves_when_we_may_not_speak_any_more(master: FakeMaster) -> None:
    async with a_session(master) as running:
        running.may_speak = lambda: False
        assert isinstance(await running.failure(), TermEnded)
    assert master.requests == []


@pytest.mark.parametrize("said", ["Framework failed over", "Framework has been removed"])
async def test_what_the_master_says_after_our_time_in_office_only_ends_the_term(
    master: FakeMaster, said: str
) -> None:
    """It is a successor that subscribed with our id: no reason to try again, or to exit."""
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.may_speak = lambda: False
        (await master.stream()).say(error(said))
        await running.next(Disconnected)
        assert isinstance(await running.failure(), TermEnded)
    assert len(master.subscribes) == 1


async def test_a_stream_that_begins_with_something_else_is_tried_again(
    master: FakeMaster,
) -> None:
    master.greeting = [rescind("O1")]
    async with a_session(master) as running:
        await running.tried(2)
        master.greeting = [subscribed()]
        await running.next(Subscribed)
    assert not any(isinstance(event, OfferRescinded) for event in running.events)


async def test_we_are_not_subscribed_before_calls_can_leave(master: FakeMaster) -> None:
    """The stream is given up with the call connection that did not come about."""
    master.greeting = []
    async with a_session(master) as running:
        stream = await master.stream()
        master.stop_listening()
        stream.say(subscribed())
        await running.tried(3)
        await master.until(lambda: master.connections == 0)
    assert {type(event) for event in running.events} == {ConnectFailed}


# --- the stream ----------------------------------------------------------------------------------


def cut_in_two(stream: fake_master.Stream) -> None:
    stream.write(b"10\nabc")
    stream.end()


GARBAGE: list[tuple[str, Callable[[fake_master.Stream], None]]] = [
    ("not RecordIO", lambda stream: stream.write(b"<html>busy</html>")),
    ("no event", lambda stream: stream.write(b"4\n\xff\xff\xff\xff")),
    ("too large", lambda stream: stream.write(b"99999999\nx")),
    ("cut in two", cut_in_two),
    ("ended", lambda stream: stream.end()),
    ("cut off", lambda stream: stream.cut()),
    ("subscribed twice", lambda stream: stream.say(subscribed())),
]


@pytest.mark.parametrize("break_it", [g[1] for g in GARBAGE], ids=[g[0] for g in GARBAGE])
async def test_a_broken_stream_is_told_once_and_opened_again(
    master: FakeMaster, break_it: Callable[[fake_master.Stream], None]
) -> None:
    async with a_session(master) as running:
        stream = await master.stream()
        stream.say(rescind("O1"))
        assert await running.next(OfferRescinded) == OfferRescinded(OfferId("O1"))
        break_it(stream)
        await running.next(Subscribed)
        (await master.stream()).say(rescind("O2"))
        await running.next(OfferRescinded)
    assert [type(event) for event in running.events] == [
        *(Subscribed, OfferRescinded, Disconnected),
        *(Subscribed, OfferRescinded, Disconnected),
    ]


async def test_what_was_said_before_garbage_is_told(master: FakeMaster) -> None:
    async with a_session(master) as running:
        stream = await master.stream()
        record = rescind("O1").SerializeToString()
        stream.write(b"%d\n%b" % (len(record), record) + b"garbage")
        await running.next(OfferRescinded)
        await running.next(Disconnected)


async def test_a_large_event_of_offers_is_told_in_parts(master: FakeMaster) -> None:
    names = [f"O{number}" for number in range(1200)]
    event = fake_master.Event(type=fake_master.Event.OFFERS)
    for name in names:
        event.offers.offers.add().CopyFrom(wires.an_offer(name))
    async with a_session(master) as running:
        (await master.stream()).say(event, rescind("O7"))
        await running.next(OfferRescinded)
    parts = [event for event in running.events if isinstance(event, OffersMade)]
    assert len(parts) > 1
    assert [offer.offer_id for part in parts for offer in part.offers] == names


async def test_records_that_arrive_byte_by_byte_are_whole(master: FakeMaster) -> None:
    async with a_session(master) as running:
        stream = await master.stream()
        record = rescind("O1").SerializeToString()
        for byte in b"%d\n%b" % (len(record), record):
            stream.write(bytes([byte]))
        assert (await running.next(OfferRescinded)).offer_id == "O1"


async def test_the_old_sockets_are_closed_before_a_new_subscribe(master: FakeMaster) -> None:
    async with a_session(master) as running:
        for _ in range(3):
            await running.next(Subscribed)
            (await master.stream()).say(error("whatever"))
        await master.until(lambda: len(master.subscribes) == 4)
    assert master.connections_at_subscribe == [1, 1, 1, 1]


async def test_event_types_of_the_future_and_unused_ones_are_passed_over_and_counted(
    master: FakeMaster,
) -> None:
    Type = fake_master.Event.Type  # noqa: N806
    async with a_session(master) as running:
        stream = await master.stream()
        for kind in (Type.HEARTBEAT, Type.HEARTBEAT, Type.INVERSE_OFFERS, Type.MESSAGE):
            stream.say(fake_master.Event(type=kind))
        stream.write(b"2\n\x08\x63")  # type 99
        stream.say(rescind("O1"))
        await running.next(OfferRescinded)
        assert running.session.passed_over == Counter(
            HEARTBEAT=2, INVERSE_OFFERS=1, MESSAGE=1, UNKNOWN=1
        )


async def test_a_state_of_the_future_is_acknowledged_in_order_and_not_told(
    master: FakeMaster,
) -> None:
    async with a_session(master) as running:
        await running.next(Subscribed)
        stream = await master.stream()
        stream.say(update("old", 1), update("new", 99), update("old", 2))
        first = await running.next(StatusUpdated)
        second = await running.next(StatusUpdated)
        assert (first.state, second.state) == (TaskState.RUNNING, TaskState.FINISHED)
        acknowledge = Acknowledge(AgentId("M-S0"), TaskId("old"), first.uuid)
        running.send(acknowledge, Revive(CallId(7), ()))
        await running.outcomes([7])
        await master.until(lambda: len(master.calls) == 3)
        assert [call.acknowledge.task_id.value for call in master.calls[:2]] == ["new", "old"]
        assert [e.call_id for e in running.events if isinstance(e, CallEnded)] == [7]


async def test_silence_of_five_heartbeats_ends_the_stream(master: FakeMaster) -> None:
    master.greeting = [subscribed(heartbeat_interval_s=0.04)]
    async with a_session(master) as running:
        assert "0.2 s" in (await running.next(Disconnected)).reason
        await running.next(Subscribed)


async def test_heartbeats_keep_the_stream(master: FakeMaster) -> None:
    master.greeting = [subscribed(heartbeat_interval_s=0.2)]
    async with a_session(master) as running:
        stream = await master.stream()
        for _ in range(30):
            stream.say(fake_master.Event(type=fake_master.Event.HEARTBEAT))
            await asyncio.sleep(0.04)
        stream.say(rescind("O1"))
        await running.next(OfferRescinded)
    assert len(master.subscribes) == 1


async def test_a_full_mailbox_holds_the_stream_back_and_is_not_silence(master: FakeMaster) -> None:
    master.greeting = [subscribed(heartbeat_interval_s=0.02)]
    room = asyncio.Event()
    waits = asyncio.Event()

    async def wait_for_room() -> None:
        waits.set()
        await room.wait()

    settings = SessionSettings(
        master=master.url, framework=FrameworkSettings("nobody", "test"), limits=QUICK
    )
    session = MasterSession(settings, wait_for_room=wait_for_room)
    async with RunningSession(session) as running:
        stream = await master.stream()
        await running.next(Subscribed)
        await waits.wait()
        stream.say(rescind("O1"))
        await asyncio.sleep(0.3)  # three times what would be silence
        assert [type(event) for event in running.events] == [Subscribed]
        room.set()
        await running.next(OfferRescinded)


# --- ERROR ---------------------------------------------------------------------------------------


async def test_a_removed_framework_ends_the_session_with_what_to_do(master: FakeMaster) -> None:
    master.greeting = [error("Framework has been removed")]
    async with a_session(master) as running:
        failure = await running.failure()
    assert isinstance(failure, FrameworkRemoved)
    assert "new id" in str(failure)


async def test_a_subscription_that_is_not_valid_ends_the_session(master: FakeMaster) -> None:
    master.greeting = [error("Role 'x y' is not valid")]
    async with a_session(master) as running:
        failure = await running.failure()
    assert isinstance(failure, MasterRefused)
    assert "Role 'x y' is not valid" in str(failure)


async def test_a_few_failovers_are_borne_and_more_mean_another_scheduler(
    master: FakeMaster,
) -> None:
    async with a_session(master) as running:
        for _ in range(4):
            await running.next(Subscribed)
            (await master.stream()).say(error("Framework failed over"))
        failure = await running.failure()
    assert isinstance(failure, FrameworkTaken)
    assert "another scheduler uses this framework id" in str(failure)
    assert sum(isinstance(event, Disconnected) for event in running.events) == 4


async def test_an_error_of_an_unknown_kind_is_followed_by_another_try(master: FakeMaster) -> None:
    async with a_session(master) as running:
        await running.next(Subscribed)
        (await master.stream()).say(error("Something new"))
        assert "Something new" in (await running.next(Disconnected)).reason
        await running.next(Subscribed)


# --- calls ---------------------------------------------------------------------------------------


async def test_more_calls_than_the_connection_holds_leave_in_order(master: FakeMaster) -> None:
    limits = SessionLimits(calls=CallLimits(unanswered_max=3))
    async with a_session(master, limits) as running:
        await running.next(Subscribed)
        running.send(*declines(100))
        running.send(*declines(100, first=101))
        ended = await running.outcomes(range(1, 201))
    assert [event.call_id for event in ended] == list(range(1, 201))
    assert {event.outcome for event in ended} == {CallOutcome.SENT}
    assert [call.decline.offer_ids[0].value for call in master.calls] == [
        f"O{number}" for number in range(1, 201)
    ]


async def test_a_cut_call_connection_ends_the_stream_and_every_call_once(
    master: FakeMaster,
) -> None:
    limits = SessionLimits(
        calls=CallLimits(unanswered_max=4), retry_initial_s=0.005, retry_s_max=0.02
    )
    master.answer = lambda call: ACCEPTED if call.decline.offer_ids[0].value == "O1" else None
    async with a_session(master, limits) as running:
        await running.next(Subscribed)
        running.send(*declines(10))
        await master.until(lambda: len(master.calls) == 5)
        master.call_writers[0].transport.abort()
        await running.next(Disconnected)
        kinds = [type(event) for event in running.events]
        assert kinds == [Subscribed, *[CallEnded] * 10, Disconnected]
        ended = await running.outcomes(range(1, 11))
        assert [event.call_id for event in ended] == list(range(1, 11))
        assert [event.outcome for event in ended] == [
            CallOutcome.SENT,
            *[CallOutcome.UNKNOWN] * 4,
            *[CallOutcome.NOT_SENT] * 5,
        ]
        await running.next(Subscribed)
        assert len(master.calls) == 5  # none is said again


async def test_a_lost_stream_ends_the_calls(master: FakeMaster) -> None:
    master.answer = lambda _: None
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.send(*declines(1))
        await master.until(lambda: len(master.calls) == 1)
        (await master.stream()).cut()
        await running.next(Disconnected)
        (ended,) = await running.outcomes([1])
        assert ended.outcome is CallOutcome.UNKNOWN
        await master.until(lambda: master.connections == 0 or len(master.subscribes) == 2)


async def test_calls_without_a_connection_end_as_not_sent_and_not_at_once() -> None:
    async with FakeMaster() as gone:
        dead = gone.url
    async with a_session(dead) as running:
        running.send(*declines(2))
        assert running.events == []  # the engine must not be called from within its own turn
        ended = await running.outcomes([1, 2])
        assert [event.outcome for event in ended] == [CallOutcome.NOT_SENT] * 2


async def test_a_refused_call_is_told_and_the_session_stays(master: FakeMaster) -> None:
    master.answer = lambda _: answer("400 Bad Request", "no such offer")
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.send(*declines(1))
        (ended,) = await running.outcomes([1])
        assert ended == CallEnded(CallId(1), CallOutcome.REFUSED, "400: no such offer")
        (await master.stream()).say(rescind("O1"))
        await running.next(OfferRescinded)
    assert len(master.subscribes) == 1


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "503 No", "403 Forbidden"])
async def test_a_master_that_does_not_hold_us_for_connected_gets_a_new_subscribe(
    master: FakeMaster, status: str
) -> None:
    master.answer = lambda _: answer(status, "")
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.send(*declines(1))
        (ended,) = await running.outcomes([1])
        assert ended.outcome is CallOutcome.REFUSED
        await running.next(Disconnected)
        await running.next(Subscribed)


async def test_an_update_of_the_framework_that_is_forbidden_is_only_refused(
    master: FakeMaster,
) -> None:
    master.answer = lambda _: answer("403 Forbidden", "not this role")
    wanted = Wanted(roles=(Role("a"),), suppressed=(), failover_timeout_s=1.0)
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.send(UpdateFramework(CallId(1), wanted))
        (ended,) = await running.outcomes([1])
        assert ended.outcome is CallOutcome.REFUSED
        (await master.stream()).say(rescind("O1"))
        await running.next(OfferRescinded)


async def test_a_call_that_cannot_be_said_is_refused_and_the_others_leave(
    master: FakeMaster,
) -> None:
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.send(
            Revive(CallId(1), (Role("a"),)),
            Accept(CallId(2), (OfferId("half a \ud83d character"),), (), 1.0),
            Revive(CallId(3), (Role("b"),)),
        )
        ended = {event.call_id: event.outcome for event in await running.outcomes([1, 2, 3])}
    assert ended[CallId(2)] is CallOutcome.REFUSED
    assert ended[CallId(1)] is ended[CallId(3)] is CallOutcome.SENT


async def test_calls_beyond_every_bound_end_the_session(master: FakeMaster) -> None:
    limits = SessionLimits(
        calls=CallLimits(unanswered_max=2),
        calls_waiting_max=5,
        retry_initial_s=0.005,
        retry_s_max=0.02,
    )
    master.answer = lambda _: None
    async with a_session(master, limits) as running:
        await running.next(Subscribed)
        running.send(*declines(8))
        ended = await running.outcomes(range(1, 9))
        assert [event.call_id for event in ended] == list(range(1, 9))
        assert CallOutcome.SENT not in {event.outcome for event in ended}
        await running.next(Disconnected)
        await running.next(Subscribed)


# --- TLS -----------------------------------------------------------------------------------------


async def test_stream_and_calls_go_over_tls_with_a_client_certificate(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, fake_master.HOST)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pair.certificate)
    server.load_cert_chain(pair.certificate, pair.key)
    server.verify_mode = ssl.CERT_REQUIRED
    tls = Tls(ca_file=pair.certificate, certificate_file=pair.certificate, key_file=pair.key)
    async with FakeMaster(server) as master, a_session(master, tls=tls) as running:
        assert (await running.next(Subscribed)).master_url == master.url
        running.send(*declines(1))
        (ended,) = await running.outcomes([1])
        assert ended.outcome is CallOutcome.SENT
        assert master.url.startswith("https://")


async def test_a_master_whose_certificate_is_not_trusted_is_told_nothing(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, fake_master.HOST)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pair.certificate, pair.key)
    async with FakeMaster(server) as master, a_session(master, tls=Tls()) as running:
        await running.tried(3)
        assert len(running.events) == 2
        failed = await running.next(ConnectFailed)
        assert "CERTIFICATE_VERIFY_FAILED" in failed.reason
        assert master.requests == []


async def test_why_no_stream_comes_about_is_told_but_not_twice_what_ended_one(
    master: FakeMaster,
) -> None:
    async with a_session(master) as running:
        await running.next(Subscribed)
        master.stop_listening()
        (await master.stream()).end()
        lost = await running.next(Disconnected)
        failed = await running.next(ConnectFailed)
    assert failed.reason == f"{master.url}: Connection refused"
    assert failed.reason != lost.reason
    assert sum(isinstance(event, Disconnected) for event in running.events) == 1


# --- the rest ------------------------------------------------------------------------------------


async def test_a_cancelled_session_closes_its_sockets_and_ends_its_calls(
    master: FakeMaster,
) -> None:
    master.answer = lambda _: None
    async with a_session(master) as running:
        await running.next(Subscribed)
        running.send(*declines(1))
        await master.until(lambda: len(master.calls) == 1)
    assert [type(event) for event in running.events] == [Subscribed, CallEnded, Disconnected]
    await master.until(lambda: master.connections == 0)


def test_it_is_what_the_runtime_asks_for() -> None:
    session = MasterSession(SessionSettings("a:1", FrameworkSettings("nobody", "test")))
    assert as_session(session) is session
    with pytest.raises(InvariantBroken):
        session.send(declines(1))
