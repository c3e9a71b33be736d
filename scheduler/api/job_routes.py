"""`/v1/jobs`: declare, see, scale, stop and delete jobs.

Changes are commands to the engine; its answer comes when they are durable. Neighbours: `documents`
(bodies that are jobs), `problems` (what a refusal looks like).
"""

from typing import Annotated

import msgspec
from aiohttp import web

from scheduler.api.documents import JobReader
from scheduler.api.problems import not_found, refusal
from scheduler.api.requests import Query, page_of, read_struct, require_leading, views_of
from scheduler.api.views_json import fields_of, json_answer, page_answer
from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import ApplyJob, DeleteJob, ScaleJob, StopJob
from scheduler.core.model.ids import JobId
from scheduler.core.model.instance import AttemptState
from scheduler.core.model.job import INSTANCES_MAX
from scheduler.jobspec import JobDefaults, to_document
from scheduler.runtime.protocols import Front

ALL_INSTANCES = -1
TASK_STATES = tuple(state.value for state in AttemptState)


class ScaleBody(msgspec.Struct, forbid_unknown_fields=True):
    instances: Annotated[int, msgspec.Meta(ge=0, le=INSTANCES_MAX)]


class EmptyBody(msgspec.Struct, forbid_unknown_fields=True):
    pass


class JobRoutes:
    """Handlers over one front. `defaults` fill what a job's document leaves to the settings."""

    def __init__(self, front: Front, defaults: JobDefaults) -> None:
        self._front = front
        self._reader = JobReader(defaults)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/jobs", self.list_jobs, allow_head=False),
            web.post("/v1/jobs", self.apply),
            web.get("/v1/jobs/{job}", self.show, allow_head=False),
            web.delete("/v1/jobs/{job}", self.delete),
            web.get("/v1/jobs/{job}/tasks", self.list_tasks, allow_head=False),
            web.post("/v1/jobs/{job}/scale", self.scale),
            web.post("/v1/jobs/{job}/stop", self.stop),
        ]

    async def list_jobs(self, request: web.Request) -> web.Response:
        after, limit = Query(request, ("after", "limit")).paging()
        page = views_of(self._front).jobs(after, limit)
        return page_answer(page.items, page.next)

    async def apply(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        spec = await self._reader.read(request)
        uid = self._front.mint_uid()
        answer = await self._front.ask(lambda ticket: ApplyJob(ticket, spec, uid))
        # A job that is new begins with version 1, also after one of its name was deleted.
        created = answer.verdict is Verdict.DONE and answer.version == 1
        result = "created" if created else "changed"
        return job_answer(answer, spec.job, result, status=201 if created else 200)

    async def show(self, request: web.Request) -> web.Response:
        Query(request)
        views = views_of(self._front)
        job = job_of(request)
        view, spec = views.job(job), views.spec(job)
        if view is None or spec is None:
            raise no_job(job)
        return json_answer(fields_of(view) | {"spec": to_document(spec)})

    async def list_tasks(self, request: web.Request) -> web.Response:
        query = Query(request, ("after", "limit", "instance", "state", "ended"))
        views = views_of(self._front)
        job = job_of(request)
        if views.job(job) is None:
            raise no_job(job)
        after, limit = query.paging()
        states, ended = query.words("state", TASK_STATES), query.flag("ended")
        index = query.whole("instance", ALL_INSTANCES, least=0, most=INSTANCES_MAX - 1)
        instance = None if index == ALL_INSTANCES else index
        page = page_of(
            lambda: views.tasks(
                after, limit, job=job, instance=instance, states=states, ended=ended
            )
        )
        return page_answer(page.items, page.next)

    async def scale(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        job = job_of(request)
        body = await read_struct(request, ScaleBody)
        answer = await self._front.ask(lambda ticket: ScaleJob(ticket, job, body.instances))
        return job_answer(answer, job, "changed", status=200)

    async def stop(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        job = job_of(request)
        await read_struct(request, EmptyBody)
        answer = await self._front.ask(lambda ticket: StopJob(ticket, job))
        return job_answer(answer, job, "stopping", status=202)

    async def delete(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        job = job_of(request)
        answer = await self._front.ask(lambda ticket: DeleteJob(ticket, job))
        return job_answer(answer, job, "deleting", status=202)


def job_of(request: web.Request) -> JobId:
    return JobId(request.match_info["job"])


def no_job(job: JobId) -> web.HTTPException:
    return not_found(f"there is no job {job}")


def job_answer(answer: Answer, job: JobId, result: str, *, status: int) -> web.Response:
    """`{"job", "result", "version", "detail"}`; `result` is `unchanged` where nothing was to do."""
    problem = refusal(answer)
    if problem is not None:
        raise problem
    if answer.verdict is Verdict.UNCHANGED:
        result, status = "unchanged", 200
    fields = {"job": job, "result": result, "version": answer.version, "detail": answer.detail}
    return json_answer(fields, status=status)
