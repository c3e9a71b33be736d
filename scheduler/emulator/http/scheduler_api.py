"""POST /api/v1/scheduler: the checks of scheduler-api §1 in their order, calls, event streams."""

import asyncio

from aiohttp import web

from scheduler.emulator.http.place import Place
from scheduler.emulator.http.requests import (
    JSON,
    PROTOBUF,
    Refused,
    answers_json,
    principal,
    read_call,
)
from scheduler.emulator.http.stream import Stream
from scheduler.emulator.model import calls
from scheduler.emulator.model.master import Master
from scheduler.mesos.proto.scheduler_pb2 import Call

REALM = "mesos-master-scheduler"
PATHS = ("/api/v1/scheduler", "/master/api/v1/scheduler")


class SchedulerApi:
    def __init__(self, place: Place) -> None:
        self._place = place

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.route("*", path, self.handle) for path in PATHS]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            asked_by = principal(request, self._place.framework_credentials, REALM)
            self._place.leading()
            call = await read_call(request, Call)
            found = calls.problem(call)
            if found:
                raise Refused(400, f"Failed to validate call: {found}")
            as_json = True
            if call.type in (Call.SUBSCRIBE, Call.RECONCILE_OPERATIONS):
                as_json = answers_json(request)
            self._place.pulse.catch_up()
            master = self._place.leading()
            if call.type != Call.SUBSCRIBE:
                answer = master.call(call, request.headers.get("Mesos-Stream-Id"), asked_by)
                self._place.pulse.kick()
                # Events that a call causes at once reach the stream before its answer, mostly,
                # as with the real master: a client must not rely on the other order.
                await asyncio.sleep(0)
                return web.Response(status=answer.status, text=answer.text or None)
            self._check_subscription(request, call, asked_by)
        except Refused as refused:
            return refused.response()
        return await self._subscribe(request, master, call, asked_by, as_json=as_json)

    def _check_subscription(self, request: web.Request, call: Call, asked_by: str | None) -> None:
        if "Mesos-Stream-Id" in request.headers:
            raise Refused(400, "A subscription has no header 'Mesos-Stream-Id'")
        info = call.subscribe.framework_info
        if asked_by is not None and info.HasField("principal") and info.principal != asked_by:
            raise Refused(400, "The principal is not that of FrameworkInfo")

    async def _subscribe(
        self,
        request: web.Request,
        master: Master,
        call: Call,
        asked_by: str | None,
        *,
        as_json: bool,
    ) -> web.StreamResponse:
        stream = Stream(self._place.world.new_stream_id(), as_json=as_json)
        response = web.StreamResponse(
            headers={
                "Content-Type": JSON if as_json else PROTOBUF,
                "Mesos-Stream-Id": stream.stream_id,
            }
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            master.subscribe(call, stream, asked_by)
            self._place.pulse.kick()
            await stream.serve(response)
        except ConnectionError:
            # The peer is gone, or the stream is cut: no last chunk that would look like an end.
            if request.transport is not None:
                request.transport.abort()
        finally:
            # Also when aiohttp cancels the handler: its connection was lost, or the server stops.
            stream.close()
            self._place.pulse.catch_up()
            master.subscriptions.disconnected(stream)
            self._place.pulse.kick()
        return response
