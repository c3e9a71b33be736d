"""A master that only makes load: it offers all agents once, and again what an ACCEPT left of one,
and what was declined, when its time is over or at a REVIVE. It says TASK_RUNNING of each task,
answers RECONCILE, and counts what comes back. Raw protocol (httptools, protobuf, and JSON for a
scheduler that speaks it), in a process of its own, so that it costs little beside the scheduler
under test. It ends when a task is launched twice, or an update acknowledged that was not to be (a
second time, or none that was sent), and checks nothing else: that is the emulator's business.

Whoever subscribes after the first wave is another instance of the same scheduler that takes over:
it is offered one more agent, with room for one task.

It speaks with whoever started it by lines. On standard output, JSON:

    {"listening": port}      it serves
    {"wave": "running", …}   each task was launched and its update acknowledged; see `Wave.result`
    {"wave": "finished", …}  the same of the updates that `storm` asked for
    {"accepted": seconds, "cpu_s": seconds}
                             after a takeover a task was launched, at this monotonic time, when the
                             master had used so much CPU; told when all tasks have been asked about

    {"trickle": n, "p50_s": seconds, "p99_s": seconds, "seconds": …, "cpu_s": …}
                             the updates of `trickle`, from written to acknowledged; how long it
                             lasted, and what the load master itself needed meanwhile
    {"placed": n, "seconds": seconds, "first_s": …, "p50_s": …, "p99_s": …}
                             all that `offer` offered has been launched: from its first offer to the
                             last ACCEPT, to the first, and from each offer to the ACCEPT of it

On standard input, and it ends with it:

    storm               sends TASK_FINISHED of every task at once
    trickle N MS        sends TASK_FINISHED of N tasks, one each MS milliseconds, until what was
                        offered has been accepted, if that is sooner
    offer AGENTS TASKS AN_EVENT MS
                        offers that many more agents with room for TASKS on each, so many an event,
                        one event each MS milliseconds, and says nothing of the tasks that are
                        launched there
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NoReturn, cast

import httptools
import uvloop

from benchmarks.wire import PROTOBUF, Wire, wire_of
from scheduler.mesos.proto import mesos_v1_pb2, scheduler_pb2
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState, TaskStatus

Event = scheduler_pb2.Event
Call = scheduler_pb2.Call

OFFERS_AN_EVENT = 50
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
    b"Mesos-Stream-Id: load\r\nTransfer-Encoding: chunked\r\n\r\n"
)
HEARTBEAT_S = 5.0
REFUSE_S_SHORT = 1.0  # what is refused for no longer is offered again at once


class Wave:
    """Updates that are timed together: from now to the last acknowledgement."""

    def __init__(self, name: str, updates: int) -> None:
        self._name = name
        self._unsent = updates
        self._updates = updates
        self._unacknowledged: set[bytes] = set()
        self._began = time.perf_counter()
        self._cpu_before = _cpu_s()

    def sent(self, uuid: bytes) -> None:
        self._unsent -= 1
        self._unacknowledged.add(uuid)

    def acknowledged(self, uuid: bytes) -> bool:
        """Whether this acknowledgement was missing."""
        missing = uuid in self._unacknowledged
        self._unacknowledged.discard(uuid)
        return missing

    @property
    def over(self) -> bool:
        return not self._unsent and not self._unacknowledged

    def result(self) -> dict[str, object]:
        """`cpu_s` is the master's own: beside a `seconds` hardly larger it was the bottleneck."""
        return {
            "wave": self._name,
            "updates": self._updates,
            "seconds": time.perf_counter() - self._began,
            "cpu_s": _cpu_s() - self._cpu_before,
        }


class Trickle:
    """Updates that are timed one by one."""

    def __init__(self) -> None:
        self._sent: dict[bytes, float] = {}
        self._began = time.perf_counter()
        self._cpu_before = _cpu_s()
        self.closed = False
        """No more will be sent."""
        self._latencies_s: list[float] = []

    def sent(self, uuid: bytes) -> None:
        self._sent[uuid] = time.perf_counter()

    def acknowledged(self, uuid: bytes) -> bool:
        """Whether this acknowledgement was missing."""
        sent = self._sent.pop(uuid, None)
        if sent is None:
            return False
        self._latencies_s.append(time.perf_counter() - sent)
        return True

    @property
    def over(self) -> bool:
        return self.closed and not self._sent

    def result(self) -> dict[str, object]:
        return {
            "trickle": len(self._latencies_s),
            "seconds": time.perf_counter() - self._began,
            "cpu_s": _cpu_s() - self._cpu_before,
            **_percentiles(self._latencies_s),
        }


