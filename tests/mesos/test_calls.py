"""The pipelined call connection against a raw server that answers, stalls, cuts and lies.

What must hold whatever the server does: each call taken ends in exactly one outcome, in the order
of sending, and none is called "not sent" of which the server received a byte.
"""

import asyncio
import itertools
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.errors import CallsClosed, CallsFull, MasterUnavailable
from scheduler.mesos.address import MasterAddress
from scheduler.mesos.calls import (
    CallConnection,
    CallLimits,
    CallOutcome,
    NotSent,
    Refused,
    Sent,
    Unknown,
)

HOST = "127.77.2.1"
HEADERS = {"Content-Type": "application/x-protobuf", "Mesos-Stream-Id": "a-b"}
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
UPDATED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 17\r\n\r\n401 Unauthorized."
CHUNKED = (
    b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n4\r\n one\r\n0\r\n\r\n"
)
CLOSING = b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
BOUND_S = 10.0


class Peer(asyncio.Protocol):
    """The server's end: keeps what it receives, answers as the test's `on_request` says."""

    def __init__(
        self, on_request: Callable[["Peer", int], None], cut_after: int | None = None
    ) -> None:
        self._on_request = on_request
        self._cut_after = cut_after
        self.received = bytearray()
        self.bodies: list[bytes] = []
        self._parsed = 0
        self.gone = asyncio.Event()
        self.end: Exception | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._cut_after is not None and len(self.received) + len(data) >= self._cut_after:
            self.received += data[: self._cut_after - len(self.received)]
            self.transport.abort()
            return
        self.received += data
        while (end := self.received.find(b"\r\n\r\n", self._parsed)) >= 0:
            head = bytes(self.received[self._parsed : end])
            length = int(head.rpartition(b"Content-Length: ")[2])
            if len(self.received) < end + 4 + length:
                return
            self.bodies.append(bytes(self.received[end + 4 : end + 4 + length]))
            self._parsed = end + 4 + length
            self._on_request(self, len(self.bodies) - 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end = exc
        self.gone.set()

    @property
    def begun(self) -> int:
        """Of how many calls at least one byte came."""
        return len(self.bodies) + (len(self.received) > self._parsed)


class Caller:
    """Our end: a call connection and all that it told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[int, CallOutcome]] = []
        self.losses: list[str] = []
        self.lost = asyncio.Event()
        self.sent = 0
        self._awaited: tuple[int, asyncio.Event] | None = None
        self.connection: CallConnection

    def on_answer(self, token: int, outcome: CallOutcome) -> None:
        assert not self.losses, "an outcome after the loss"
        self.outcomes.append((token, outcome))
        if self._awaited is not None and len(self.outcomes) >= self._awaited[0]:
            self._awaited[1].set()

    def on_lost(self, reason: str) -> None:
        self.losses.append(reason)
        self.lost.set()

    def send(self, body: bytes = b"call") -> None:
        self.connection.send(self.sent, body)
        self.sent += 1

    async def answered(self, count: int) -> list[CallOutcome]:
        if len(self.outcomes) < count:
            self._awaited = (count, asyncio.Event())
            async with asyncio.timeout(BOUND_S):
                await self._awaited[1].wait()
        return [outcome for _, outcome in self.outcomes]

    async def all_lost(self) -> list[CallOutcome]:
        """Waits for the end and checks what must hold at each end."""
        async with asyncio.timeout(BOUND_S):
            await self.lost.wait()
        assert [token for token, _ in self.outcomes] == list(range(self.sent))
        assert len(self.losses) == 1
        return [outcome for _, outcome in self.outcomes]


class Server:
    def __init__(self, address: MasterAddress) -> None:
        self.address = address
        self.peers: list[Peer] = []
        self.cut_after: int | None = None  # after how many bytes later connections are cut

    async def connect(
        self, limits: CallLimits | None = None, caller: Caller | None = None
    ) -> Caller:
        caller = caller or Caller()
        caller.connection = await CallConnection.open(
            self.address,
            headers=HEADERS,
            on_answer=caller.on_answer,
            on_lost=caller.on_lost,
            limits=limits,
        )
        return caller


@asynccontextmanager
async def serving(
    on_request: Callable[[Peer, int], None], kind: type[Peer] = Peer
) -> AsyncIterator[Server]:
    def peer() -> Peer:
        server.peers.append(kind(on_request, server.cut_after))
        return server.peers[-1]

    listener = await asyncio.get_running_loop().create_server(peer, HOST, 0)
    server = Server(MasterAddress("http", HOST, listener.sockets[0].getsockname()[1]))
    try:
        yield server
    finally:
        listener.close()
        for each in server.peers:
            each.transport.abort()
            await each.gone.wait()


def answering(*answers: bytes) -> Callable[[Peer, int], None]:
    """Answers the n-th call with the n-th of `answers`, in a circle."""

    def on_request(peer: Peer, index: int) -> None:
        peer.transport.write(answers[index % len(answers)])

    return on_request


def silent(peer: Peer, index: int) -> None:
    """Takes calls and never answers."""


def judge(outcomes: list[CallOutcome], peer: Peer) -> None:
    """The promise about `NotSent`: nothing of these calls reached the server."""
    not_sent = sum(isinstance(outcome, NotSent) for outcome in outcomes)
    assert peer.begun <= len(outcomes) - not_sent
    assert all(isinstance(o, NotSent) for o in outcomes[len(outcomes) - not_sent :])


async def test_calls_of_one_turn_arrive_in_order_and_end_as_sent() -> None:
    async with serving(answering(ACCEPTED, UPDATED)) as server:
        caller = await server.connect()
        for index in range(500):
            caller.send(b"body %d" % index)
        assert await caller.answered(500) == [Sent()] * 500
        assert caller.connection.unanswered == 0
        await caller.connection.aclose()
        await caller.all_lost()
        assert server.peers[0].bodies == [b"body %d" % index for index in range(500)]


async def test_a_call_is_one_whole_http_request() -> None:
    async with serving(answering(ACCEPTED)) as server:
        caller = await server.connect()
        caller.send(b"\x00\r\n\r\n\xff")
        await caller.answered(1)
        assert bytes(server.peers[0].received) == (
            b"POST /api/v1/scheduler HTTP/1.1\r\n"
            b"Host: %b\r\n"
            b"Content-Type: application/x-protobuf\r\n"
            b"Mesos-Stream-Id: a-b\r\n"
            b"Content-Length: 6\r\n\r\n"
            b"\x00\r\n\r\n\xff" % server.address.authority.encode()
        )
        caller.connection.close()


async def test_refusals_carry_status_and_text_and_the_connection_goes_on() -> None:
    redirect = b"HTTP/1.1 307 T\r\nLocation: //m2:5050/x\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(UNAUTHORIZED, CHUNKED, redirect, ACCEPTED)) as server:
        caller = await server.connect()
        for _ in range(4):
            caller.send()
        assert await caller.answered(4) == [
            Refused(401, "401 Unauthorized."),
            Refused(400, "bad one"),
            Refused(307, ""),
            Sent(),
        ]
        assert not caller.losses
        caller.connection.close()


async def test_a_cut_at_each_byte_of_the_answers_leaves_one_outcome_a_call() -> None:
    answers = [ACCEPTED, UNAUTHORIZED, CHUNKED]
    stream = b"".join(answers)
    heads = list(itertools.accumulate([0, *map(len, answers[:-1])]))
    heads = [at + answer.index(b"\r\n\r\n") + 4 for at, answer in zip(heads, answers, strict=True)]

    def on_request(peer: Peer, index: int) -> None:
        if index == 3:
            peer.transport.write(stream[:cut])
            peer.transport.close()

    async with serving(on_request) as server:
        for cut in range(len(stream)):
            caller = await server.connect()
            for _ in range(4):
                caller.send()
            outcomes = await caller.all_lost()
            judge(outcomes, server.peers[-1])
            # A status that came with its whole head is an answer; the body is only its text.
            answered = sum(cut >= head for head in heads)
            assert [isinstance(o, Sent | Refused) for o in outcomes] == [
                index < answered for index in range(4)
            ]
            assert all(isinstance(o, Unknown) for o in outcomes[answered:])


async def test_a_cut_at_each_byte_of_the_calls_calls_none_not_sent_that_arrived() -> None:
    async with serving(answering(ACCEPTED)) as server:
        caller = await server.connect()
        caller.send()
        await caller.answered(1)
        call_bytes = len(server.peers[0].received)
        caller.connection.close()

        for cut in range(1, 2 * call_bytes):
            server.cut_after = cut
            caller = await server.connect()
            caller.send()
            caller.send()
            outcomes = await caller.all_lost()
            judge(outcomes, server.peers[-1])
            assert not any(isinstance(outcome, NotSent) for outcome in outcomes)


async def test_a_master_that_stops_reading_holds_back_calls_which_then_are_not_sent() -> None:
    reading_stopped = asyncio.Event()

    def stop_reading(peer: Peer, index: int) -> None:
        peer.transport.pause_reading()
        reading_stopped.set()

    async with serving(stop_reading) as server:
        caller = await server.connect(CallLimits(unanswered_bytes_max=200 * 1024 * 1024))
        for _ in range(100):
            caller.send(bytes(1024 * 1024))
        async with asyncio.timeout(BOUND_S):
            await reading_stopped.wait()
        server.peers[0].transport.abort()
        outcomes = await caller.all_lost()
        judge(outcomes, server.peers[0])
        assert {type(outcome) for outcome in outcomes} == {Unknown, NotSent}


async def test_held_back_calls_leave_when_the_master_reads_on() -> None:
    def pause(peer: Peer, index: int) -> None:
        if index == 0:
            peer.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.02, peer.transport.resume_reading)
        peer.transport.write(ACCEPTED)

    async with serving(pause) as server:
        caller = await server.connect(CallLimits(unanswered_bytes_max=200 * 1024 * 1024))
        for _ in range(40):
            caller.send(bytes(1024 * 1024))
        assert await caller.answered(40) == [Sent()] * 40
        caller.connection.close()


async def test_a_call_without_an_answer_in_time_ends_the_connection() -> None:
    def first_only(peer: Peer, index: int) -> None:
        if index == 0:
            peer.transport.write(ACCEPTED)

    async with serving(first_only) as server:
        caller = await server.connect(CallLimits(answer_timeout_s=0.4))
        for _ in range(3):
            caller.send()
        outcomes = await caller.all_lost()
        reason = "the master did not answer within 0.4 s"
        assert outcomes == [Sent(), Unknown(reason), Unknown(reason)]
        assert caller.losses == [reason]
        async with asyncio.timeout(BOUND_S):
            await server.peers[0].gone.wait()


async def test_a_master_that_answers_early_and_reads_no_further_is_given_up() -> None:
    class EarlyPeer(Peer):
        def data_received(self, data: bytes) -> None:
            self.received += data
            self.transport.pause_reading()
            self.transport.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    async with serving(silent, EarlyPeer) as server:
        caller = await server.connect(CallLimits(answer_timeout_s=0.5))
        caller.send(bytes(16 * 1024 * 1024))
        assert await caller.answered(1) == [Refused(413, "")]
        caller.send()
        outcomes = await caller.all_lost()
        assert outcomes[1] == NotSent("the master did not answer within 0.5 s")


async def test_an_answer_dripping_past_the_deadline_ends_the_connection() -> None:
    def drip(peer: Peer, index: int) -> None:
        def one_more() -> None:
            peer.transport.write(b"x")
            if not peer.gone.is_set():
                loop.call_later(0.005, one_more)

        loop = asyncio.get_running_loop()
        peer.transport.write(b"HTTP/1.1 202 Accepted\r\nX: ")
        one_more()

    async with serving(drip) as server:
        caller = await server.connect(CallLimits(answer_timeout_s=0.1))
        caller.send()
        assert await caller.all_lost() == [Unknown("the master did not answer within 0.1 s")]


async def test_answers_that_drip_byte_by_byte_in_time_are_taken() -> None:
    def drip(peer: Peer, index: int) -> None:
        def one_more() -> None:
            if byte := next(stream, None):
                peer.transport.write(bytes([byte]))
                loop.call_soon(one_more)

        loop = asyncio.get_running_loop()
        if index == 1:
            stream = iter(UNAUTHORIZED + CHUNKED)
            one_more()

    async with serving(drip) as server:
        caller = await server.connect()
        caller.send()
        caller.send()
        assert await caller.answered(2) == [
            Refused(401, "401 Unauthorized."),
            Refused(400, "bad one"),
        ]
        caller.connection.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01 not http",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 1x\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nX: " + b"x" * 1024 * 1024,
        b"HTTP/1.1 102 P\r\n\r\n" * 100 + b"\n\n\nx",
    ],
)
async def test_what_is_no_answer_ends_the_connection_and_leaves_the_call_unknown(
    garbage: bytes,
) -> None:
    async with serving(answering(ACCEPTED, garbage)) as server:
        caller = await server.connect()
        caller.send()
        caller.send()
        first, second = await caller.all_lost()
        assert first == Sent()
        assert isinstance(second, Unknown)


async def test_an_answer_that_closes_ends_the_connection_behind_it() -> None:
    def close_at_second(peer: Peer, index: int) -> None:
        if index == 2:
            peer.transport.write(ACCEPTED + CLOSING + ACCEPTED)

    async with serving(close_at_second) as server:
        caller = await server.connect()
        for _ in range(3):
            caller.send()
        outcomes = await caller.all_lost()
        assert outcomes[:2] == [Sent(), Sent()]
        assert isinstance(outcomes[2], Unknown)


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async with serving(answering(ACCEPTED + ACCEPTED[:5])) as server:
        caller = await server.connect()
        caller.send()
        assert await caller.all_lost() == [Sent()]
        assert caller.losses == ["the master answers though no call waits"]


async def test_a_refusal_without_length_is_whole_when_the_connection_ends() -> None:
    def refuse(peer: Peer, index: int) -> None:
        peer.transport.write(b"HTTP/1.1 503 Unavailable\r\n\r\nno leader")
        peer.transport.close()

    async with serving(refuse) as server:
        caller = await server.connect()
        caller.send()
        assert await caller.all_lost() == [Refused(503, "no leader")]


async def test_send_refuses_beyond_the_bound_until_an_answer_comes() -> None:
    held: asyncio.Queue[Peer] = asyncio.Queue()

    def hold(peer: Peer, index: int) -> None:
        held.put_nowait(peer)

    async with serving(hold) as server:
        caller = await server.connect(CallLimits(unanswered_max=2))
        caller.send()
        caller.send()
        with pytest.raises(CallsFull):
            caller.send()
        async with asyncio.timeout(BOUND_S):
            peer = await held.get()
        peer.transport.write(ACCEPTED)
        await caller.answered(1)
        caller.send()
        caller.connection.close()
        assert len(await caller.all_lost()) == 3


async def test_bytes_are_bounded_too_but_a_large_call_goes_alone() -> None:
    async with serving(answering(ACCEPTED)) as server:
        caller = await server.connect(CallLimits(unanswered_bytes_max=1000))
        caller.send(bytes(5000))
        with pytest.raises(CallsFull):
            caller.send(b"")
        await caller.answered(1)
        caller.send(bytes(500))
        with pytest.raises(CallsFull):
            caller.send(bytes(500))
        await caller.answered(2)
        caller.send(bytes(100))
        caller.send(bytes(100))
        await caller.answered(4)
        caller.connection.close()
        assert await caller.all_lost() == [Sent()] * 4


async def test_a_closed_connection_takes_no_call_and_says_why() -> None:
    async with serving(silent) as server:
        caller = await server.connect()
        caller.connection.close("term ended")
        with pytest.raises(CallsClosed, match="term ended"):
            caller.connection.send(7, b"")
        await caller.all_lost()


async def test_close_calls_no_call_sent_that_was_not_written_yet() -> None:
    async with serving(silent) as server:
        caller = await server.connect()
        caller.send()
        caller.connection.close("term ended")
        caller.connection.close("again")
        assert caller.outcomes == []  # not from inside close
        assert await caller.all_lost() == [NotSent("term ended")]
        assert caller.losses == ["term ended"]


async def test_close_drops_what_the_transport_and_the_kernel_still_hold() -> None:
    class SlowPeer(Peer):
        def data_received(self, data: bytes) -> None:
            self.transport.pause_reading()
            started.set()
            super().data_received(data)

    started = asyncio.Event()
    async with serving(silent, SlowPeer) as server:
        caller = await server.connect(CallLimits(unanswered_bytes_max=64 * 1024 * 1024))
        for _ in range(32):
            caller.send(bytes(1024 * 1024))
        async with asyncio.timeout(BOUND_S):
            await started.wait()
            await caller.connection.aclose()
            judge(await caller.all_lost(), server.peers[0])
            peer = server.peers[0]
            while not peer.gone.is_set():
                peer.transport.resume_reading()
                await asyncio.sleep(0)
        judge([outcome for _, outcome in caller.outcomes], peer)
        assert len(peer.bodies) < 32
        # An orderly end would come behind all that the kernel held.
        assert isinstance(peer.end, ConnectionResetError)


async def test_closing_twice_is_closing_once() -> None:
    async with serving(silent) as server:
        caller = await server.connect()
        caller.send()
        await asyncio.sleep(0)
        await caller.connection.aclose("done")
        await caller.connection.aclose()
        assert await caller.all_lost() == [Unknown("done")]


async def test_a_callback_may_send_and_close() -> None:
    async with serving(answering(ACCEPTED)) as server:
        outcomes: list[tuple[int, CallOutcome]] = []
        lost = asyncio.Event()

        def on_answer(token: int, outcome: CallOutcome) -> None:
            outcomes.append((token, outcome))
            if token < 5:
                connection.send(token + 1, b"next")
            elif token == 5:
                connection.send(6, b"")
                connection.close("enough")

        def on_lost(reason: str) -> None:
            assert len(outcomes) == 7
            lost.set()

        connection = await CallConnection.open(
            server.address, headers=HEADERS, on_answer=on_answer, on_lost=on_lost
        )
        connection.send(0, b"")
        async with asyncio.timeout(BOUND_S):
            await lost.wait()
        assert outcomes == [*((token, Sent()) for token in range(6)), (6, NotSent("enough"))]


async def test_a_callback_that_raises_ends_the_connection_and_hides_no_other_outcome() -> None:
    complaints: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(context.get("exception"))
    )

    class Raising(Caller):
        def on_answer(self, token: int, outcome: CallOutcome) -> None:
            super().on_answer(token, outcome)
            if token in (1, 3):
                raise RuntimeError(token)

    async with serving(answering(ACCEPTED)) as server:
        caller = await server.connect(caller=Raising())
        for _ in range(5):
            caller.send()
        assert len(await caller.all_lost()) == 5
        assert [str(complaint) for complaint in complaints] == ["1", "3"]


async def test_an_idle_connection_outlives_the_answer_timeout() -> None:
    async with serving(answering(ACCEPTED)) as server:
        caller = await server.connect(CallLimits(answer_timeout_s=0.4))
        caller.send()
        await caller.answered(1)
        await asyncio.sleep(0.5)  # nothing is to happen here
        caller.send()
        assert await caller.answered(2) == [Sent(), Sent()]
        assert not caller.losses
        caller.connection.close()


async def test_no_master_at_the_address_is_said_with_the_address() -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        address = MasterAddress("http", HOST, unused.getsockname()[1])
        with pytest.raises(MasterUnavailable, match=address.authority):
            await Server(address).connect()


async def test_a_connection_that_does_not_come_about_is_given_up_in_time() -> None:
    # A listener that completes no TLS handshake.
    async with serving(silent) as server:
        address = MasterAddress("https", HOST, server.address.port)
        with pytest.raises(MasterUnavailable, match=r"within 0\.1 s"):
            await Server(address).connect(CallLimits(connect_timeout_s=0.1))


@pytest.mark.parametrize(
    "headers",
    [{"A b": "x"}, {"Content-Length": "3"}, {"Host": "x"}, {"X": "hidden\r\n"}, {"X": "hidden…"}],
)
async def test_headers_that_would_break_the_framing_are_refused_without_their_value(
    headers: dict[str, str],
) -> None:
    address = MasterAddress("http", HOST, 1)
    with pytest.raises(ValueError) as raised:
        await CallConnection.open(
            address, headers=headers, on_answer=lambda *_: None, on_lost=lambda _: None
        )
    assert "hidden" not in str(raised.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own authority for HOST, key and certificate in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=master", "-addext"]
    command += [f"subjectAltName=IP:{HOST}", "-keyout", "key.pem", "-out", "cert.pem"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("the openssl command is missing: no certificate to test TLS with")
    return folder


async def test_calls_go_over_tls_to_a_master_of_our_authority_only(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    peers: list[Peer] = []

    def peer() -> Peer:
        peers.append(Peer(answering(ACCEPTED)))
        return peers[-1]

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(peer, HOST, 0, ssl=context)
    address = MasterAddress("https", HOST, listener.sockets[0].getsockname()[1])
    caller = Caller()
    caller.connection = await CallConnection.open(
        address,
        headers=HEADERS,
        on_answer=caller.on_answer,
        on_lost=caller.on_lost,
        ssl=ssl.create_default_context(cafile=str(certificate / "cert.pem")),
    )
    for _ in range(50):
        caller.send(bytes(10_000))
    assert await caller.answered(50) == [Sent()] * 50
    await caller.connection.aclose()
    assert await caller.all_lost() == [Sent()] * 50
    with pytest.raises(MasterUnavailable, match="certificate"):
        await Server(address).connect()
    listener.close()


@settings(max_examples=60, deadline=None)
@given(
    calls=st.integers(min_value=1, max_value=8),
    answers=st.lists(
        st.sampled_from([ACCEPTED, UPDATED, UNAUTHORIZED, CHUNKED, CLOSING, b"\0"]), max_size=8
    ),
    cuts=st.lists(st.integers(min_value=0), max_size=6),
    keep=st.integers(min_value=0, max_value=400),
)
def test_whatever_the_server_does_each_call_ends_once_and_in_order(
    calls: int, answers: list[bytes], cuts: list[int], keep: int
) -> None:
    stream = b"".join(answers)[:keep]
    borders = sorted({0, *(cut % (len(stream) + 1) for cut in cuts), len(stream)})

    def on_request(peer: Peer, index: int) -> None:
        def write(pieces: list[bytes]) -> None:
            if pieces:
                peer.transport.write(pieces[0])
                loop.call_soon(write, pieces[1:])
            else:
                peer.transport.close()

        loop = asyncio.get_running_loop()
        if index == calls - 1:
            write([stream[a:b] for a, b in itertools.pairwise(borders)])

    async def run() -> None:
        async with serving(on_request) as server:
            caller = await server.connect()
            for _ in range(calls):
                caller.send()
            outcomes = await caller.all_lost()
            judge(outcomes, server.peers[0])

    asyncio.run(run())
