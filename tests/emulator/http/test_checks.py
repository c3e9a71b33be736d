"""The table of checks of the scheduler endpoint, row by row, and those of the operator's."""

import base64
import gzip
import json
from typing import Any

import aiohttp
import pytest

from scheduler.mesos.proto.master_pb2 import Call as OperatorCall
from scheduler.mesos.proto.master_pb2 import Response
from tests.emulator.http.client import (
    JSON,
    PATH,
    PROTOBUF,
    SUBSCRIBE,
    a_cluster,
    encode,
    subscribed,
)

HEADERS = {"Content-Type": JSON, "Accept": JSON}


async def answer(
    web: aiohttp.ClientSession,
    body: bytes | dict[str, Any],
    headers: dict[str, str] | None = None,
    path: str = PATH,
    method: str = "POST",
) -> tuple[int, dict[str, str]]:
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    skip = ("Content-Type",)
    async with web.request(
        method,
        path,
        data=data,
        headers=HEADERS if headers is None else headers,
        skip_auto_headers=skip,
        allow_redirects=False,
    ) as response:
        return response.status, dict(response.headers)


async def test_requests_that_are_no_calls() -> None:
    async with a_cluster() as (_, web):
        assert (await answer(web, SUBSCRIBE, path="/api/v1/nothing"))[0] == 404
        status, headers = await answer(web, b"", method="GET")
        assert (status, headers["Allow"]) == (405, "POST")
        assert (await answer(web, b"", method="HEAD"))[0] == 405
        assert (await answer(web, SUBSCRIBE, headers={}))[0] == 400
        charset = {"Content-Type": "application/json; charset=utf-8"}
        assert (await answer(web, SUBSCRIBE, headers=charset))[0] == 415
        assert (await answer(web, b"{", headers=HEADERS))[0] == 400
        assert (await answer(web, b"\xff\xff", headers={"Content-Type": PROTOBUF}))[0] == 400
        assert (await answer(web, SUBSCRIBE, headers={**HEADERS, "Accept": "text/html"}))[0] == 406
        refused = {**HEADERS, "Accept": "application/json;q=0"}
        assert (await answer(web, SUBSCRIBE, headers=refused))[0] == 406
        with_stream = {**HEADERS, "Mesos-Stream-Id": "x"}
        assert (await answer(web, SUBSCRIBE, headers=with_stream))[0] == 400


INVALID: list[dict[str, Any]] = [
    {},
    {"type": "NOT_A_TYPE"},
    {"type": "SUBSCRIBE"},
    {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "user is missing"}}},
    {**SUBSCRIBE, "framework_id": {"value": "only-here"}},
    {"type": "DECLINE", "framework_id": {"value": "f"}},
    {"type": "TEARDOWN"},
    {
        "type": "ACKNOWLEDGE",
        "framework_id": {"value": "f"},
        "acknowledge": {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "AAAA"},
    },
    {
        "type": "UPDATE_FRAMEWORK",
        "framework_id": {"value": "f"},
        "update_framework": {"framework_info": {"user": "u", "name": "n", "id": {"value": "g"}}},
    },
]


@pytest.mark.parametrize("call", INVALID)
async def test_invalid_calls_are_bad_requests(call: dict[str, Any]) -> None:
    async with a_cluster() as (_, web):
        assert (await answer(web, call))[0] == 400


async def test_calls_need_a_known_connected_framework_and_its_stream() -> None:
    async with a_cluster() as (cluster, web), subscribed(web, JSON) as framework:
        revive = {"type": "REVIVE", "framework_id": framework.framework_id}
        stranger = {"type": "REVIVE", "framework_id": {"value": "unknown"}}
        assert (await answer(web, stranger))[0] == 400
        assert (await answer(web, revive))[0] == 400
        assert (await answer(web, revive, {**HEADERS, "Mesos-Stream-Id": "old"}))[0] == 400
        current = {**HEADERS, "Mesos-Stream-Id": framework.stream_id}
        status, headers = await answer(web, revive, current)
        assert (status, headers["Content-Length"]) == (202, "0")
        assert (await answer(web, {**revive, "type": "UNKNOWN"}, current))[0] == 501
        zipped = gzip.compress(json.dumps(revive).encode())
        assert (await answer(web, zipped, {**current, "Content-Encoding": "gzip"}))[0] == 202
        info = {**SUBSCRIBE["subscribe"]["framework_info"], "id": framework.framework_id}
        update = {
            **revive,
            "type": "UPDATE_FRAMEWORK",
            "update_framework": {"framework_info": info},
        }
        assert (await answer(web, update, current))[0] == 200
        cluster.drop_streams()
        assert (await answer(web, revive, current))[0] == 403


