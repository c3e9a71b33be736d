"""`/v1/queue`, `/v1/jobs/{job}/explain`, `/v1/plan`: what waits and why, and what would.

Only the leader holds offers and a queue, so these reads go to it wherever they come in
(`passing_on`). Neighbour: `aside` (thinks about large clusters beside the event loop).
"""

from typing import Any, Final

from aiohttp import web

from scheduler.api.aside import Aside
from scheduler.api.documents import JobReader, changes_between
from scheduler.api.job_routes import job_of, no_job
from scheduler.api.problems import not_found
from scheduler.api.requests import Query, page_of, require_leading, views_of
from scheduler.api.views_json import fields_of, json_answer, page_answer
from scheduler.core.explain import AgentUnknown, explain
from scheduler.core.plan import PlanQuestion, plan
from scheduler.jobspec import JobDefaults
from scheduler.runtime.protocols import Front

QUEUE: Final = "/v1/queue"
EXPLAIN: Final = "/v1/jobs/{job}/explain"
AT_ONCE_AGENTS_MAX: Final = 200
"""A few milliseconds' worth."""


class WaitingRoutes:
    """Handlers over one front."""

    def __init__(self, front: Front, defaults: JobDefaults) -> None:
        self._front = front
        self._reader = JobReader(defaults)
        self._aside = Aside("too many explanations and plans are being made already; try again")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(QUEUE, self.queue, allow_head=False),
            web.get(EXPLAIN, self.explain, allow_head=False),
            web.post("/v1/plan", self.plan),
        ]

    async def queue(self, request: web.Request) -> web.Response:
        after, limit = Query(request, ("after", "limit")).paging()
        require_leading(self._front)
        views = views_of(self._front)
        page = page_of(lambda: views.queue(after, limit))
        return page_answer(page.items, page.next)

    async def explain(self, request: web.Request) -> web.Response:
        agent = Query(request, ("agent",)).text("agent")
        require_leading(self._front)
        job = job_of(request)
        question = views_of(self._front).question(job)
        if question is None:
            raise no_job(job)
        try:
            if len(question.known.agents) <= AT_ONCE_AGENTS_MAX:
                return json_answer(explain(question, agent))
            return json_answer(await self._aside.run(lambda: explain(question, agent)))
        except AgentUnknown as error:
            raise not_found("there is no such agent or host") from error

    async def plan(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        specs = await self._reader.read_plan(request)
        question = views_of(self._front).plan_question(specs)
        return json_answer(await self._aside.run(lambda: _plan_fields(question)))


def _plan_fields(question: PlanQuestion) -> dict[str, Any]:
    """The plan, and for each job how its document differs."""
    view = plan(question)
    jobs = [
        fields_of(job) | {"changes": changes_between(planned.before, planned.spec)}
        for job, planned in zip(view.jobs, question.jobs, strict=True)
    ]
    return fields_of(view) | {"jobs": jobs}