class Batch:
    """Tasks that are launched and then left alone; their offers are timed one by one."""

    def __init__(self, tasks: int) -> None:
        self.tasks: set[str] = set()
        self._asked = tasks
        self._began = time.perf_counter()
        self._offered: dict[str, float] = {}
        self._latencies_s: list[float] = []
        self._first_s = 0.0

    def offered(self, offer_ids: Iterable[str]) -> None:
        self._offered |= dict.fromkeys(offer_ids, time.perf_counter())

    def accepted(self, offer_id: str) -> None:
        offered = self._offered.pop(offer_id, None)
        if offered is not None:
            now = time.perf_counter()
            self._first_s = self._first_s or now - self._began
            self._latencies_s.append(now - offered)

    def placed(self, task_id: str) -> None:
        self.tasks.add(task_id)
        if self.complete:
            _tell(self._result())

    @property
    def complete(self) -> bool:
        return len(self.tasks) == self._asked

    def _result(self) -> dict[str, object]:
        return {
            "placed": self._asked,
            "seconds": time.perf_counter() - self._began,
            "first_s": self._first_s,
            **_percentiles(self._latencies_s),
        }


class LoadMaster:
    """The load, whoever connects; the same framework each time."""

    def __init__(self, agents: int, tasks: int) -> None:
        self._agents = agents
        self._tasks = tasks
        self._stream: asyncio.Transport | None = None
        self._wire = PROTOBUF
        self._running: dict[str, str] = {}  # task id to agent id
        self._free: dict[str, int] = {}  # agent id to the tasks that it still holds
        self._offered: dict[str, str] = {}  # offer id to agent id
        self._declined: dict[str, None] = {}
        self._offers = 0
        self._wave: Wave | None = None
        self._statuses = 0
        self._added = 0  # agents, to those that were there from the beginning
        self._takes_over = False
        self._takeover: dict[str, object] | None = None
        self._reconciled = 0
        self._trickle: Trickle | None = None
        self._batch: Batch | None = None

    # --- what the scheduler says -----------------------------------------------------------------

    def subscribed(self, transport: asyncio.Transport, wire: Wire) -> None:
        first = self._stream is None
        self._stream = transport
        self._wire = wire
        self._offered.clear()
        self._declined.clear()
        transport.write(STREAM % wire.content_type)
        event = Event(type=Event.SUBSCRIBED)
        event.subscribed.framework_id.value = "load-0000"
        event.subscribed.heartbeat_interval_seconds = HEARTBEAT_S
        event.subscribed.master_info.id = "load"
        event.subscribed.master_info.ip = 0
        event.subscribed.master_info.port = 0
        self._send(event)
        if first:
            self._heartbeat()
        elif self._wave is not None:
            self._offer_one_more()

    def called(self, call: scheduler_pb2.Call) -> bytes:
        match call.type:
            case Call.ACCEPT:
                self._accepted(call.accept)
            case Call.ACKNOWLEDGE:
                self._acknowledged(call.acknowledge.uuid)
            case Call.RECONCILE:
                self._reconcile(call.reconcile)
            case Call.REVIVE if self._wave is None:
                self._offer()
            case Call.REVIVE:
                self._offer_again(list(self._declined))
            case Call.DECLINE:
                self._decline(call.decline)
            case Call.UPDATE_FRAMEWORK:
                return OK
            case _:
                pass
        return ACCEPTED

    def _decline(self, decline: scheduler_pb2.Call.Decline) -> None:
        agents = [self._offered.pop(offer_id.value, "") for offer_id in decline.offer_ids]
        self._declined.update(dict.fromkeys(filter(None, agents)))
        refuse_s = decline.filters.refuse_seconds
        asyncio.get_running_loop().call_later(refuse_s, self._offer_again, agents)

    def _offer_again(self, agents: list[str]) -> None:
        again = [agent_id for agent_id in agents if agent_id in self._declined]
        for agent_id in again:
            del self._declined[agent_id]
        for start in range(0, len(again), OFFERS_AN_EVENT):
            self._write(self._offers_event(again[start : start + OFFERS_AN_EVENT]))

    def _accepted(self, accept: scheduler_pb2.Call.Accept) -> None:
        for offer_id in accept.offer_ids:
            self._offered.pop(offer_id.value, None)
            if self._batch is not None:
                self._batch.accepted(offer_id.value)
        if self._takes_over and self._takeover is None:
            self._takeover = {"accepted": time.monotonic(), "cpu_s": _cpu_s()}
            self._tell_takeover()
        records = bytearray()
        agents: dict[str, None] = {}
        for operation in accept.operations:
            for task in operation.launch.task_infos:
                task_id, agent_id = task.task_id.value, task.agent_id.value
                if task_id in self._running or (self._batch and task_id in self._batch.tasks):
                    _end(f"launched twice: {task_id}")
                self._free[agent_id] -= 1
                agents[agent_id] = None
                if self._batch is not None:
                    self._batch.placed(task_id)
                    continue
                self._running[task_id] = agent_id
                records += self._update(task_id, agent_id, mesos_v1_pb2.TASK_RUNNING)
        left = [agent_id for agent_id in agents if self._free[agent_id]]
        if left and accept.filters.refuse_seconds <= REFUSE_S_SHORT:
            records += self._offers_event(left)
        self._write(bytes(records))

    def _acknowledged(self, uuid: bytes) -> None:
        trickle, wave = self._trickle, self._wave
        if trickle is not None and trickle.acknowledged(uuid):
            if trickle.over:
                _tell(trickle.result())
                self._trickle = None
        elif wave is not None and wave.acknowledged(uuid):
            if wave.over:
                _tell(wave.result())
        else:
            _end(f"acknowledged twice, or never sent: {uuid.hex()}")

    def _reconcile(self, reconcile: scheduler_pb2.Call.Reconcile) -> None:
        """As masters do: without a uuid, and of all tasks where none are named."""
        asked = {task.task_id.value: task.agent_id.value for task in reconcile.tasks}
        records = bytearray()
        for task_id, agent_id in (asked or self._running).items():
            known = task_id in self._running
            state = mesos_v1_pb2.TASK_RUNNING if known else mesos_v1_pb2.TASK_UNKNOWN
            records += self._record(_status(task_id, agent_id, state))
        self._write(bytes(records))
        self._reconciled += len(asked or self._running)
        self._tell_takeover()

    def _tell_takeover(self) -> None:
        """An heir that launches, but does not ask what became of the tasks, is no heir."""
        if self._takes_over and self._takeover is not None and self._reconciled >= self._tasks:
            self._takes_over = False
            _tell(self._takeover)

    # --- what the master says --------------------------------------------------------------------

    def storm(self) -> None:
        """TASK_FINISHED of every task, in one write."""
        self._wave = Wave("finished", len(self._running))
        records = bytearray()
        for task_id, agent_id in self._running.items():
            records += self._update(task_id, agent_id, mesos_v1_pb2.TASK_FINISHED)
        self._write(bytes(records))

    def trickle(self, updates: int, pause_s: float) -> None:
        """Of the tasks that run the longest."""
        self._trickle = Trickle()
        self._trickle_on(list(self._running.items())[:updates][::-1], pause_s)

    def _trickle_on(self, tasks: list[tuple[str, str]], pause_s: float) -> None:
        assert self._trickle is not None
        task_id, agent_id = tasks.pop()
        del self._running[task_id]
        record, uuid = self._status_record(task_id, agent_id, mesos_v1_pb2.TASK_FINISHED)
        self._trickle.sent(uuid)
        self._write(record)
        placed = self._batch is not None and self._batch.complete
        if placed or not tasks:
            self._trickle.closed = True
        else:
            asyncio.get_running_loop().call_later(pause_s, self._trickle_on, tasks, pause_s)

    def offer(self, agents: int, tasks: int, an_event: int, pause_s: float) -> None:
        """None of them was offered before."""
        self._batch = Batch(agents * tasks)
        begin = self._agents + self._added
        self._added += agents
        names = [f"load-S{number}" for number in range(begin, begin + agents)]
        self._free |= dict.fromkeys(names, tasks)
        self._offer_on(names, an_event, pause_s)

    def _offer_on(self, names: list[str], an_event: int, pause_s: float) -> None:
        assert self._batch is not None
        while names:
            before = self._offers
            record = self._offers_event(names[:an_event])
            self._batch.offered(_offer_id(n) for n in range(before + 1, self._offers + 1))
            self._write(record)
            names = names[an_event:]
            if names and pause_s:
                loop = asyncio.get_running_loop()
                loop.call_later(pause_s, self._offer_on, names, an_event, pause_s)
                return

    def _update(self, task_id: str, agent_id: str, state: TaskState) -> bytes:
        """An update of the wave, to be acknowledged."""
        assert self._wave is not None
        record, uuid = self._status_record(task_id, agent_id, state)
        self._wave.sent(uuid)
        return record

    def _status_record(self, task_id: str, agent_id: str, state: TaskState) -> tuple[bytes, bytes]:
        status = _status(task_id, agent_id, state)
        status.source = TaskStatus.SOURCE_EXECUTOR
        self._statuses += 1
        status.uuid = self._statuses.to_bytes(16, "big")
        return self._record(status), status.uuid

    def _record(self, status: TaskStatus) -> bytes:
        event = Event(type=Event.UPDATE)
        event.update.status.CopyFrom(status)
        return self._wire.encode(event)

    def _offer(self) -> None:
        """All agents, each with just enough for its part of the tasks."""
        each = -(-self._tasks // self._agents)
        self._free = {f"load-S{number}": each for number in range(self._agents)}
        agents = list(self._free)
        events = [
            self._offers_event(agents[start : start + OFFERS_AN_EVENT])
            for start in range(0, len(agents), OFFERS_AN_EVENT)
        ]
        self._wave = Wave("running", self._tasks)
        for record in events:
            self._write(record)

    def _offer_one_more(self) -> None:
        self._takes_over = True
        self._takeover = None
        self._reconciled = 0
        agent_id = f"load-S{self._agents + self._added}"
        self._added += 1
        self._free[agent_id] = 1
        self._write(self._offers_event([agent_id]))

    def _offers_event(self, agents: list[str]) -> bytes:
        event = Event(type=Event.OFFERS)
        for agent_id in agents:
            self._offers += 1
            offer = event.offers.offers.add()
            offer.id.value = _offer_id(self._offers)
            self._offered[offer.id.value] = agent_id
            _fill_offer(offer, agent_id, self._free[agent_id])
        return self._wire.encode(event)

    def _heartbeat(self) -> None:
        self._send(Event(type=Event.HEARTBEAT))
        asyncio.get_running_loop().call_later(HEARTBEAT_S, self._heartbeat)

    def _send(self, event: scheduler_pb2.Event) -> None:
        self._write(self._wire.encode(event))

    def _write(self, records: bytes) -> None:
        if self._stream is not None and records:
            self._stream.write(b"%x\r\n%b\r\n" % (len(records), records))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _end(why: str) -> NoReturn:
    """At once: uvloop lets no SystemExit out of what a connection calls."""
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


def _offer_id(number: int) -> str:
    return f"load-O{number}"


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50_s": ordered[len(ordered) // 2], "p99_s": ordered[int(len(ordered) * 0.99)]}


def _tell(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def _status(task_id: str, agent_id: str, state: TaskState) -> TaskStatus:
    status = TaskStatus(state=state, source=TaskStatus.SOURCE_MASTER, timestamp=1.0)
    status.task_id.value = task_id
    status.agent_id.value = agent_id
    return status


def _fill_offer(offer: mesos_v1_pb2.Offer, agent_id: str, tasks: int) -> None:
    number = int(agent_id.removeprefix("load-S"))
    offer.framework_id.value = "load-0000"
    offer.agent_id.value = agent_id
    offer.hostname = f"agent-{number}"
    offer.allocation_info.role = "*"
    for name, amount in (("cpus", 0.1), ("mem", 32.0), ("disk", 10.0)):
        resource_ = offer.resources.add(name=name, type=mesos_v1_pb2.Value.SCALAR)
        resource_.scalar.value = amount * tasks
        resource_.allocation_info.role = "*"
    ports = offer.resources.add(name="ports", type=mesos_v1_pb2.Value.RANGES)
    ports.ranges.range.add(begin=31000, end=32000)
    ports.allocation_info.role = "*"
    for name, text in (("rack", f"r{number % 40}"), ("zone", f"z{number % 3}")):
        attribute = offer.attributes.add(name=name, type=mesos_v1_pb2.Value.TEXT)
        attribute.text.value = text


class Connection(asyncio.Protocol):
    """Requests of one connection; answers of one read leave together."""

    def __init__(self, master: LoadMaster) -> None:
        self._master = master
        self._parser = httptools.HttpRequestParser(self)
        self._wire = PROTOBUF
        self._body = bytearray()
        self._answers = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._answers and self._transport is not None:
            self._transport.write(bytes(self._answers))
            self._answers.clear()

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self._wire = wire_of(value)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None
        call = self._wire.decode(bytes(self._body)) if self._body else Call()
        if call.type == Call.SUBSCRIBE:
            self._master.subscribed(self._transport, self._wire)
        else:
            self._answers += self._master.called(call)


async def serve(host: str, agents: int, tasks: int) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    master = LoadMaster(agents, tasks)
    server = await loop.create_server(lambda: Connection(master), host, 0)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with server:
        _tell({"listening": server.sockets[0].getsockname()[1]})
        while line := await commands.readline():
            match line.split():
                case [b"storm"]:
                    master.storm()
                case [b"trickle", updates, pause_ms]:
                    master.trickle(int(updates), int(pause_ms) / 1000)
                case [b"offer", agents_, tasks_, an_event, pause_ms]:
                    master.offer(int(agents_), int(tasks_), int(an_event), int(pause_ms) / 1000)
                case other:
                    _end(f"not understood: {other}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--tasks", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.agents, options.tasks))


if __name__ == "__main__":
    main()
