"""The master's unversioned pages: /state, /frameworks, /slaves, /health, /redirect, metrics.

Names are those of v0 (`slave_id`), ids are plain strings, resources one object.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import orjson

from scheduler.emulator.http import jsonform
from scheduler.emulator.http.messages import Request, Response
from scheduler.emulator.http.metrics import snapshot
from scheduler.emulator.http.place import Place
from scheduler.emulator.http.requests import JSON, Refused, principal
from scheduler.emulator.model import bundle
from scheduler.emulator.model.bundle import to_numbers
from scheduler.emulator.model.master import VERSION
from scheduler.emulator.model.records import (
    AgentEntry,
    Capability,
    Framework,
    Offer,
    Tables,
    Task,
)
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState, TaskStatus

REALM = "mesos-master-readonly"
REALM_WRITE = "mesos-master-readwrite"

Shown = dict[str, Any]
Page = Callable[[Request], Response]


class MasterPages:
    def __init__(self, place: Place) -> None:
        self._place = place

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and path."""
        shown: dict[str, Callable[[Tables, Request], Shown]] = {
            "state": _state,
            "frameworks": _frameworks_page,
            "slaves": _slaves_page,
            "tasks": _tasks_page,
        }
        pages: dict[tuple[str, str], Page] = {("GET", "/metrics/snapshot"): self.metrics}
        for prefix in ("", "/master"):
            pages["GET", f"{prefix}/health"] = self.health
            pages["GET", f"{prefix}/redirect"] = self.redirect
            pages["POST", f"{prefix}/teardown"] = self.teardown
            for name, make in shown.items():
                pages["GET", f"{prefix}/{name}"] = self._page(make)
        return pages

    def health(self, _: Request) -> Response:
        return Response(200)

    def redirect(self, _: Request) -> Response:
        """307 to the leader, "also on the leader itself"."""
        if self._place.leader is None and self._place.world.master is None:
            return Response(503)
        options = self._place.world.options.master
        leader = self._place.leader or f"{options.hostname}:{options.port}"
        return Response(307, headers={"Location": f"//{leader}"})

    def teardown(self, request: Request) -> Response:
        """Form body `frameworkId=<id>`; 400 for an id that is missing or unknown."""
        principal(request, self._place.operator_credentials, REALM_WRITE)
        self._place.pulse.catch_up()
        master = self._place.leading("/master/teardown")
        form = parse_qs(request.body.decode("utf-8", "replace"))
        framework = master.tables.frameworks.get(form.get("frameworkId", [""])[0])
        if framework is None:
            raise Refused(400, "No framework found with specified ID")
        master.subscriptions.remove(framework)
        self._place.pulse.kick()
        return Response(200)

    def metrics(self, _: Request) -> Response:
        self._place.pulse.catch_up()
        master = self._place.world.master
        leads = master is not None and self._place.leader is None
        shown = snapshot(master.tables) if master is not None and leads else {"master/elected": 0.0}
        return Response(200, orjson.dumps(shown), JSON)

    def _page(self, make: Callable[[Tables, Request], Shown]) -> Page:
        def handle(request: Request) -> Response:
            principal(request, self._place.operator_credentials, REALM)
            self._place.pulse.catch_up()
            tables = self._place.leading(request.target).tables
            return Response(200, orjson.dumps(make(tables, request)), JSON)

        return handle


def _state(tables: Tables, _: Request) -> Shown:
    info = tables.info
    connected = sum(entry.connected for entry in tables.agents.values())
    return {
        "version": VERSION,
        "start_time": tables.started_wall_s,
        "elected_time": tables.started_wall_s,
        "id": info.id,
        "pid": info.pid,
        "hostname": info.hostname,
        "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"],
        "activated_slaves": float(connected),
        "deactivated_slaves": float(len(tables.agents) - connected),
        "unreachable_slaves": float(len(tables.registry.unreachable)),
        "leader": info.pid,
        "leader_info": {
            "id": info.id,
            "pid": info.pid,
            "port": info.port,
            "hostname": info.hostname,
        },
        "flags": {"allocation_interval": f"{tables.options.allocation_interval_s}secs"},
        **_slaves(tables, None),
        **_frameworks(tables, None),
        "orphan_tasks": [],
    }


def _slaves_page(tables: Tables, request: Request) -> Shown:
    return _slaves(tables, request.query.get("slave_id"))


def _frameworks_page(tables: Tables, request: Request) -> Shown:
    return _frameworks(tables, request.query.get("framework_id"))


def _tasks_page(tables: Tables, request: Request) -> Shown:
    """`limit` 100, `offset` 0, `order` des by the time of the first status."""
    wanted_framework = request.query.get("framework_id")
    wanted_task = request.query.get("task_id")
    tasks = [
        task
        for framework in [*tables.frameworks.values(), *tables.completed.values()]
        if wanted_framework in (None, framework.framework_id)
        for group in (framework.tasks.values(), framework.unreachable.values(), framework.completed)
        for task in group
        if wanted_task in (None, task.task_id)
    ]
    tasks.sort(
        key=lambda task: task.statuses[0].timestamp if task.statuses else 0.0,
        reverse=request.query.get("order", "des") != "asc",
    )
    offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 100))
    return {"tasks": [show_task(task) for task in tasks[offset : offset + limit]]}


