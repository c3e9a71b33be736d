"""Agents, unknown tasks, status and health."""

import pytest

from scheduler.core.model.resources import Amounts
from scheduler.core.views import AgentView, RoleOffersView, UnknownTaskView
from scheduler.runtime.protocols import LeaderInfo
from tests.api.conftest import Api
from tests.api.fake_front import FRAMEWORK_ID, FakeFront
from tests.api.test_job_routes import WEB, problem_of

OTHER = LeaderInfo("offerd-2", "http://offerd-2:8080", 2)
NODE = AgentView(
    id="agent-1",
    hostname="node1",
    url="http://node1:5051",
    active=True,
    attributes={"rack": "r1"},
    tasks=2,
    total=Amounts(cpus=4000, mem=8_192_000, disk=1_000_500, gpus=1000, revocable_cpus=2500),
    used=None,
    seen_s_ago=1.5,
)


async def test_agents_are_listed_with_their_amounts(api: Api, front: FakeFront) -> None:
    front.agent_list.append(NODE)
    page = await (await api.get("/v1/agents")).json()
    [agent] = page["items"]
    assert agent["total"] == {
        "cpus": 4.0,
        "mem": 8192.0,
        "disk": 1000.5,
        "gpus": 1.0,
        "revocable_cpus": 2.5,
    }
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
    assert (status["leader_url"], status["age_s"]) == ("http://offerd-1:8080", 0.0)
    assert status["framework_id"] == FRAMEWORK_ID
    assert status["connected"] is True
    assert status["tasks"] == {}


async def test_status_names_the_amounts_that_the_master_was_told(
    api: Api, front: FakeFront
) -> None:
    told = RoleOffersView("web", False, (), (Amounts(cpus=1500, mem=64_000),), None)
    front.status_changes = {"offers": (told,)}
    [shown] = (await (await api.get("/v1/status")).json())["offers"]
    [minimum] = shown["minimums"]
    assert (minimum["cpus"], minimum["mem"], minimum["disk"]) == (1.5, 64.0, 0.0)


async def test_a_daemon_that_neither_leads_nor_follows_says_so(api: Api, front: FakeFront) -> None:
    front.follow(None, age_s=None)
    response = await api.get("/v1/status")
    assert response.status == 200
    status = await response.json()
    assert (status["leading"], status["connected"]) == (False, False)
    assert (status["leader"], status["leader_url"], status["age_s"]) == ("", "", None)
    assert "Offerd-Age" not in response.headers
    for path in ("/v1/jobs", "/v1/jobs/web", "/v1/tasks", "/v1/agents", "/v1/unknown_tasks"):
        refused = await api.get(path)
        await problem_of(refused, 503)
        assert "Retry-After" in refused.headers
    await problem_of(await api.post("/v1/jobs", json=WEB), 503)
    await problem_of(await api.delete("/v1/jobs/web"), 503)
    assert front.commands == []


async def test_health_is_alive_and_readiness_is_leading_or_following(
    api: Api, front: FakeFront
) -> None:
    assert (await api.get("/healthz")).status == 200
    ready = await api.get("/readyz")
    assert (ready.status, await ready.json()) == (200, {"status": "leading", "leader": "offerd-1"})
    front.follow(OTHER)
    ready = await api.get("/readyz")
    assert (ready.status, await ready.json()) == (
        200,
        {"status": "following", "leader": "offerd-2"},
    )


@pytest.mark.parametrize(
    ("leader", "age_s"),
    [
        (None, 1.0),
        (None, None),
        (OTHER, None),
        (LeaderInfo("offerd-1", "http://offerd-1:8080", 3), 1.0),
    ],
)
async def test_who_follows_nobody_is_alive_but_not_ready(
    api: Api, front: FakeFront, leader: LeaderInfo | None, age_s: float | None
) -> None:
    front.follow(leader, age_s)
    assert (await api.get("/healthz")).status == 200
    await problem_of(await api.get("/readyz"), 503)
