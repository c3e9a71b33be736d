"""`/v1/tasks`: see tasks, end them, read what they wrote.

Neighbours: `agent_files` (reads sandboxes), `job_routes` (a job's own tasks).
"""

from typing import Final

import msgspec
from aiohttp import web

from scheduler.api.agent_files import PIECE_BYTES_MAX, AgentFiles
from scheduler.api.documents import seconds_of
from scheduler.api.job_routes import TASK_STATES
from scheduler.api.problems import Problem, not_found, refusal
from scheduler.api.requests import Query, page_of, read_struct, require_leading, views_of
from scheduler.api.views_json import json_answer, page_answer
from scheduler.core.effects import Verdict
from scheduler.core.events import KillTask
from scheduler.core.model.ids import JobId, TaskId
from scheduler.core.views import TaskView
from scheduler.errors import AgentSilent, SandboxFileMissing
from scheduler.runtime.protocols import Front

STREAMS: Final = ("stdout", "stderr")
OFFSET_MAX: Final = 1 << 53


class KillBody(msgspec.Struct, forbid_unknown_fields=True):
    grace: str | None = None


class TaskRoutes:
    """Handlers over one front and the agents' files."""

    def __init__(self, front: Front, agent_files: AgentFiles) -> None:
        self._front = front
        self._agent_files = agent_files

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/tasks", self.list_tasks, allow_head=False),
            web.get("/v1/tasks/{task}", self.show, allow_head=False),
            web.post("/v1/tasks/{task}/kill", self.kill),
            web.get("/v1/tasks/{task}/logs", self.logs, allow_head=False),
        ]

    async def list_tasks(self, request: web.Request) -> web.Response:
        query = Query(request, ("job", "state", "ended", "after", "limit"))
        after, limit = query.paging()
        job = JobId(query.text("job")) or None
        states, ended = query.words("state", TASK_STATES), query.flag("ended")
        views = views_of(self._front)
        page = page_of(lambda: views.tasks(after, limit, job=job, states=states, ended=ended))
        return page_answer(page.items, page.next)

    async def show(self, request: web.Request) -> web.Response:
        Query(request)
        return json_answer(self._task(request))

    async def kill(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        task_id = TaskId(request.match_info["task"])
        body = await read_struct(request, KillBody)
        grace_s = None if body.grace is None else seconds_of("grace", body.grace)
        answer = await self._front.ask(lambda ticket: KillTask(ticket, task_id, grace_s))
        problem = refusal(answer)
        if problem is not None:
            raise problem
        unchanged = answer.verdict is Verdict.UNCHANGED
        result = "unchanged" if unchanged else "killing"
        fields = {"task": task_id, "result": result, "detail": answer.detail}
        return json_answer(fields, status=200 if unchanged else 202)

    async def logs(self, request: web.Request) -> web.Response:
        """A piece of a task's output, byte for byte; `Offerd-Next` is the offset after it."""
        query = Query(request, ("stream", "offset", "limit"))
        stream = query.choice("stream", STREAMS, "stdout")
        offset = query.whole("offset", 0, least=0, most=OFFSET_MAX)
        limit = query.whole("limit", PIECE_BYTES_MAX, least=1, most=PIECE_BYTES_MAX)
        task = self._task(request)
        data = await self._read(task, stream, offset, limit)
        return web.Response(
            body=data,
            content_type="application/octet-stream",
            headers={"Offerd-Offset": str(offset), "Offerd-Next": str(offset + len(data))},
        )

    async def _read(self, task: TaskView, stream: str, offset: int, limit: int) -> bytes:
        agent = task.hostname or task.agent_id
        if not task.agent_url:
            raise Problem(502, f"the address of agent {agent} is not known")
        # The executor's id is the task's own for tasks that bring no executor.
        framework_id = self._front.views.status().framework_id
        path = f"/frameworks/{framework_id}/executors/{task.id}/runs/latest/{stream}"
        try:
            return await self._agent_files.read(task.agent_url, path, offset, limit)
        except SandboxFileMissing as error:
            detail = f"agent {agent} has no {stream} of {task.id} (not started yet, or cleaned up)"
            raise not_found(detail) from error
        except AgentSilent as error:
            raise Problem(502, f"agent {agent} at {task.agent_url}: {error}") from error

    def _task(self, request: web.Request) -> TaskView:
        task_id = TaskId(request.match_info["task"])
        task = views_of(self._front).task(task_id)
        if task is None:
            raise not_found(f"there is no task {task_id}")
        return task
