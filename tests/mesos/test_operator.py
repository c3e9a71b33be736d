"""The operator client against a server that lists agents, refuses, redirects and breaks off."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from scheduler.core.events import AgentsListed, FrameworkSeen, FrameworksListed
from scheduler.core.model.ids import AgentId, FrameworkId, Role
from scheduler.core.model.offer import AgentInfo, AgentSeen
from scheduler.core.model.resources import Amounts, PortRange
from scheduler.errors import MasterUnavailable
from scheduler.mesos.access import Credential
from scheduler.mesos.operator import OperatorClient
from scheduler.mesos.proto import master_pb2
from scheduler.mesos.proto import mesos_v1_pb2 as wire

HOST = "127.77.3.2"
PROTOBUF = "application/x-protobuf"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, path: str = "/api/v1") -> AsyncIterator[str]:
    """A server on a free port; gives its URL."""
    application = web.Application()
    application.router.add_post(path, handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def saying(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return handler


def two_agents() -> bytes:
    """One that is registered and in use, one that has not come back since a failover."""
    answer = master_pb2.Response(type=master_pb2.Response.GET_AGENTS)
    agent = answer.get_agents.agents.add(
        active=True, version="1.11.0", pid="slave(1)@10.0.0.9:5052"
    )
    agent.agent_info.hostname = "a1"
    agent.agent_info.id.value = "M-S0"
    agent.agent_info.attributes.add(name="rack", type=wire.Value.TEXT).text.value = "r1"
    agent.agent_info.domain.fault_domain.region.name = "eu"
    agent.agent_info.domain.fault_domain.zone.name = "eu-1"
    for amounts, cpus in (
        (agent.total_resources, 4.0),
        (agent.allocated_resources, 1.5),
        (agent.offered_resources, 0.001),
    ):
        amounts.add(name="cpus", type=wire.Value.SCALAR).scalar.value = cpus
    for amounts, cpus in ((agent.total_resources, 2.0), (agent.allocated_resources, 0.5)):
        reserved = amounts.add(name="cpus", type=wire.Value.SCALAR)
        reserved.scalar.value = cpus
        reserved.reservations.add(role="prod", type=wire.Resource.ReservationInfo.STATIC)
    for amounts, cpus in ((agent.total_resources, 3.0), (agent.allocated_resources, 1.0)):
        for name in ("cpus", "mem"):
            spare = amounts.add(name=name, type=wire.Value.SCALAR)
            spare.scalar.value = cpus
            spare.revocable.SetInParent()
    ports = agent.total_resources.add(name="ports", type=wire.Value.RANGES)
    ports.ranges.range.add(begin=31000, end=32000)
    used = agent.allocated_resources.add(name="ports", type=wire.Value.RANGES)
    used.ranges.range.add(begin=31002, end=31002)
    recovered = answer.get_agents.recovered_agents.add(hostname="a2", port=5053)
    recovered.id.value = "M-S1"
    recovered.resources.add(name="mem", type=wire.Value.SCALAR).scalar.value = 1024
    return answer.SerializeToString()


async def test_agents_are_listed_with_totals_and_use() -> None:
    async with serving(saying(200, two_agents())) as url:
        listed = await OperatorClient(url).agents()
    assert listed == AgentsListed(
        (
            AgentSeen(
                agent=AgentInfo(
                    agent_id=AgentId("M-S0"),
                    hostname="a1",
                    url="http://10.0.0.9:5052",
                    attributes=(("rack", "r1"),),
                    region="eu",
                    zone="eu-1",
                ),
                active=True,
                total=Amounts(cpus=6000, revocable_cpus=3000),
                used=Amounts(cpus=2000, revocable_cpus=1000),
                offered=Amounts(cpus=1),
                reserved=((Role("prod"), Amounts(cpus=1500)),),
                free_ports=(PortRange(31000, 31001), PortRange(31003, 32000)),
            ),
            AgentSeen(
                agent=AgentInfo(AgentId("M-S1"), "a2", "http://a2:5053"),
                active=False,
                total=Amounts(mem=1_024_000),
                used=Amounts(),
                offered=Amounts(),
            ),
        )
    )


async def test_the_request_is_get_agents_with_the_operators_credentials() -> None:
    seen: list[tuple[bytes, dict[str, str]]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((await request.read(), dict(request.headers)))
        return web.Response(body=two_agents())

    async with serving(handler) as url:
        await OperatorClient(url, credential=Credential("ops", "sesame")).agents()
    ((body, headers),) = seen
    assert master_pb2.Call.FromString(body).type == master_pb2.Call.GET_AGENTS
    assert headers["Content-Type"] == headers["Accept"] == PROTOBUF
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"ops:sesame").decode()


@pytest.mark.parametrize("status", [401, 403])
async def test_what_is_forbidden_is_an_answer(status: int) -> None:
    async with serving(saying(status, b"No.\n")) as url:
        client = OperatorClient(url, credential=Credential("ops", "sesame"))
        listed = await client.agents()
    assert listed == AgentsListed(None, refused=f"{url} answered {status}: No.")


async def test_a_standby_leads_to_the_leader() -> None:
    async with serving(saying(200, two_agents()), "/api/v1") as leader:
        location = leader.removeprefix("http:") + "/master/api/v1"
        async with serving(saying(307, Location=location)) as standby:
            listed = await OperatorClient(standby).agents()
    assert listed.agents is not None
    assert len(listed.agents) == 2


@pytest.mark.parametrize("status", [500, 503, 404, 400])
async def test_a_master_that_does_not_lead_is_an_error(status: int) -> None:
    async with serving(saying(status)) as url:
        with pytest.raises(MasterUnavailable, match=str(status)):
            await OperatorClient(url).agents()


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xff\xff"])
async def test_an_answer_that_is_no_list_is_an_error(body: bytes) -> None:
    async with serving(saying(200, body)) as url:
        with pytest.raises(MasterUnavailable):
            await OperatorClient(url).agents()


async def test_an_answer_that_does_not_come_is_an_error_in_time() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(handler) as url:
        with pytest.raises(MasterUnavailable, match=r"0\.1 s"):
            await OperatorClient(url, request_timeout_s=0.1).agents()


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"abc")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(handler) as url:
        with pytest.raises(MasterUnavailable):
            await OperatorClient(url).agents()


async def test_nobody_there_is_an_error_and_the_next_of_the_list_is_asked() -> None:
    async with serving(saying(200)) as gone:
        pass
    async with serving(saying(200, two_agents())) as url:
        client = OperatorClient([gone, url])
        with pytest.raises(MasterUnavailable) as failed:
            await client.agents()
        assert str(failed.value) == f"GET_AGENTS: {gone.partition('//')[2]}: Connection refused"
        assert (await client.agents()).agents is not None


# --- frameworks ----------------------------------------------------------------------------------


def three_frameworks() -> bytes:
    answer = master_pb2.Response(type=master_pb2.Response.GET_FRAMEWORKS)
    listed = answer.get_frameworks
    for name, active, several, roles in (
        ("ours", True, True, ["prod", "batch"]),
        ("old", True, False, ["prod"]),
        ("away", False, True, ["prod"]),
    ):
        shown = listed.frameworks.add(active=active, connected=active, recovered=False)
        info = shown.framework_info
        info.user, info.name = "root", name
        info.id.value = f"F-{name}"
        if several:
            info.capabilities.add(type=wire.FrameworkInfo.Capability.MULTI_ROLE)
            info.roles.extend(roles)
        else:
            info.role = roles[0]
    gone = listed.completed_frameworks.add(active=False, connected=False, recovered=False)
    gone.framework_info.user, gone.framework_info.name = "root", "gone"
    return answer.SerializeToString()


async def test_frameworks_are_listed_with_their_roles() -> None:
    async with serving(saying(200, three_frameworks())) as url:
        listed = await OperatorClient((url,)).frameworks()
    prod, several = Role("prod"), (Role("prod"), Role("batch"))
    assert listed == FrameworksListed(
        (
            FrameworkSeen(FrameworkId("F-ours"), "ours", several, True),
            FrameworkSeen(FrameworkId("F-old"), "old", (prod,), True),
            FrameworkSeen(FrameworkId("F-away"), "away", (prod,), False),
        )
    )


async def test_frameworks_that_may_not_be_listed_are_an_answer() -> None:
    async with serving(saying(403, b"not you")) as url:
        listed = await OperatorClient((url,)).frameworks()
    assert listed.frameworks is None
    assert "403: not you" in listed.refused


async def test_another_answer_is_no_list_of_frameworks() -> None:
    async with serving(saying(200, two_agents())) as url:
        with pytest.raises(MasterUnavailable, match="no list of frameworks"):
            await OperatorClient((url,)).frameworks()
