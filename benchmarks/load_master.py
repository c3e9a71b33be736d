"""A master that only makes load: offers once, one TASK_RUNNING for each task, and counts what comes
back. Raw protocol (httptools, protobuf), in a process of its own, so that it costs little beside
the scheduler under test. It checks nothing of the protocol: that is the emulator's business.

Its one line of output, when every task's update was acknowledged, is JSON: seconds from the OFFERS
to the last acknowledgement, its own CPU seconds in that time, and the counts.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from typing import cast

import httptools

from scheduler.mesos.proto import mesos_v1_pb2, scheduler_pb2
from scheduler.mesos.recordio import encode

Event = scheduler_pb2.Event
Call = scheduler_pb2.Call

OFFERS_AN_EVENT = 50
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
    b"Mesos-Stream-Id: load\r\nTransfer-Encoding: chunked\r\n\r\n"
)
HEARTBEAT_S = 5.0


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class LoadMaster:
    """The load, whoever connects. `tasks` is how many acknowledgements end the run."""

    def __init__(self, agents: int, tasks: int, done: asyncio.Future[dict[str, float]]) -> None:
        self._agents = agents
        self._tasks = tasks
        self._done = done
        self._stream: asyncio.Transport | None = None
        self._offered_at: float | None = None
        self._cpu_before = 0.0
        self._launched: set[str] = set()
        self._acknowledged: set[str] = set()
        self._statuses = 0

    # --- what the scheduler says -----------------------------------------------------------------

    def subscribed(self, transport: asyncio.Transport) -> None:
        self._stream = transport
        transport.write(STREAM)
        event = Event(type=Event.SUBSCRIBED)
        event.subscribed.framework_id.value = "load-0000"
        event.subscribed.heartbeat_interval_seconds = HEARTBEAT_S
        event.subscribed.master_info.id = "load"
        event.subscribed.master_info.ip = 0
        event.subscribed.master_info.port = 0
        self._send(event)
        self._heartbeat()

    def called(self, call: scheduler_pb2.Call) -> bytes:
        match call.type:
            case Call.ACCEPT:
                self._accepted(call.accept)
            case Call.ACKNOWLEDGE:
                self._acknowledge(call.acknowledge.task_id.value)
            case Call.RECONCILE:
                self._answer(call.reconcile)
            case Call.REVIVE:
                self._offer()
            case Call.UPDATE_FRAMEWORK:
                return OK
            case _:
                pass
        return ACCEPTED

    def _accepted(self, accept: scheduler_pb2.Call.Accept) -> None:
        records = bytearray()
        for operation in accept.operations:
            for task in operation.launch.task_infos:
                if task.task_id.value in self._launched:
                    sys.exit(f"launched twice: {task.task_id.value}")
                self._launched.add(task.task_id.value)
                event = Event(type=Event.UPDATE)
                status = event.update.status
                status.task_id.value = task.task_id.value
                status.agent_id.value = task.agent_id.value
                status.state = mesos_v1_pb2.TASK_RUNNING
                status.source = mesos_v1_pb2.TaskStatus.SOURCE_EXECUTOR
                status.timestamp = 1.0
                self._statuses += 1
                status.uuid = self._statuses.to_bytes(16, "big")
                records += encode(event.SerializeToString())
        self._write(bytes(records))

    def _acknowledge(self, task: str) -> None:
        self._acknowledged.add(task)
        if len(self._acknowledged) == self._tasks and not self._done.done():
            assert self._offered_at is not None
            self._done.set_result(
                {
                    "seconds": time.perf_counter() - self._offered_at,
                    "master_cpu_s": cpu_s() - self._cpu_before,
                    "launched": len(self._launched),
                    "acknowledged": len(self._acknowledged),
                }
            )

    def _answer(self, reconcile: scheduler_pb2.Call.Reconcile) -> None:
        for task in reconcile.tasks:
            event = Event(type=Event.UPDATE)
            event.update.status.task_id.value = task.task_id.value
            event.update.status.agent_id.value = task.agent_id.value
            event.update.status.state = mesos_v1_pb2.TASK_UNKNOWN
            self._send(event)

    # --- what the master says --------------------------------------------------------------------

    def _offer(self) -> None:
        if self._offered_at is not None:
            return
        events = []
        each = -(-self._tasks // self._agents)
        for start in range(0, self._agents, OFFERS_AN_EVENT):
            event = Event(type=Event.OFFERS)
            for number in range(start, min(start + OFFERS_AN_EVENT, self._agents)):
                _fill_offer(event.offers.offers.add(), number, each)
            events.append(encode(event.SerializeToString()))
        self._offered_at = time.perf_counter()
        self._cpu_before = cpu_s()
        for record in events:
            self._write(record)

    def _heartbeat(self) -> None:
        self._send(Event(type=Event.HEARTBEAT))
        asyncio.get_running_loop().call_later(HEARTBEAT_S, self._heartbeat)

    def _send(self, event: scheduler_pb2.Event) -> None:
        self._write(encode(event.SerializeToString()))

    def _write(self, records: bytes) -> None:
        if self._stream is not None and records:
            self._stream.write(b"%x\r\n%b\r\n" % (len(records), records))


def _fill_offer(offer: mesos_v1_pb2.Offer, number: int, tasks: int) -> None:
    offer.id.value = f"load-O{number}"
    offer.framework_id.value = "load-0000"
    offer.agent_id.value = f"load-S{number}"
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

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None
        call = Call.FromString(bytes(self._body))
        if call.type == Call.SUBSCRIBE:
            self._master.subscribed(self._transport)
        else:
            self._answers += self._master.called(call)


async def serve(host: str, port: int, agents: int, tasks: int, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[dict[str, float]] = loop.create_future()
    master = LoadMaster(agents, tasks, done)
    server = await loop.create_server(lambda: Connection(master), host, port)
    async with server:
        print(json.dumps({"listening": port}), flush=True)
        async with asyncio.timeout(timeout_s):
            print(json.dumps(await done), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--timeout-s", type=float, default=120.0)
    options = parser.parse_args()
    import uvloop

    uvloop.run(serve(options.host, options.port, options.agents, options.tasks, options.timeout_s))


if __name__ == "__main__":
    main()
