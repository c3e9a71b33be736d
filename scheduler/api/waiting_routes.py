"""`/v1/queue`, `/v1/jobs/{job}/explain`: what waits, and why.

Only the leader holds offers and a queue, so these reads go to it wherever they come in
(`passing_on`). Neighbour: `aside` (thinks about large clusters beside the event loop).
"""

from typing import Final

from aiohttp import web

from scheduler.api.aside import Aside
from scheduler.api.job_routes import job_of, no_job
from scheduler.api.requests import Query, page_of, require_leading, views_of
from scheduler.api.views_json import json_answer, page_answer
from scheduler.core.explain import explain
from scheduler.runtime.protocols import Front

QUEUE: Final = "/v1/queue"
EXPLAIN: Final = "/v1/jobs/{job}/explain"
AT_ONCE_AGENTS_MAX: Final = 200
"""A few milliseconds' worth."""


class WaitingRoutes:
    """Handlers over one front."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._aside = Aside("too many explanations are being made already; try again")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(QUEUE, self.queue, allow_head=False),
            web.get(EXPLAIN, self.explain, allow_head=False),
        ]

    async def queue(self, request: web.Request) -> web.Response:
        after, limit = Query(request, ("after", "limit")).paging()
        require_leading(self._front)
        views = views_of(self._front)
        page = page_of(lambda: views.queue(after, limit))
        return page_answer(page.items, page.next)

    async def explain(self, request: web.Request) -> web.Response:
        Query(request)
        require_leading(self._front)
        job = job_of(request)
        question = views_of(self._front).question(job)
        if question is None:
            raise no_job(job)
        if len(question.known.agents) <= AT_ONCE_AGENTS_MAX:
            return json_answer(explain(question))
        return json_answer(await self._aside.run(lambda: explain(question)))
