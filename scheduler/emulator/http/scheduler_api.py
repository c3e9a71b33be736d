"""POST /api/v1/scheduler: the checks in Mesos' order, calls, event streams."""

from scheduler.emulator.http.connection import Connection
from scheduler.emulator.http.messages import Request, Response
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

    def handle(self, request: Request, connection: Connection) -> Response | None:
        """The answer; None once a stream has begun. Raises `Refused`."""
        asked_by = principal(request, self._place.framework_credentials, REALM)
        self._place.pulse.catch_up()
        master = self._place.leading()
        call = read_call(request, Call)
        found = calls.problem(call)
        if found:
            raise Refused(400, f"Failed to validate call: {found}")
        as_json = True
        if call.type in (Call.SUBSCRIBE, Call.RECONCILE_OPERATIONS):
            as_json = answers_json(request)
        if call.type == Call.SUBSCRIBE:
            _check_subscription(request, call, asked_by)
            self._subscribe(connection, master, call, asked_by, as_json=as_json)
            return None
        answer = master.call(call, request.headers.get("mesos-stream-id"), asked_by)
        self._place.pulse.kick()
        return Response(answer.status, answer.text.encode())

    def _subscribe(
        self,
        connection: Connection,
        master: Master,
        call: Call,
        asked_by: str | None,
        *,
        as_json: bool,
    ) -> None:
        stream = Stream(self._place.world.new_stream_id(), connection, as_json=as_json)

        def lost() -> None:
            stream.lost()
            self._place.pulse.catch_up()
            master.subscriptions.disconnected(stream)
            self._place.pulse.kick()

        headers = {
            "Content-Type": JSON if as_json else PROTOBUF,
            "Mesos-Stream-Id": stream.stream_id,
        }
        connection.begin_stream(headers, lost)
        master.subscribe(call, stream, asked_by)
        self._place.pulse.kick()


def _check_subscription(request: Request, call: Call, asked_by: str | None) -> None:
    if "mesos-stream-id" in request.headers:
        raise Refused(400, "A subscription has no header 'Mesos-Stream-Id'")
    info = call.subscribe.framework_info
    if asked_by is not None and info.HasField("principal") and info.principal != asked_by:
        raise Refused(400, "The principal is not that of FrameworkInfo")
