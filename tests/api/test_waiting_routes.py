"""`/v1/queue` and `/v1/jobs/{job}/explain`."""

import aiohttp
from aiohttp.test_utils import TestClient, TestServer

from scheduler.api.waiting_routes import AT_ONCE_AGENTS_MAX
from scheduler.core.explain import Question
from scheduler.core.inventory import Agent
from scheduler.core.known import Known
from scheduler.core.model.ids import JobId, Role
from scheduler.core.model.job import Constraint, Operator
from scheduler.core.model.resources import Amounts
from scheduler.core.placement.group import Group
from scheduler.core.placement.outlook import Access
from scheduler.core.waiting_views import WaitingView
from scheduler.runtime.protocols import LeaderInfo
from tests.api.conftest import HOST, Api, an_app
from tests.api.fake_front import FakeFront
from tests.api.test_job_routes import WEB as DOCUMENT
from tests.api.test_job_routes import apply, problem_of
from tests.builders import an_agent

WEB = JobId("team/web")


def a_question(agents: int = 2) -> Question:
    """Of a job that asks for a rack which no agent is in."""
    rack = Constraint("rack", Operator.IS, "r9")
    return Question(
        job=WEB,
        state="running",
        owner="team",
        priority=50,
        instances=3,
        live=1,
        unconfirmed=0,
        waiting=2,
        since=1_700_000_000.0,
        back_off=None,
        tries=1,
        group=Group(Role("prod"), Amounts(1000), constraints=(rack,)),
        blocked=(),
        known=Known(
            agents=tuple(Agent(an_agent(f"a{at}", rack="r1")) for at in range(agents)),
            held={},
            returned={},
            access=Access(1_700_000_060.0),
        ),
        history=(),
    )


def a_waiting(job: str) -> WaitingView:
    return WaitingView(
        job=job,
        role="prod",
        owner="",
        share=0.25,
        priority=50,
        state="parked",
        waiting=2,
        backing_off=0,
        since=1_700_000_000.0,
        next_at=None,
        tries=1,
        text="1 offer: 1 lacks cpus (by 0.5)",
    )


async def test_a_job_is_explained(api: Api, front: FakeFront) -> None:
    front.questions[WEB] = a_question()
    answer = await api.get("/v1/jobs/team%2Fweb/explain")
    assert answer.status == 200
    body = await answer.json()
    assert body["text"].startswith("2 of 3 instances wait for an offer. 2 agents: 2 fail")
    [reason] = body["reasons"]
    assert (reason["reason"], reason["agents"], reason["alone"]) == ("constraint", 2, 2)
    assert (reason["constraint"], reason["short"]) == ("rack is r9", None)
    assert [one["text"] for one in body["helps"]] == ["fits on 2 agents without `rack is r9`"]


async def test_one_agent_is_looked_at_closely(api: Api, front: FakeFront) -> None:
    front.questions[WEB] = a_question()
    body = await (await api.get("/v1/jobs/team%2Fweb/explain?agent=a1")).json()
    assert body["on_agent"]["id"] == "S-a1"
    assert [reason["reason"] for reason in body["on_agent"]["reasons"]] == ["constraint"]
    await problem_of(await api.get("/v1/jobs/team%2Fweb/explain?agent=a9"), 404)


async def test_a_large_cluster_is_thought_about_aside(api: Api, front: FakeFront) -> None:
    front.questions[WEB] = a_question(AT_ONCE_AGENTS_MAX + 1)
    body = await (await api.get("/v1/jobs/team%2Fweb/explain")).json()
    assert body["agents"] == AT_ONCE_AGENTS_MAX + 1


async def test_a_job_that_is_not_there_is_not_explained(api: Api) -> None:
    answer = await api.get("/v1/jobs/nobody/explain")
    await problem_of(answer, 404)


async def test_the_queue_comes_in_pages(api: Api, front: FakeFront) -> None:
    front.waiting = [a_waiting(name) for name in ("a", "b", "c")]
    first = await (await api.get("/v1/queue?limit=2")).json()
    assert [item["job"] for item in first["items"]] == ["a", "b"]
    rest = await (await api.get(f"/v1/queue?limit=2&after={first['next']}")).json()
    assert [item["job"] for item in rest["items"]] == ["c"]
    assert rest["next"] is None
    answer = await api.get("/v1/queue?after=!nonsense")
    await problem_of(answer, 400)


async def test_only_the_leader_knows_what_waits(front: FakeFront) -> None:
    leading = FakeFront()
    leading.instance = "offerd-2"
    leading.questions[WEB] = a_question()
    leading.waiting = [a_waiting("a")]
    async with (
        aiohttp.ClientSession() as session,
        TestServer(an_app(leading, session), host=HOST) as server,
        TestClient(TestServer(an_app(front, session), host=HOST)) as standby,
    ):
        front.follow(LeaderInfo("offerd-2", str(server.make_url("/")), 7))
        explained = await (await standby.get("/v1/jobs/team%2Fweb/explain")).json()
        assert explained["job"] == WEB
        queue = await (await standby.get("/v1/queue")).json()
        assert [one["job"] for one in queue["items"]] == ["a"]
        front.follow(None)
        answer = await standby.get("/v1/queue")
        await problem_of(answer, 503)


async def test_a_plan_shows_what_would_change_and_where_there_is_room(api: Api) -> None:
    await apply(api)
    changed = DOCUMENT | {"resources": {"cpus": 2, "mem": "64MiB"}, "labels": {"a": "b"}}
    new = DOCUMENT | {"job": "new", "instances": 9, "resources": {"cpus": 1, "mem": "64MiB"}}
    answer = await api.post("/v1/plan", json={"jobs": [changed, new]})
    assert answer.status == 200
    body = await answer.json()
    assert (body["connected"], body["agents"], body["agents_seen_s_ago"]) == (True, 2, 10.0)
    first, second = body["jobs"]
    assert (first["result"], second["result"]) == ("changed", "new")
    assert first["changes"] == [
        {"path": "labels.a", "before": None, "after": "b"},
        {"path": "resources.cpus", "before": 0.5, "after": 2},
    ]
    assert (second["add"], second["placed"], second["missing"]) == (9, 8, 1)
    assert [(one["hostname"], one["takes"]) for one in second["agents"]] == [("a1", 4), ("a2", 4)]


async def test_a_plan_of_bad_jobs_names_all_their_problems(api: Api) -> None:
    bad = {"job": "x", "kind": "service", "command": "true"}
    body = {"jobs": [bad | {"instances": "many"}, bad | {"priority": 101}]}
    problem = await problem_of(await api.post("/v1/plan", json=body), 400)
    paths = {error["path"] for error in problem["errors"]}
    assert {"jobs[0].instances", "jobs[1].priority"} <= paths
    await problem_of(await api.post("/v1/plan", json={"jobs": []}), 400)
    twice = await api.post("/v1/plan", json={"jobs": [DOCUMENT, DOCUMENT]})
    assert "given twice" in (await problem_of(twice, 400))["detail"]
    many = await api.post("/v1/plan", json={"jobs": [DOCUMENT] * 201})
    assert (await problem_of(many, 400))["detail"] == "201 jobs; at most 200 are planned at once"
