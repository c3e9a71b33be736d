"""`/v1/agents`, `/v1/unknown_tasks`, `/v1/status`, `/healthz`, `/readyz`: reads of the whole; and
`/v1/agents/{id}/forgive`.

`/v1/status` is answered by a daemon that neither leads nor follows, too: it says just that.
"""

from aiohttp import web

from scheduler.api.leader_check import LeaderCheck
from scheduler.api.problems import refusal, unavailable
from scheduler.api.requests import Query, require_leading, views_of
from scheduler.api.views_json import agents_answer, json_answer, page_answer, status_fields
from scheduler.core.effects import Verdict
from scheduler.core.events import ForgiveAgent
from scheduler.core.model.ids import AgentId
from scheduler.core.views import StatusView
from scheduler.runtime.protocols import Front

NOTHING_KNOWN = StatusView(
    framework_id="",
    master="",
    connected=False,
    connected_since=None,
    reconciling=False,
    jobs=0,
    tasks={},
    waiting=0,
    suppressed=(),
    roles=(),
    unknown_tasks=0,
    store_refusing="",
    agents_hidden="",
)


class ClusterRoutes:
    """Handlers over one front, and what is known of passing changes on."""

    def __init__(self, front: Front, leader_check: LeaderCheck) -> None:
        self._front = front
        self._leader_check = leader_check

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/agents", self.list_agents, allow_head=False),
            web.post("/v1/agents/{agent}/forgive", self.forgive_agent),
            web.get("/v1/unknown_tasks", self.list_unknown_tasks, allow_head=False),
            web.get("/v1/status", self.status, allow_head=False),
            web.get("/healthz", self.healthy),
            web.get("/readyz", self.ready),
        ]

    async def list_agents(self, request: web.Request) -> web.Response:
        after, limit = Query(request, ("after", "limit")).paging()
        return agents_answer(views_of(self._front).agents(after, limit))

    async def forgive_agent(self, request: web.Request) -> web.Response:
        """Place on an agent again that was avoided for the failures there."""
        Query(request)
        require_leading(self._front)
        agent_id = AgentId(request.match_info["agent"])
        answer = await self._front.ask(lambda ticket: ForgiveAgent(ticket, agent_id))
        problem = refusal(answer)
        if problem is not None:
            raise problem
        unchanged = answer.verdict is Verdict.UNCHANGED
        result = "unchanged" if unchanged else "forgiven"
        return json_answer({"agent": agent_id, "result": result, "detail": answer.detail})

    async def list_unknown_tasks(self, request: web.Request) -> web.Response:
        """All of them in one page: each is a rare thing that somebody should look at."""
        Query(request)
        return page_answer(views_of(self._front).unknown_tasks(), None)

    async def status(self, request: web.Request) -> web.Response:
        Query(request)
        front = self._front
        age_s, leader, problem = front.age_s, front.leader, self._leader_check.problem
        view = front.views.status() if age_s is not None else NOTHING_KNOWN
        own = {
            "instance": front.instance,
            "leading": front.leading,
            "leader": leader.instance if leader is not None else "",
            "leader_url": leader.advertise if leader is not None else "",
            "age_s": round(age_s, 3) if age_s is not None else None,
            "passing_on_fails": problem.detail if problem is not None else "",
        }
        return json_answer(own | status_fields(view))

    async def healthy(self, _request: web.Request) -> web.Response:
        return json_answer({"status": "alive"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Leading, or warm and following somebody else who takes what is passed on; that nobody
        reaches the leader just now is no reason to answer no reads."""
        front = self._front
        if front.leading:
            return json_answer({"status": "leading", "leader": front.instance})
        leader = front.leader
        if leader is None or leader.instance == front.instance or front.age_s is None:
            raise unavailable(f"{front.instance} neither leads nor follows a leader now")
        if self._leader_check.refused:
            detail = f"{front.instance} follows {leader.instance}, which does not accept its token"
            raise unavailable(f"{detail}: peer_token_file must hold the same one everywhere")
        return json_answer({"status": "following", "leader": leader.instance})
