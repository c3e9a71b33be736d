"""POST /api/v1: the operator calls that a scheduler's own operator client makes.

The others are known by name and answered with 501.
"""

from collections.abc import Iterable

from scheduler.emulator.http import jsonform
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
from scheduler.emulator.model import bundle
from scheduler.emulator.model.bundle import Bundle, to_resources
from scheduler.emulator.model.master import VERSION, Master
from scheduler.emulator.model.records import AgentEntry, Framework, Tables, Task
from scheduler.mesos.proto import mesos_v1_pb2
from scheduler.mesos.proto.master_pb2 import Call
from scheduler.mesos.proto.master_pb2 import Response as Said

REALM = "mesos-master-readwrite"
PATHS = ("/api/v1", "/master/api/v1")


class OperatorApi:
    def __init__(self, place: Place) -> None:
        self._place = place

    def handle(self, request: Request) -> Response:
        """Raises `Refused`."""
        principal(request, self._place.operator_credentials, REALM)
        self._place.pulse.catch_up()
        master = self._place.leading("/master/api/v1")
        call = read_call(request, Call)
        if not call.HasField("type"):
            raise Refused(400, "Expecting 'type' to be present")
        as_json = answers_json(request)
        said = self._answer(master, call)
        if said is None:
            self._place.pulse.kick()
            return Response(200)
        said.type = getattr(Said, Call.Type.Name(call.type))  # their numbers differ
        body = jsonform.dumps(said) if as_json else said.SerializeToString()
        return Response(200, body, JSON if as_json else PROTOBUF)

    def _answer(self, master: Master, call: Call) -> Said | None:
        """None: done, with an empty body."""
        tables = master.tables
        response = Said()
        match call.type:
            case Call.GET_HEALTH:
                response.get_health.healthy = True
            case Call.GET_VERSION:
                response.get_version.version_info.version = VERSION
            case Call.GET_MASTER:
                response.get_master.master_info.CopyFrom(tables.info)
                response.get_master.start_time = tables.started_wall_s
                response.get_master.elected_time = tables.started_wall_s
            case Call.GET_AGENTS:
                _agents(tables, response.get_agents)
            case Call.GET_FRAMEWORKS:
                _frameworks(tables, response.get_frameworks)
            case Call.GET_TASKS:
                _tasks(tables, response.get_tasks)
            case Call.MARK_AGENT_GONE:
                if not master.agents.mark_gone(call.mark_agent_gone.agent_id.value):
                    raise Refused(404, "Agent is unknown")
                return None
            case Call.TEARDOWN:
                framework = tables.frameworks.get(call.teardown.framework_id.value)
                if framework is None:
                    raise Refused(400, "Framework is unknown")
                master.subscriptions.remove(framework)
                return None
            case _:
                raise Refused(501, f"{Call.Type.Name(call.type)} is not emulated")
        return response


def _agents(tables: Tables, page: Said.GetAgents) -> None:
    for entry in tables.agents.values():
        _agent(tables, entry, page.agents.add())
    page.recovered_agents.extend(tables.recovered.values())


def _agent(tables: Tables, entry: AgentEntry, shown: Said.GetAgents.Agent) -> None:
    description = entry.link.description
    shown.agent_info.CopyFrom(entry.info)
    shown.agent_info.resources.extend(_plain(entry.total))
    shown.active = entry.connected
    shown.version = VERSION
    shown.pid = f"slave(1)@{description.ip}:{description.port}"
    shown.registered_time.nanoseconds = int(entry.registered_wall_s * 1e9)
    if entry.reregistered_wall_s is not None:
        shown.reregistered_time.nanoseconds = int(entry.reregistered_wall_s * 1e9)
    shown.total_resources.extend(_plain(entry.total))
    for task in entry.tasks.values():
        if not task.released:
            shown.allocated_resources.extend(to_resources(task.bundle, task.role, refined=True))
    for offer_id in entry.offer_ids:
        offer = tables.offers[offer_id]
        shown.offered_resources.extend(to_resources(offer.bundle, offer.role, refined=True))
    shown.deactivated = False


def _frameworks(tables: Tables, page: Said.GetFrameworks) -> None:
    for framework in tables.frameworks.values():
        _framework(tables, framework, page.frameworks.add())
    for framework in tables.completed.values():
        _framework(tables, framework, page.completed_frameworks.add())


def _framework(tables: Tables, framework: Framework, shown: Said.GetFrameworks.Framework) -> None:
    shown.framework_info.CopyFrom(framework.info)
    shown.active = shown.connected = framework.connected
    shown.recovered = framework.recovered
    shown.registered_time.nanoseconds = int(framework.registered_wall_s * 1e9)
    if framework.reregistered_wall_s is not None:
        shown.reregistered_time.nanoseconds = int(framework.reregistered_wall_s * 1e9)
    shown.unregistered_time.nanoseconds = int(framework.unregistered_wall_s * 1e9)
    used = bundle.total(task.bundle for task in framework.tasks.values() if not task.released)
    shown.allocated_resources.extend(_plain(used))
    offers = [tables.offers[offer_id].bundle for offer_id in framework.offer_ids]
    shown.offered_resources.extend(_plain(bundle.total(offers)))


def _tasks(tables: Tables, page: Said.GetTasks) -> None:
    for framework in [*tables.frameworks.values(), *tables.completed.values()]:
        page.tasks.extend(_each(framework.tasks.values()))
        page.unreachable_tasks.extend(_each(framework.unreachable.values()))
        page.completed_tasks.extend(_each(framework.completed))


def _each(tasks: Iterable[Task]) -> Iterable[mesos_v1_pb2.Task]:
    for task in tasks:
        info = task.info
        shown = mesos_v1_pb2.Task(name=info.name, state=task.state, user=task.user)
        shown.task_id.value = task.task_id
        shown.framework_id.value = task.framework_id
        shown.agent_id.value = task.agent_id
        shown.resources.extend(info.resources)
        shown.statuses.extend(task.statuses)
        if task.forwarded is not None:
            shown.status_update_state = task.forwarded.state
            shown.status_update_uuid = task.forwarded.uuid
        for name in ("labels", "discovery", "container", "health_check", "kill_policy"):
            if info.HasField(name):
                getattr(shown, name).CopyFrom(getattr(info, name))
        yield shown


def _plain(amounts: Bundle) -> list[mesos_v1_pb2.Resource]:
    return to_resources(amounts, None, refined=True)
