"""`/v1/tasks`: lists, one task, kill."""

import msgspec
import pytest

from scheduler.core.events import KillTask
from scheduler.core.model.instance import AttemptState
from tests.api.conftest import Api
from tests.api.fake_front import FakeFront
from tests.api.test_job_routes import apply, problem_of


async def test_tasks_are_listed_by_job_and_state(api: Api, front: FakeFront) -> None:
    await apply(api)
    await apply(api, job="api")
    front.set_state("web.1.1.u1", AttemptState.KILLING)
    page = await (await api.get("/v1/tasks?job=web&state=killing,queued")).json()
    assert [task["id"] for task in page["items"]] == ["web.1.1.u1"]
    everything = await (await api.get("/v1/tasks")).json()
    assert len(everything["items"]) == 6


async def test_ended_attempts_are_listed_when_asked_for(api: Api, front: FakeFront) -> None:
    await apply(api)
    front.set_state("web.1.1.u1", AttemptState.FAILED)
    live = await (await api.get("/v1/tasks")).json()
    assert len(live["items"]) == 2
    ended = await (await api.get("/v1/tasks?ended=true&state=failed")).json()
    assert [task["id"] for task in ended["items"]] == ["web.1.1.u1"]


async def test_tasks_are_paged(api: Api) -> None:
    await apply(api, instances=5)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await (await api.get("/v1/tasks", params={"after": after, "limit": 2})).json()
        seen += [task["id"] for task in page["items"]]
        after = page["next"]
    assert seen == [f"web.{index}.1.u1" for index in range(5)]


@pytest.mark.parametrize("query", ["state=alive", "ended=yes", "instance=1", "limit=-1", "after=!"])
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    await problem_of(await api.get(f"/v1/tasks?{query}"), 400)


async def test_a_task_is_shown(api: Api) -> None:
    await apply(api, job="team/web")
    response = await api.get("/v1/tasks/team.web.0.1.u1")
    assert response.status == 200
    task = await response.json()
    shown = {"id", "job", "instance", "attempt", "state", "agent_id", "hostname", "since"}
    assert shown <= task.keys()
    assert (task["job"], task["instance"], task["attempt"]) == ("team/web", 0, 1)


async def test_a_task_is_killed(api: Api, front: FakeFront) -> None:
    await apply(api)
    response = await api.post("/v1/tasks/web.0.1.u1/kill", json={"grace": "1m30s"})
    assert response.status == 202
    assert (await response.json())["result"] == "killing"
    command = front.commands[-1]
    assert isinstance(command, KillTask)
    assert command.grace_s == 90.0


async def test_a_kill_without_grace_leaves_it_to_the_job(api: Api, front: FakeFront) -> None:
    await apply(api)
    await api.post("/v1/tasks/web.0.1.u1/kill")
    command = front.commands[-1]
    assert isinstance(command, KillTask)
    assert command.grace_s is None


async def test_killing_an_ended_task_changes_nothing(api: Api, front: FakeFront) -> None:
    await apply(api)
    front.set_state("web.0.1.u1", AttemptState.FINISHED)
    response = await api.post("/v1/tasks/web.0.1.u1/kill")
    assert (response.status, (await response.json())["result"]) == (200, "unchanged")


@pytest.mark.parametrize("grace", ["10", "ten", "-1s", 10, "999999999d"])
async def test_a_grace_that_is_no_duration_is_refused(
    api: Api, front: FakeFront, grace: object
) -> None:
    await apply(api)
    await problem_of(await api.post("/v1/tasks/web.0.1.u1/kill", json={"grace": grace}), 400)
    assert not any(isinstance(command, KillTask) for command in front.commands)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tasks/none.0.1.u1"),
        ("POST", "/v1/tasks/none.0.1.u1/kill"),
        ("GET", "/v1/tasks/none.0.1.u1/logs"),
    ],
)
async def test_a_task_that_is_not_there_is_404(api: Api, method: str, path: str) -> None:
    await problem_of(await api.request(method, path), 404)


async def test_an_instance_that_waits_is_listed_with_its_reason(api: Api, front: FakeFront) -> None:
    await apply(api, instances=1)
    task = front.tasks_by_id.popitem()[1]
    front.put_task(msgspec.structs.replace(task, id="", state="queued", waits_for="cpus"))
    page = await (await api.get("/v1/tasks?state=queued")).json()
    assert [(task["id"], task["waits_for"]) for task in page["items"]] == [("", "cpus")]
