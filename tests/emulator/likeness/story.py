"""One framework's life, told to a master step by step; what it heard at each step.

Ids, times and message texts are left out, and the order inside one step: updates of different
tasks have none. Statuses are shown with the names of all members that are set.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from tests.emulator.http.client import JSON, SUBSCRIBE, Framework, subscribed

QUIET_S = 1.5  # longer than an allocation interval: what a step frees is offered within it
UPDATE_DEADLINE_S = 15.0
SHOWN = ("state", "source", "reason", "healthy")
Event = dict[str, Any]
Step = tuple[str, list[str]]


class Story:
    def __init__(self, web: aiohttp.ClientSession) -> None:
        self._web = web
        self.steps: list[Step] = []
        self.offers: list[Event] = []

    async def heard(self, framework: Framework, title: str, until: str | None = None) -> None:
        """Listens until nothing comes for a while (or this state came); notes what came."""
        lines: list[str] = []
        deadline_s = UPDATE_DEADLINE_S if until else QUIET_S
        while True:
            try:
                event = await asyncio.wait_for(framework.next(), deadline_s)
            except TimeoutError:
                break
            except (EOFError, aiohttp.ClientPayloadError):
                lines.append("EOF")
                break
            lines.extend(self._lines(event))
            status = event.get("update", {}).get("status", {})
            if "uuid" in status:
                await acknowledge(framework, status)
            if until == status.get("state", "none"):
                deadline_s = QUIET_S
        self.steps.append((title, sorted(lines)))

    def _lines(self, event: Event) -> list[str]:
        match event["type"]:
            case "HEARTBEAT":
                return []
            case "OFFERS":
                self.offers = event["offers"]["offers"]
                return [f"OFFER {shown_resources(offer)}" for offer in self.offers]
            case "UPDATE":
                status = event["update"]["status"]
                shown = " ".join(f"{name}={status[name]}" for name in SHOWN if name in status)
                # Only a real task has a process.
                members = sorted(set(status) - set(SHOWN))
                return [f"UPDATE {status['task_id']['value']} {shown} {members}"]
            case "ERROR":
                return [f"ERROR {event['error']['message']}"]
            case kind:
                return [f"{kind} {sorted(event.get(kind.lower(), {}))}"]


async def tell(
    web: aiohttp.ClientSession,
    lose: Callable[[], Awaitable[None]],
    come_back: Callable[[], Awaitable[None]],
    replace: Callable[[], Awaitable[None]],
) -> list[Step]:
    """The whole story on a cluster of one agent with 4 cpus, whose pings go every second."""
    story = Story(web)
    async with subscribed(web, JSON) as first:
        await first_life(story, first)
        again = {**SUBSCRIBE, "framework_id": first.framework_id}
        info = {**SUBSCRIBE["subscribe"]["framework_info"], "id": first.framework_id}
        again["subscribe"] = {"framework_info": info, "suppressed_roles": ["web"]}
        agent = story.offers[0]["agent_id"]
        async with subscribed(web, JSON, again) as second:
            await story.heard(first, "thrown out")
            await story.heard(second, "subscribed again")
            await lose()
            await story.heard(second, "agent lost", "TASK_UNREACHABLE")
            await kill(second, "t1", agent)
            await kill(second, "t1", None)
            await reconcile(second)
            await story.heard(second, "unreachable: kills and implicit reconciliation")
            await come_back()
            await story.heard(second, "agent back", "TASK_RUNNING")
            await kill(second, "t1", agent)
            await story.heard(second, "killed", "TASK_KILLED")
            await reconcile(second, ("t1", agent))
            await story.heard(second, "reconciled after the end")
            await second.call({"type": "REVIVE"})
            await story.heard(second, "revived")
            await launch(second, story.offers[0], [task(agent, "t2")])
            await story.heard(second, "launched again", "TASK_RUNNING")
            await replace()
            await story.heard(second, "agent replaced", "TASK_LOST")
            await second.call({"type": "TEARDOWN"})
            await story.heard(second, "torn down")
    return story.steps


async def tell_failover(
    web: aiohttp.ClientSession, fail_over: Callable[[], Awaitable[None]]
) -> list[Step]:
    """A master dies between two updates of a task; the framework subscribes to the next one."""
    story = Story(web)
    async with subscribed(web, JSON) as first:
        await story.heard(first, "subscribed")
        agent = story.offers[0]["agent_id"]
        await launch(first, story.offers[0], [task(agent, "t1"), task(agent, "t2")])
        await story.heard(first, "launched", "TASK_RUNNING")
        await launch(first, story.offers[0], [task(agent, "t3")])
        await first.next("UPDATE")  # not acknowledged
        again = {**SUBSCRIBE, "framework_id": first.framework_id}
        info = {**SUBSCRIBE["subscribe"]["framework_info"], "id": first.framework_id}
        again["subscribe"] = {"framework_info": info}
        await fail_over()
        await story.heard(first, "master gone")
    async with subscribed(web, JSON, again) as second:
        await story.heard(second, "subscribed to the next master", "TASK_RUNNING")
        await reconcile(second, ("t1", agent), ("t3", agent), ("never", agent))
        await story.heard(second, "reconciled")
        await second.call({"type": "TEARDOWN"})
        await story.heard(second, "torn down")
    return story.steps


async def tell_of_revocable(web: aiohttp.ClientSession) -> list[Step]:
    """The agent has 2 revocable cpus besides its own; one framework takes such, one does not."""
    story = Story(web)
    async with subscribed(web, JSON) as plain:
        await story.heard(plain, "subscribed without the capability")
        await plain.call({"type": "TEARDOWN"})
        await story.heard(plain, "torn down")
    info = SUBSCRIBE["subscribe"]["framework_info"]
    capabilities = [*info["capabilities"], {"type": "REVOCABLE_RESOURCES"}]
    able = {"subscribe": {"framework_info": {**info, "capabilities": capabilities}}}
    async with subscribed(web, JSON, {**SUBSCRIBE, **able}) as borrowing:
        await story.heard(borrowing, "subscribed with it")
        agent = story.offers[0]["agent_id"]
        tasks = [
            on(agent, "spare", spare(1.5)),
            on(agent, "too-much", spare(1.0)),
            on(agent, "mixed", spare(0.1), scalar("cpus", 0.1)),
            on(agent, "plain", scalar("cpus", 4.0)),
            on(agent, "other-name", scalar("cpus_revocable", 0.1)),
        ]
        await launch(borrowing, story.offers[0], tasks)
        await story.heard(borrowing, "launched", "TASK_RUNNING")
        await borrowing.call({"type": "TEARDOWN"})
        await story.heard(borrowing, "torn down")
    return story.steps


def on(agent: Event, task_id: str, *cpus: Event) -> Event:
    return {**task(agent, task_id), "resources": [*cpus, scalar("mem", 32.0)]}


def spare(cpus: float) -> Event:
    return {**scalar("cpus", cpus), "revocable": {}}


async def first_life(story: Story, framework: Framework) -> None:
    await story.heard(framework, "subscribed")
    offer = story.offers[0]
    agent = offer["agent_id"]
    await launch(framework, offer, tasks_good_and_bad(agent))
    await story.heard(framework, "launched", "TASK_RUNNING")
    await launch(framework, offer, [task(agent, "again")])
    await story.heard(framework, "a used offer")
    await framework.call({"type": "DECLINE", "decline": {"offer_ids": [{"value": "none"}]}})
    await story.heard(framework, "an unknown offer declined")
    bad = task(agent, "malformed", cpus=-1.0)
    await launch(framework, story.offers[0], [task(agent, "beside"), bad])
    await story.heard(framework, "malformed resources")
    await framework.call({"type": "SUPPRESS"})
    nobody = {"value": "no-such-agent"}
    asked = ("t1", agent), ("other", agent), ("other", nobody), ("other", None)
    await reconcile(framework, *asked)
    await story.heard(framework, "reconciled")
    await reconcile(framework)
    await story.heard(framework, "reconciled implicitly")
    await kill(framework, "other", agent)
    await kill(framework, "t1", nobody)
    await story.heard(framework, "killed unknown tasks")


def tasks_good_and_bad(agent: Event) -> list[Event]:
    http = {"port": 1, "path": "x"}
    return [
        task(agent, "t1"),
        task(agent, "t1"),
        {**task(agent, "no-resources"), "resources": []},
        task(agent, "too-much", cpus=1000.0),
        task(agent, "a/b"),
        task(agent, "x" * 256),
        task({"value": "other"}, "wrong-agent"),
        {key: value for key, value in task(agent, "no-command").items() if key != "command"},
        {**task(agent, "kill-policy"), "kill_policy": {"grace_period": {"nanoseconds": -1}}},
        {**task(agent, "health"), "health_check": {"http": http}},
        {**task(agent, "check"), "check": {"type": "COMMAND"}},
        {**task(agent, "limit-disk"), "limits": {"disk": {"value": 1}}},
        {**task(agent, "limit-low"), "limits": {"cpus": {"value": 0.1}}},
        {**task(agent, "volumes"), "container": container(volumes=[volume(host_path=None)])},
        {**task(agent, "docker"), "container": {"type": "DOCKER"}},
        {**task(agent, "variable"), "command": command({"name": "A", "type": "SECRET"})},
        {**task(agent, "foreign-role"), "resources": [{**scalar("cpus", 0.1), "role": "web"}]},
    ]


def task(agent: Event, task_id: str, cpus: float = 0.5) -> Event:
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": agent,
        "resources": [scalar("cpus", cpus), scalar("mem", 32.0)],
        "command": {"value": "sleep 1000"},
    }


def scalar(name: str, value: float) -> Event:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def container(**members: Any) -> Event:
    return {"type": "MESOS", "mesos": {}, **members}


def volume(**members: Any) -> Event:
    return {"mode": "RW", "container_path": "data", **members}


def command(variable: Event) -> Event:
    return {"value": "true", "environment": {"variables": [variable]}}


def shown_resources(offer: Event) -> str:
    scalars = {
        one["name"] + ("_revocable" if "revocable" in one else ""): one["scalar"]["value"]
        for one in offer["resources"]
        if "scalar" in one
    }
    return json.dumps({**scalars, "role": offer["allocation_info"]["role"]}, sort_keys=True)


async def launch(framework: Framework, offer: Event, tasks: list[Event]) -> None:
    operations = [{"type": "LAUNCH", "launch": {"task_infos": tasks}}]
    filters = {"refuse_seconds": 0.0}
    accept = {"offer_ids": [offer["id"]], "operations": operations, "filters": filters}
    assert await framework.call({"type": "ACCEPT", "accept": accept}) == 202


async def acknowledge(framework: Framework, status: Event) -> None:
    members = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
    assert await framework.call({"type": "ACKNOWLEDGE", "acknowledge": members}) == 202


async def kill(framework: Framework, task_id: str, agent: Event | None) -> None:
    named = {"task_id": {"value": task_id}, "agent_id": agent}
    assert await framework.call({"type": "KILL", "kill": named}) == 202


async def reconcile(framework: Framework, *asked: tuple[str, Event | None]) -> None:
    tasks = [{"task_id": {"value": task_id}, "agent_id": agent} for task_id, agent in asked]
    assert await framework.call({"type": "RECONCILE", "reconcile": {"tasks": tasks}}) == 202
