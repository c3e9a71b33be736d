"""Agents, unknown tasks, status and health."""

from scheduler.core.model.resources import Amounts
from scheduler.core.views import AgentView, UnknownTaskView
from tests.api.conftest import Api
from tests.api.fake_front import FRAMEWORK_ID, FakeFront
from tests.api.test_job_routes import WEB, problem_of

NODE = AgentView(
    id="agent-1",
    hostname="node1",
    url="http://node1:5051",
    active=True,
    attributes={"rack": "r1"},
    tasks=2,
    total=Amounts(cpus=4000, mem=8_192_000, disk=1_000_500, gpus=1000),
    used=None,
    seen_s_ago=1.5,
)


async def test_agents_are_listed_with_their_amounts(api: Api, front: FakeFront) -> None:
    front.agent_list.append(NODE)
    page = await (await api.get("/v1/agents")).json()
    [agent] = page["items"]
    assert agent["total"] == {"cpus": 4.0, "mem": 8192.0, "disk": 1000.5, "gpus": 1.0}
    assert agent["used"] is None
    assert (agent["id"], agent["attributes"]) == ("agent-1", {"rack": "r1"})
    assert page["next"] is None


async def test_unknown_tasks_are_listed(api: Api, front: FakeFront) -> None:
    front.unknown.append(UnknownTaskView("stray", "agent-1", "running", 1.0))
    page = await (await api.get("/v1/unknown_tasks")).json()
    assert [task["id"] for task in page["items"]] == ["stray"]


async def test_status_says_who_leads_and_what_is_connected(api: Api) -> None:
    status = await (await api.get("/v1/status")).json()
    assert (status["instance"], status["leading"], status["leader"]) == (
        "offerd-1",
        True,
        "offerd-1",
    )
    assert status["framework_id"] == FRAMEWORK_ID
    assert status["connected"] is True
    assert status["tasks"] == {}


async def test_a_daemon_that_does_not_lead_says_so(api: Api, front: FakeFront) -> None:
    front.leading = False
    response = await api.get("/v1/status")
    assert response.status == 200
    status = await response.json()
    assert (status["leading"], status["connected"]) == (False, False)
    for path in ("/v1/jobs", "/v1/jobs/web", "/v1/tasks", "/v1/agents", "/v1/unknown_tasks"):
        refused = await api.get(path)
        await problem_of(refused, 503)
        assert "Retry-After" in refused.headers
    await problem_of(await api.post("/v1/jobs", json=WEB), 503)
    await problem_of(await api.delete("/v1/jobs/web"), 503)
    assert front.commands == []


async def test_health_is_alive_and_readiness_is_leading(api: Api, front: FakeFront) -> None:
    assert (await api.get("/healthz")).status == 200
    assert (await api.get("/readyz")).status == 200
    front.leading = False
    assert (await api.get("/healthz")).status == 200
    await problem_of(await api.get("/readyz"), 503)
