"""Requests, good and bad, that both masters have to answer alike."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from scheduler.mesos.recordio import Decoder
from tests.emulator.http.client import JSON, PATH, PROTOBUF, SUBSCRIBE

ACCEPTING_JSON = {"Content-Type": JSON, "Accept": JSON}
FRAMEWORK = {"framework_id": {"value": "unknown"}}
COMPARED_HEADERS = ("Allow", "WWW-Authenticate")


@dataclass(frozen=True)
class Request:
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] | None = None
    path: str = PATH
    method: str = "POST"


EXISTS: dict[str, Any] = {"selector": {"attribute_name": "rack"}, "predicate": {"exists": {}}}


def info(**changed: Any) -> dict[str, Any]:
    framework = {**SUBSCRIBE["subscribe"]["framework_info"], **changed}
    return {"type": "SUBSCRIBE", "subscribe": {"framework_info": framework}}


def subscribe(**changed: Any) -> dict[str, Any]:
    return {"type": "SUBSCRIBE", "subscribe": {**SUBSCRIBE["subscribe"], **changed}}


def minimum(role: str, quantities: dict[str, float]) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in quantities.items()}
    return {role: {"min_allocatable_resources": {"quantities": [{"quantities": named}]}}}


def ruled(role: str, *constraints: dict[str, Any]) -> dict[str, Any]:
    """Offer constraints of one group."""
    return {"role_constraints": {role: {"groups": [{"attribute_constraints": constraints}]}}}


def matching(regex: str) -> dict[str, Any]:
    return {**EXISTS, "predicate": {"text_matches": {"regex": regex}}}


def operator(kind: str, **payload: Any) -> Request:
    return Request({"type": kind, **payload}, ACCEPTING_JSON, "/api/v1")


ACKNOWLEDGE = {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "AAAA"}
MULTI_ROLE = [{"type": "MULTI_ROLE"}]
CONSTRAINTS: dict[str, Any] = {"role_constraints": {"web": {}}}

REQUESTS: dict[str, Request] = {
    "get": Request(method="GET"),
    "put": Request(SUBSCRIBE, ACCEPTING_JSON, method="PUT"),
    "no content type": Request(SUBSCRIBE, {}),
    "content type with charset": Request(SUBSCRIBE, {"Content-Type": f"{JSON}; charset=utf-8"}),
    "broken json": Request(b"{"),
    "json that is a list": Request(b"[]"),
    "json nan": Request(b'{"type":"REVIVE","framework_id":{"value":NaN}}'),
    "empty call": Request({}),
    "unknown type name": Request({"type": "NO_SUCH_TYPE", **FRAMEWORK}),
    "type UNKNOWN": Request({"type": "UNKNOWN"}),
    "type UNKNOWN of an unknown framework": Request({"type": "UNKNOWN", **FRAMEWORK}),
    "type as a number": Request({"type": 1}),
    "unknown type number": Request(b"\x10\x63", {"Content-Type": PROTOBUF}),
    "broken protobuf": Request(b"\xff\xff", {"Content-Type": PROTOBUF}),
    "no payload": Request({"type": "SUBSCRIBE"}),
    "required field missing": Request(
        {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "x"}}}
    ),
    "two framework ids": Request({**SUBSCRIBE, **FRAMEWORK}),
    "accepts neither": Request(SUBSCRIBE, {"Content-Type": JSON, "Accept": "text/html"}),
    "accepts nothing": Request(SUBSCRIBE, {"Content-Type": JSON, "Accept": f"{JSON};q=0"}),
    "subscribe with a stream id": Request(SUBSCRIBE, {**ACCEPTING_JSON, "Mesos-Stream-Id": "x"}),
    "teardown of nobody": Request({"type": "TEARDOWN"}),
    "unknown framework": Request({"type": "REVIVE", **FRAMEWORK}),
    "acknowledge with a bad uuid": Request(
        {"type": "ACKNOWLEDGE", "acknowledge": ACKNOWLEDGE, **FRAMEWORK}
    ),
    "decline without payload": Request({"type": "DECLINE", **FRAMEWORK}),
    "role twice": Request(info(roles=["web", "web"])),
    "role beside roles": Request(info(role="web")),
    "roles without the capability": Request(info(capabilities=[])),
    "no roles at all": Request(info(roles=[])),
    "a bad id": Request({**info(id={"value": "a/b"}), "framework_id": {"value": "a/b"}}),
    "negative timeout": Request(info(failover_timeout=-5.0)),
    "timeout past all durations": Request(info(failover_timeout=9.3e9)),
    "infinite timeout": Request(info(failover_timeout="Infinity")),
    "numbers in quotes": Request(info(failover_timeout="100")),
    "a lone value for a list": Request(info(roles="web")),
    "a principal of its own": Request(info(principal="me")),
    "null members": Request(info(hostname=None)),
    "unknown members": Request(info(nonsense={"a": [1]})),
    "unknown capability": Request(info(capabilities=[*MULTI_ROLE, {"type": "TELEPATHY"}])),
    "suppressed role that is not its own": Request(subscribe(suppressed_roles=["other"])),
    "constraints without groups": Request(subscribe(offer_constraints=CONSTRAINTS)),
    "constraints of a foreign role": Request(subscribe(offer_constraints=ruled("foreign", EXISTS))),
    "constraints without a selector": Request(
        subscribe(offer_constraints=ruled("web", {**EXISTS, "selector": {}}))
    ),
    "constraints without a predicate": Request(
        subscribe(offer_constraints=ruled("web", {**EXISTS, "predicate": {}}))
    ),
    "constraints with an empty group": Request(subscribe(offer_constraints=ruled("web"))),
    "constraints on an unknown pseudo attribute": Request(
        subscribe(
            offer_constraints=ruled(
                "web", {**EXISTS, "selector": {"pseudoattribute_type": "UNKNOWN"}}
            )
        )
    ),
    **{
        f"constraints with the expression {regex[:20]!r} of {len(regex)}": Request(
            subscribe(offer_constraints=ruled("web", matching(regex)))
        )
        for regex in (
            *("", "(", "r[12]", "(east|west)-[a-c]{1,2}", ".*", r"node-[0-9]+\.example\.com"),
            *("a" * 96, "a" * 97, "a" * 5000),
        )
    },
    "minimum for a foreign role": Request(info(offer_filters=minimum("other", {"cpus": 1}))),
    "minimum of nothing": Request(info(offer_filters=minimum("web", {}))),
    "negative minimum": Request(info(offer_filters=minimum("web", {"cpus": -1}))),
    "operator health": operator("GET_HEALTH"),
    "operator version": operator("GET_VERSION"),
    "operator master": operator("GET_MASTER"),
    "operator unknown": operator("UNKNOWN"),
    "operator without type": Request({}, ACCEPTING_JSON, "/api/v1"),
    "operator get": Request(path="/api/v1", method="GET"),
    "gone agent unknown": operator("MARK_AGENT_GONE", mark_agent_gone={"agent_id": {"value": "x"}}),
    "teardown unknown": operator("TEARDOWN", teardown={"framework_id": {"value": "x"}}),
    "health": Request(path="/master/health", method="GET"),
    "old teardown unknown": Request(b"frameworkId=x", {}, "/teardown"),
    "unsubscribed with credentials": Request(
        {"type": "REVIVE", **FRAMEWORK},
        {**ACCEPTING_JSON, "Authorization": "Basic " + base64.b64encode(b"a:b").decode()},
    ),
    **{
        f"role {role!r}": Request(info(roles=[role]))
        for role in ("", "not ok", ".", "..", "-x", "/x", "x/", "a//b", "a/*", "\x7f", "*", "a/b")
    },
}


async def answer(web: aiohttp.ClientSession, request: Request) -> tuple[object, ...]:
    """What is compared: the status, some headers, and of a stream the type of its first event."""
    body = request.body
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    async with web.request(
        request.method,
        request.path,
        data=data,
        headers=ACCEPTING_JSON if request.headers is None else request.headers,
        allow_redirects=False,
        skip_auto_headers=("Content-Type", "Accept"),
    ) as response:
        headers = {name: response.headers.get(name) for name in COMPARED_HEADERS}
        if "Mesos-Stream-Id" not in response.headers:
            return response.status, headers
        decoder = Decoder()
        async for chunk in response.content.iter_any():
            for record in decoder.feed(chunk):
                return response.status, headers, json.loads(record)["type"]
        return response.status, headers, "EOF"
