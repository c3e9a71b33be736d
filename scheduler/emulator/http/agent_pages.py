"""What one agent serves: its state, its health, and the files of its sandboxes (the runner's).

Simulated agents share one such server without files and without a state of their own.
"""

import orjson
from aiohttp import web

from scheduler.emulator.http.place import Place
from scheduler.emulator.model.agent import Agent, AgentTask
from scheduler.emulator.model.bundle import to_numbers
from scheduler.emulator.model.master import VERSION
from scheduler.emulator.model.records import TERMINAL
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState

PREFIXES = ("", "/slave(1)")


class AgentPages:
    def __init__(self, place: Place, agent: Agent | None) -> None:
        self._place = place
        self._agent = agent

    def routes(self) -> list[web.AbstractRouteDef]:
        routes: list[web.AbstractRouteDef] = []
        for prefix in PREFIXES:
            routes.append(web.get(f"{prefix}/health", self.health))
            if self._agent is not None:
                routes.append(web.get(f"{prefix}/state", self.state))
        if self._agent is not None and self._agent.runner is not None:
            routes.extend(self._agent.runner.routes())
        return routes

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def state(self, _: web.Request) -> web.Response:
        agent = self._agent
        if agent is None:
            return web.Response(status=404)
        description = agent.description
        body = {
            "version": VERSION,
            "id": agent.agent_id,
            "pid": f"slave(1)@{description.ip}:{description.port}",
            "hostname": description.hostname,
            "resources": to_numbers(description.total),
            "attributes": {one.name: one.text.value for one in description.attributes},
            "frameworks": _frameworks(agent),
            "completed_frameworks": [],
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")


def _frameworks(agent: Agent) -> list[dict[str, object]]:
    by_framework: dict[str, list[AgentTask]] = {}
    for task in agent.tasks.values():
        by_framework.setdefault(task.launch.framework_id, []).append(task)
    return [
        {
            "id": framework_id,
            "name": tasks[0].launch.framework.name,
            "user": tasks[0].launch.framework.user,
            "checkpoint": tasks[0].launch.framework.checkpoint,
            "executors": [_executor(agent, one) for one in tasks if one.latest not in TERMINAL],
            "completed_executors": [
                _executor(agent, one) for one in tasks if one.latest in TERMINAL
            ],
        }
        for framework_id, tasks in by_framework.items()
    ]


def _executors(agent: Agent, tasks: list[AgentTask], *, ended: bool) -> list[dict[str, object]]:
    return [_executor(agent, one) for one in tasks if (one.latest in TERMINAL) == ended]


def _executor(agent: Agent, task: AgentTask) -> dict[str, object]:
    launch = task.launch
    directory = ""
    if agent.runner is not None:
        directory = agent.runner.directory(launch.framework_id, launch.executor_id)
    shown = {
        "id": launch.task.task_id.value,
        "name": launch.task.name,
        "framework_id": launch.framework_id,
        "executor_id": "",
        "slave_id": launch.agent_id,
        "state": TaskState.Name(task.latest),
        "resources": to_numbers(task.bundle),
        "role": task.role,
    }
    ended = task.latest in TERMINAL
    return {
        "id": launch.executor_id,
        "name": f"Command Executor (Task: {launch.executor_id})",
        "source": launch.executor_id,
        "container": launch.container_id,
        "directory": directory,
        "resources": to_numbers(task.bundle),
        "tasks": [] if ended else [shown],
        "queued_tasks": [],
        "completed_tasks": [shown] if ended else [],
    }