async def test_a_refused_subscription_is_an_error_on_a_stream() -> None:
    async with a_cluster() as (_, web):
        info = {**SUBSCRIBE["subscribe"]["framework_info"], "roles": ["not ok"]}
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        async with web.post(PATH, json=call, headers={"Accept": JSON}) as response:
            assert response.status == 200
            assert response.headers["Mesos-Stream-Id"]
            _, _, record = (await response.read()).partition(b"\n")
            assert json.loads(record)["type"] == "ERROR"


async def test_frameworks_prove_who_they_are() -> None:
    async with a_cluster(frameworks={"offerd": "secret"}, operators={"op": "word"}) as (_, web):
        status, headers = await answer(web, SUBSCRIBE)
        assert status == 401
        assert headers["WWW-Authenticate"] == 'Basic realm="mesos-master-scheduler"'
        assert (await answer(web, SUBSCRIBE, {**HEADERS, **basic("offerd", "wrong")}))[0] == 401
        lower = {"Authorization": basic("offerd", "secret")["Authorization"].replace("B", "b", 1)}
        assert (await answer(web, SUBSCRIBE, {**HEADERS, **lower}))[0] == 401
        info = {**SUBSCRIBE["subscribe"]["framework_info"], "principal": "other"}
        other = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        assert (await answer(web, other, {**HEADERS, **basic("offerd", "secret")}))[0] == 400
        async with web.post(
            PATH, data=encode(SUBSCRIBE, JSON), headers={**HEADERS, **basic("offerd", "secret")}
        ) as stream:
            assert stream.status == 200
            async with web.get("/state", headers=basic("op", "word")) as state:
                (shown,) = (await state.json())["frameworks"]
                assert shown["principal"] == "offerd"
        async with web.get("/master/state") as state:
            assert state.status == 401
        async with web.get("/health") as health:
            assert health.status == 200


async def test_a_standby_redirects_to_the_leader() -> None:
    async with a_cluster(leader="leader.test:5050") as (_, web):
        status, headers = await answer(web, SUBSCRIBE)
        assert (status, headers["Location"]) == (307, "//leader.test:5050/master/api/v1/scheduler")
        status, headers = await answer(web, b"", path="/slaves?slave_id=x", method="GET")
        assert (status, headers["Location"]) == (307, "//leader.test:5050/slaves?slave_id=x")
        status, headers = await answer(web, b"", path="/master/redirect", method="GET")
        assert (status, headers["Location"]) == (307, "//leader.test:5050")
        async with web.get("/metrics/snapshot") as metrics:
            assert (await metrics.json())["master/elected"] == 0.0


async def test_operator_calls_in_both_formats() -> None:
    async with a_cluster(agents=3, racks=2) as (_, web), subscribed(web) as framework:
        headers = {"Content-Type": PROTOBUF, "Accept": PROTOBUF}
        for kind in ("GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_HEALTH", "GET_MASTER"):
            call = OperatorCall(type=getattr(OperatorCall, kind)).SerializeToString()
            async with web.post("/api/v1", data=call, headers=headers) as response:
                assert response.status == 200
                read = Response.FromString(await response.read())
                assert Response.Type.Name(read.type) == kind
                assert read.IsInitialized()
        async with web.post("/api/v1", json={"type": "GET_AGENTS"}) as response:
            agents = (await response.json())["get_agents"]["agents"]
            assert len(agents) == 3
            assert agents[1]["agent_info"]["attributes"][0]["text"] == {"value": "r1"}
            assert agents[0]["active"]
        async with web.post("/api/v1", json={"type": "GET_FLAGS"}) as response:
            assert response.status == 501
        gone = {"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": "none"}}}
        async with web.post("/api/v1", json=gone) as response:
            assert response.status == 404
        gone["mark_agent_gone"] = {"agent_id": agents[0]["agent_info"]["id"]}
        async with web.post("/api/v1", json=gone) as response:
            assert response.status == 200
        assert (await framework.next("FAILURE"))["failure"]["agent_id"]
        teardown = {"type": "TEARDOWN", "teardown": {"framework_id": framework.framework_id}}
        async with web.post("/api/v1", json=teardown) as response:
            assert response.status == 200
        with pytest.raises((EOFError, aiohttp.ClientPayloadError)):
            await framework.next("ERROR")


async def test_pages_show_agents_frameworks_and_metrics() -> None:
    async with a_cluster(agents=2) as (_, web), subscribed(web) as framework:
        await framework.next("OFFERS")
        async with web.get("/master/slaves") as page:
            slaves = (await page.json())["slaves"]
            assert [slave["hostname"] for slave in slaves] == ["agent-0", "agent-1"]
            assert slaves[0]["offered_resources"]["cpus"] == 4.0
        await framework.call({"type": "SUPPRESS"})
        async with web.get("/metrics/snapshot") as page:
            metrics = await page.json()
            name = f"master/frameworks/test/{framework.framework_id['value']}/roles/web/suppressed"
            assert (metrics["master/elected"], metrics[name]) == (1.0, 1.0)
            assert metrics["master/slaves_active"] == 2.0


def basic(name: str, secret: str) -> dict[str, str]:
    token = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {token}"}
