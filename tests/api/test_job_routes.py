"""`/v1/jobs`: every route's good and bad ways."""

import asyncio
import gzip
import io
import json
from typing import Any

import pytest

from scheduler.api.documents import AT_ONCE_BYTES_MAX
from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import ApplyJob, DeleteJob, ScaleJob, StopJob, Ticket
from scheduler.core.model.ids import JobId
from tests.api.conftest import Api
from tests.api.fake_front import FakeFront

WEB: dict[str, Any] = {
    "job": "web",
    "kind": "service",
    "instances": 3,
    "command": "sleep 60",
    "resources": {"cpus": 0.5, "mem": "64MiB"},
}
WEB_YAML = """\
job: web
kind: service
instances: 3
command: sleep 60
resources: {cpus: 0.5, mem: 64MiB}
"""


async def apply(api: Api, **changes: object) -> dict[str, Any]:
    response = await api.post("/v1/jobs", json=WEB | changes)
    assert response.status in (200, 201), await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


async def problem_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = await response.json(content_type=None)
    assert problem["status"] == status
    assert problem["detail"]
    return problem


async def test_a_new_job_is_created_with_version_1(api: Api, front: FakeFront) -> None:
    response = await api.post("/v1/jobs", json=WEB)
    assert response.status == 201
    answer = await response.json()
    assert answer == {"job": "web", "result": "created", "version": 1, "detail": ""}
    [command] = front.commands
    assert isinstance(command, ApplyJob)
    assert command.spec.template.role == "prod"


async def test_the_same_job_again_is_unchanged_and_another_one_changed(api: Api) -> None:
    await apply(api)
    assert (await apply(api))["result"] == "unchanged"
    changed = await apply(api, command="sleep 61")
    assert (changed["result"], changed["version"]) == ("changed", 2)


async def test_yaml_and_json_declare_the_same_job(api: Api) -> None:
    await apply(api)
    response = await api.post(
        "/v1/jobs", data=WEB_YAML, headers={"Content-Type": "application/yaml"}
    )
    assert response.status == 200
    assert (await response.json())["result"] == "unchanged"


async def test_large_jobs_are_read_too(api: Api, front: FakeFront) -> None:
    env = {f"NAME_{number}": "x" * 50 for number in range(90)}
    text = WEB_YAML + "env:\n" + "".join(f"  {name}: {value}\n" for name, value in env.items())
    assert len(text) > AT_ONCE_BYTES_MAX
    kind = {"Content-Type": "application/yaml"}
    answers = await asyncio.gather(
        api.post("/v1/jobs", data=text, headers=kind),
        api.post("/v1/jobs", json=WEB | {"env": env}),
        api.post("/v1/jobs", data=text.replace("x", "[", 1), headers=kind),
    )
    assert sorted(answer.status for answer in answers) == [200, 201, 400]
    first, second = front.commands
    assert isinstance(first, ApplyJob)
    assert isinstance(second, ApplyJob)
    assert first.spec == second.spec


async def test_all_problems_of_a_bad_job_are_listed(api: Api, front: FakeFront) -> None:
    bad = WEB | {"kind": "servic", "instances": -1, "colour": "red"}
    problem = await problem_of(await api.post("/v1/jobs", json=bad), 400)
    assert {error["path"] for error in problem["errors"]} == {"kind", "instances", "colour"}
    assert all(error["message"] for error in problem["errors"])
    assert front.commands == []


async def test_problems_of_yaml_name_lines(api: Api) -> None:
    response = await api.post(
        "/v1/jobs",
        data=WEB_YAML.replace("instances: 3", "instances: many"),
        headers={"Content-Type": "application/yaml"},
    )
    [error] = (await problem_of(response, 400))["errors"]
    assert (error["path"], error["line"]) == ("instances", 3)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"job": NaN}', "application/json", 400),
        (b'{"job": "a", "job": "b"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"", "application/yaml", 400),
        (f"{WEB_YAML}---\n{WEB_YAML.replace('web', 'api')}".encode(), "application/yaml", 400),
        (b"a: [", "application/yaml", 400),
        (json.dumps(WEB).encode(), "text/plain", 415),
        (json.dumps(WEB).encode(), "application/x-www-form-urlencoded", 415),
        (b" " * (1024 * 1024 + 1), "application/json", 413),
        (b" " * (128 * 1024 + 1), "application/yaml", 413),
        (b"[" * (128 * 1024), "application/yaml", 400),
        (b"---\na\n" * 10_000, "application/yaml", 400),
    ],
)
async def test_a_body_that_is_no_job_is_refused(
    api: Api, front: FakeFront, body: bytes, content_type: str, status: int
) -> None:
    response = await api.post(
        "/v1/jobs", data=io.BytesIO(body), headers={"Content-Type": content_type}
    )
    await problem_of(response, status)
    assert front.commands == []


