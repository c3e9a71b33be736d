"""All agents and frameworks, as the master's operator API lists them.

Offers show an agent only when it has something free for us; this shows the others, too. It asks
when it is called: how often is the runtime's business. A master may forbid it to our principal,
which is an answer (`AgentsListed` without agents) and not an error.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeVar

import aiohttp
from google.protobuf.message import DecodeError

from scheduler.core.events import AgentsListed, FrameworkSeen, FrameworksListed
from scheduler.core.model.ids import AgentId, FrameworkId, Role
from scheduler.core.model.offer import AgentInfo, AgentSeen
from scheduler.core.model.resources import Amounts, PortRange, less, without
from scheduler.errors import MasterRefused, MasterUnavailable
from scheduler.mesos.access import Credential, authorization
from scheduler.mesos.address import MasterAddress, MasterSetting
from scheduler.mesos.codec_resources import (
    agent_url,
    attributes_of,
    fault_domain,
    sum_amounts,
    text,
)
from scheduler.mesos.discovery import open_candidates
from scheduler.mesos.failures import why_not
from scheduler.mesos.proto import master_pb2
from scheduler.mesos.proto import mesos_v1_pb2 as wire

OPERATOR_PATH: Final = "/api/v1"
PROTOBUF: Final = "application/x-protobuf"
REQUEST_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10.0
# 100,000 agents with many attributes; a larger answer is no list of agents.
ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
_READ_BYTES: Final = 256 * 1024
_REFUSAL_TEXT_MAX: Final = 300

Scheme = Literal["http", "https"]
T = TypeVar("T")


class OperatorClient:
    """Asks the leading master. `credential` is the operator's, not the framework's."""

    def __init__(
        self,
        master: MasterSetting,
        *,
        credential: Credential | None = None,
        tls: ssl.SSLContext | None = None,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Raises `SettingsError` for a `master` that cannot be used."""
        self._candidates = open_candidates(master, tls=tls is not None)
        self._headers = {
            "Content-Type": PROTOBUF,
            "Accept": PROTOBUF,
            **authorization(credential),
        }
        self._tls = tls
        self._request_timeout_s = request_timeout_s

    async def agents(self) -> AgentsListed:
        """Every agent that the master knows, or why it does not tell.

        Raises `MasterUnavailable` when no leading master answers within the request's deadline, or
        is known.
        """
        try:
            return await self._listed(master_pb2.Call.GET_AGENTS, _agents)
        except MasterRefused as error:
            return AgentsListed(None, refused=str(error))

    async def frameworks(self) -> FrameworksListed:
        """Every framework that is registered and that we may see; raises as `agents`."""
        try:
            return await self._listed(master_pb2.Call.GET_FRAMEWORKS, _frameworks)
        except MasterRefused as error:
            return FrameworksListed(None, refused=str(error))

    async def _listed(
        self,
        kind: master_pb2.Call.Type,
        decode: Callable[[master_pb2.Response, Scheme], T],
    ) -> T:
        name = master_pb2.Call.Type.Name(kind)
        try:
            async with asyncio.timeout(self._request_timeout_s):
                address, body = await self._ask(kind)
                # Tens of milliseconds for thousands of agents: not in the loop.
                return await asyncio.to_thread(_decode, name, body, address.scheme, decode)
        except aiohttp.ClientError as error:  # first: its own time-outs are TimeoutErrors, too
            where = ""
            if isinstance(error, aiohttp.ClientConnectorError):
                where = f"{error.host}:{error.port}: "
            raise MasterUnavailable(f"{name}: {where}{why_not(error)}") from error
        except TimeoutError:
            raise MasterUnavailable(
                f"no answer to {name} within {self._request_timeout_s:g} s"
            ) from None
        except OSError as error:
            raise MasterUnavailable(f"{name}: {error}") from error

    async def _ask(self, kind: master_pb2.Call.Type) -> tuple[MasterAddress, bytes]:
        call = master_pb2.Call(type=kind).SerializeToString()
        connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True, force_close=True
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as http:
            address = await self._candidates.first()
            while True:
                async with http.post(
                    address.url(OPERATOR_PATH), data=call, allow_redirects=False
                ) as response:
                    if response.status != 307:
                        return address, await self._read(address, response, kind)
                    location = response.headers.get("Location", "")
                address = self._candidates.redirected(address, location)

    async def _read(
        self,
        address: MasterAddress,
        response: aiohttp.ClientResponse,
        kind: master_pb2.Call.Type,
    ) -> bytes:
        body = await _body(response)
        match response.status:
            case 200:
                self._candidates.leads(address)
                return body
            case 401 | 403 as status:
                said = body[:_REFUSAL_TEXT_MAX].decode("utf-8", "replace").strip()
                self._candidates.leads(address)
                raise MasterRefused(f"{address} answered {status}: {said}")
            case status:
                name = master_pb2.Call.Type.Name(kind)
                raise MasterUnavailable(f"{address} answered {status} to {name}")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for data in response.content.iter_chunked(_READ_BYTES):
        body += data
        if len(body) > ANSWER_BYTES_MAX:
            raise MasterUnavailable(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _decode(
    name: str, body: bytes, scheme: Scheme, decode: Callable[[master_pb2.Response, Scheme], T]
) -> T:
    try:
        answer = master_pb2.Response.FromString(body)
    except DecodeError as error:
        raise MasterUnavailable(f"the answer to {name} cannot be read: {error}") from error
    return decode(answer, scheme)


def _frameworks(answer: master_pb2.Response, _scheme: Scheme) -> FrameworksListed:
    if not answer.HasField("get_frameworks"):
        raise MasterUnavailable("the master's answer is no list of frameworks")
    return FrameworksListed(tuple(map(_framework_seen, answer.get_frameworks.frameworks)))


def _framework_seen(
    framework: master_pb2.Response.GetFrameworks.Framework,
) -> FrameworkSeen:
    """`roles` is set by frameworks that can have several, `role` by the others."""
    info = framework.framework_info
    several = wire.FrameworkInfo.Capability.MULTI_ROLE in {one.type for one in info.capabilities}
    roles = info.roles if several else [info.role]
    return FrameworkSeen(
        FrameworkId(info.id.value),
        text(info.name),
        tuple(Role(text(role)) for role in roles),
        framework.active,
    )


def _agents(answer: master_pb2.Response, scheme: Scheme) -> AgentsListed:
    if not answer.HasField("get_agents"):
        raise MasterUnavailable("the master's answer is no list of agents")
    listed = answer.get_agents
    seen = [_agent_seen(agent, scheme) for agent in listed.agents]
    seen += [_recovered(info, scheme) for info in listed.recovered_agents]
    return AgentsListed(tuple(seen))


def _agent_seen(agent: master_pb2.Response.GetAgents.Agent, scheme: Scheme) -> AgentSeen:
    ip, port = _pid_address(text(agent.pid))
    return AgentSeen(
        agent=_agent_info(agent.agent_info, scheme, ip, port),
        active=agent.active,
        total=sum_amounts(agent.total_resources),
        used=sum_amounts(agent.allocated_resources),
        offered=sum_amounts(agent.offered_resources),
        reserved=_unused_reservations(agent.total_resources, agent.allocated_resources),
        free_ports=without(_ports(agent.total_resources), _ports(agent.allocated_resources)),
    )


def _ports(resources: Iterable[wire.Resource]) -> list[PortRange]:
    return [
        PortRange(one.begin, one.end)
        for resource in resources
        if resource.name == "ports" and resource.type == wire.Value.RANGES
        for one in resource.ranges.range
    ]


def _unused_reservations(
    total: Iterable[wire.Resource], used: Iterable[wire.Resource]
) -> tuple[tuple[Role, Amounts], ...]:
    """By role, what is reserved for it (the last reservation of a stack owns) and not in use."""
    reserved, taken = _by_reservation(total), _by_reservation(used)
    left = {role: less(amounts, taken.get(role, Amounts())) for role, amounts in reserved.items()}
    return tuple((role, amounts) for role, amounts in left.items() if amounts != Amounts())


def _by_reservation(resources: Iterable[wire.Resource]) -> dict[Role, Amounts]:
    grouped: defaultdict[Role, list[wire.Resource]] = defaultdict(list)
    for resource in resources:
        if resource.reservations:
            grouped[Role(text(resource.reservations[-1].role))].append(resource)
    return {role: sum_amounts(those) for role, those in grouped.items()}


def _recovered(info: wire.AgentInfo, scheme: Scheme) -> AgentSeen:
    """An agent of the registry that has not come back since the master's failover."""
    return AgentSeen(
        agent=_agent_info(info, scheme, "", info.port),
        active=False,
        total=sum_amounts(info.resources),
        used=Amounts(),
        offered=Amounts(),
    )


def _agent_info(info: wire.AgentInfo, scheme: Scheme, ip: str, port: int) -> AgentInfo:
    hostname = text(info.hostname)
    region, zone = fault_domain(info.domain)
    return AgentInfo(
        agent_id=AgentId(info.id.value),
        hostname=hostname,
        # The list has no scheme: a cluster with TLS has it everywhere.
        url=agent_url(scheme, hostname=hostname, ip=ip, port=port),
        attributes=attributes_of(info.attributes),
        region=region,
        zone=zone,
    )


def _pid_address(pid: str) -> tuple[str, int]:
    """`slave(1)@10.0.0.9:5051` → ip and port; empty and 0 for what is not of that form."""
    ip, colon, port = pid.rpartition("@")[2].rpartition(":")
    if not (colon and port.isascii() and port.isdigit() and len(port) <= 5):
        return "", 0
    return ip.strip("[]"), int(port)