def _slaves(tables: Tables, only: str | None) -> Shown:
    return {
        "slaves": [
            _slave(tables, entry)
            for entry in tables.agents.values()
            if only in (None, entry.agent_id)
        ],
        "recovered_slaves": [
            {"id": agent_id, "hostname": info.hostname, "port": info.port}
            for agent_id, info in tables.recovered.items()
            if only in (None, agent_id)
        ],
    }


def _slave(tables: Tables, entry: AgentEntry) -> Shown:
    description = entry.link.description
    used = bundle.total(task.bundle for task in entry.tasks.values() if not task.released)
    offered = bundle.total(tables.offers[offer_id].bundle for offer_id in entry.offer_ids)
    shown: Shown = {
        "id": entry.agent_id,
        "hostname": description.hostname,
        "port": description.port,
        "attributes": {one.name: one.text.value for one in description.attributes},
        "pid": f"slave(1)@{description.ip}:{description.port}",
        "registered_time": entry.registered_wall_s,
        "resources": to_numbers(entry.total),
        "used_resources": to_numbers(used),
        "offered_resources": to_numbers(offered),
        "reserved_resources": {},
        "unreserved_resources": to_numbers(entry.total),
        "active": entry.connected,
        "deactivated": False,
        "version": VERSION,
        "capabilities": ["MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT"],
    }
    if entry.reregistered_wall_s is not None:
        shown["reregistered_time"] = entry.reregistered_wall_s
    return shown


def _frameworks(tables: Tables, only: str | None) -> Shown:
    def shown(frameworks: Iterable[Framework]) -> list[Shown]:
        return [_framework(tables, one) for one in frameworks if only in (None, one.framework_id)]

    return {
        "frameworks": shown(tables.frameworks.values()),
        "completed_frameworks": shown(tables.completed.values()),
        "unregistered_frameworks": [],
    }


def _framework(tables: Tables, framework: Framework) -> Shown:
    info = framework.info
    used = bundle.total(task.bundle for task in framework.tasks.values() if not task.released)
    offers = [tables.offers[offer_id] for offer_id in framework.offer_ids]
    offered = bundle.total(offer.bundle for offer in offers)
    shown: Shown = {
        "id": framework.framework_id,
        "name": info.name,
        "used_resources": to_numbers(used),
        "offered_resources": to_numbers(offered),
        "resources": to_numbers(used + offered),
        "capabilities": [Capability.Type.Name(one.type) for one in info.capabilities],
        "hostname": info.hostname,
        "webui_url": info.webui_url,
        "active": framework.connected,
        "connected": framework.connected,
        "recovered": framework.recovered,
        "user": info.user,
        "failover_timeout": info.failover_timeout,
        "checkpoint": info.checkpoint,
        "registered_time": framework.registered_wall_s,
        "unregistered_time": framework.unregistered_wall_s,
        "tasks": [show_task(task) for task in framework.tasks.values()],
        "unreachable_tasks": [show_task(task) for task in framework.unreachable.values()],
        "completed_tasks": [show_task(task) for task in framework.completed],
        "offers": [_offer(offer) for offer in offers],
        "executors": [],
    }
    if framework.can(Capability.MULTI_ROLE):
        shown["roles"] = list(info.roles)
    else:
        shown["role"] = info.role
    if framework.reregistered_wall_s is not None:
        shown["reregistered_time"] = framework.reregistered_wall_s
    if info.HasField("principal"):
        shown["principal"] = info.principal
    if info.HasField("labels"):
        shown["labels"] = jsonform.to_json(info.labels).get("labels", [])
    return shown


def _offer(offer: Offer) -> Shown:
    return {
        "id": offer.offer_id,
        "framework_id": offer.framework_id,
        "allocation_info": {"role": offer.role},
        "slave_id": offer.agent_id,
        "resources": to_numbers(offer.bundle),
    }


def show_task(task: Task) -> Shown:
    info = task.info
    shown: Shown = {
        "id": task.task_id,
        "name": info.name,
        "framework_id": task.framework_id,
        "executor_id": info.executor.executor_id.value,
        "slave_id": task.agent_id,
        "state": TaskState.Name(task.state),
        "resources": to_numbers(task.bundle),
        "role": task.role,
        "statuses": [_status(status) for status in task.statuses],
        "user": task.user,
    }
    if info.HasField("labels"):
        shown["labels"] = jsonform.to_json(info.labels).get("labels", [])
    for name in ("discovery", "container", "health_check"):
        if info.HasField(name):
            shown[name] = jsonform.to_json(getattr(info, name))
    return shown


def _status(status: TaskStatus) -> Shown:
    """ "No reason/message/source there: only event streams carry them.\""""
    shown: Shown = {"state": TaskState.Name(status.state), "timestamp": status.timestamp}
    if status.HasField("container_status"):
        shown["container_status"] = jsonform.to_json(status.container_status)
    if status.HasField("healthy"):
        shown["healthy"] = status.healthy
    return shown