async def test_a_compressed_body_is_refused_unread(api: Api, front: FakeFront) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    body = io.BytesIO(gzip.compress(json.dumps(WEB).encode()))
    await problem_of(await api.post("/v1/jobs", data=body, headers=headers), 415)
    assert front.commands == []


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.CONFLICT, 409),
        (Verdict.INVALID, 400),
        (Verdict.NOT_FOUND, 404),
        (Verdict.UNAVAILABLE, 503),
    ],
)
async def test_a_refusal_of_the_engine_is_a_problem(
    api: Api, front: FakeFront, verdict: Verdict, status: int
) -> None:
    front.answer = Answer(Ticket(0), verdict, "because of the moon")
    response = await api.post("/v1/jobs", json=WEB)
    problem = await problem_of(response, status)
    assert problem["detail"] == "because of the moon"
    assert ("Retry-After" in response.headers) == (verdict is Verdict.UNAVAILABLE)


async def test_a_job_is_shown_with_its_document(api: Api) -> None:
    await apply(api, job="team/web", labels={"team": "shop"})
    response = await api.get("/v1/jobs/team%2Fweb")
    assert response.status == 200
    job = await response.json()
    assert (job["job"], job["state"], job["version"]) == ("team/web", "running", 1)
    assert job["tasks"] == {"running": 3}
    assert job["spec"]["command"] == "sleep 60"
    assert job["spec"]["labels"] == {"team": "shop"}


async def test_what_is_shown_can_be_applied_again(api: Api) -> None:
    await apply(api)
    shown = await (await api.get("/v1/jobs/web")).json()
    response = await api.post("/v1/jobs", json=shown["spec"])
    assert (await response.json())["result"] == "unchanged"


async def test_jobs_are_listed_in_pages(api: Api) -> None:
    for name in ("a", "b", "c"):
        await apply(api, job=name)
    first = await (await api.get("/v1/jobs?limit=2")).json()
    assert [job["job"] for job in first["items"]] == ["a", "b"]
    rest = await (await api.get("/v1/jobs", params={"after": first["next"]})).json()
    assert [job["job"] for job in rest["items"]] == ["c"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=ten", "limit=²", "colour=red", "limit=1&limit=2"]
)
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    await problem_of(await api.get(f"/v1/jobs?{query}"), 400)


async def test_the_tasks_of_one_instance_are_one_page(api: Api) -> None:
    await apply(api)
    page = await (await api.get("/v1/jobs/web/tasks?instance=1&limit=1")).json()
    assert ([task["id"] for task in page["items"]], page["next"]) == (["web.1.1.u1"], None)
    for index in ("-1", "x", "100000"):
        await problem_of(await api.get(f"/v1/jobs/web/tasks?instance={index}"), 400)


async def test_the_tasks_of_a_job_are_listed(api: Api) -> None:
    await apply(api)
    await apply(api, job="api")
    page = await (await api.get("/v1/jobs/web/tasks?state=running&limit=2")).json()
    assert [task["id"] for task in page["items"]] == ["web.0.1.u1", "web.1.1.u1"]
    assert page["next"]


async def test_a_job_is_scaled(api: Api, front: FakeFront) -> None:
    await apply(api)
    response = await api.post("/v1/jobs/web/scale", json={"instances": 5})
    assert response.status == 200
    assert (await response.json())["result"] == "changed"
    command = front.commands[-1]
    assert isinstance(command, ScaleJob)
    assert (command.job, command.instances) == (JobId("web"), 5)
    again = await api.post("/v1/jobs/web/scale", json={"instances": 5})
    assert (await again.json())["result"] == "unchanged"


@pytest.mark.parametrize(
    "body",
    [{}, {"instances": -1}, {"instances": "5"}, {"instances": 100_001}, {"instances": 1, "x": 2}],
)
async def test_a_scale_that_makes_no_sense_is_refused(
    api: Api, front: FakeFront, body: object
) -> None:
    await apply(api)
    await problem_of(await api.post("/v1/jobs/web/scale", json=body), 400)
    assert len(front.commands) == 1


async def test_a_job_is_stopped_with_and_without_a_body(api: Api, front: FakeFront) -> None:
    await apply(api, job="team/web")
    response = await api.post("/v1/jobs/team%2Fweb/stop")
    assert response.status == 202
    assert (await response.json())["result"] == "stopping"
    command = front.commands[-1]
    assert isinstance(command, StopJob)
    assert command.job == "team/web"
    again = await api.post("/v1/jobs/team%2Fweb/stop", json={})
    assert (again.status, (await again.json())["result"]) == (200, "unchanged")
    await problem_of(await api.post("/v1/jobs/team%2Fweb/stop", json={"now": True}), 400)


async def test_a_job_is_deleted(api: Api, front: FakeFront) -> None:
    await apply(api)
    response = await api.delete("/v1/jobs/web")
    assert response.status == 202
    assert isinstance(front.commands[-1], DeleteJob)
    await problem_of(await api.get("/v1/jobs/web"), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/none"),
        ("GET", "/v1/jobs/none/tasks"),
        ("DELETE", "/v1/jobs/none"),
        ("POST", "/v1/jobs/none/stop"),
    ],
)
async def test_a_job_that_is_not_there_is_404(api: Api, method: str, path: str) -> None:
    problem = await problem_of(await api.request(method, path), 404)
    assert "none" in problem["detail"]
