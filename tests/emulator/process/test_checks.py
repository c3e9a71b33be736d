"""Health checks and checks: the rule alone, and real tasks that turn healthy and unhealthy."""

import socket
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from scheduler.emulator.process.checks import HealthRule
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import CheckInfo, HealthCheck, TaskStatus
from tests.emulator.process.agents import Agent, eventually, lives

HEALTH = TaskStatus.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
CHECK = TaskStatus.REASON_TASK_CHECK_STATUS_UPDATED
SOON = "delay_seconds: 0 interval_seconds: 0.05 timeout_seconds: 5"
QUICK = f"{SOON} grace_period_seconds: 0"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def health_news(agent: Agent) -> list[bool | None]:
    return [one.healthy for one in agent.of("t") if one.reason == HEALTH]


# -- the rule


def a_rule(grace_s: float = 0.0, failures: int = 3) -> HealthRule:
    check = HealthCheck(grace_period_seconds=grace_s, consecutive_failures=failures)
    return HealthRule(check, launched_at=100.0)


def test_the_first_success_is_news_and_the_next_is_not() -> None:
    rule = a_rule()
    assert [rule.reports(True, 101.0), rule.reports(True, 102.0)] == [True, False]


def test_failures_within_the_grace_do_not_count() -> None:
    rule = a_rule(grace_s=10.0, failures=1)
    assert not rule.reports(False, 109.9)
    assert not rule.gives_up()
    assert rule.reports(False, 110.0)
    assert rule.gives_up()


def test_a_success_ends_the_grace() -> None:
    rule = a_rule(grace_s=10.0, failures=1)
    assert rule.reports(True, 101.0)
    assert rule.reports(False, 102.0)
    assert rule.gives_up()


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_it_gives_up_exactly_after_so_many_failures_in_a_row(
    looks: list[bool], failures: int
) -> None:
    rule = a_rule(failures=failures)
    for number, healthy in enumerate(looks, start=1):
        news = rule.reports(healthy, 100.0 + number)
        before = looks[: number - 1]
        assert news == (not healthy or not before or not before[-1])
        assert rule.gives_up() == (number >= failures and not any(looks[:number][-failures:]))


# -- tasks


async def test_a_healthy_task_is_told_once_and_later_updates_keep_it(agent: Agent) -> None:
    agent.launch(
        "t",
        "exec sleep 600",
        f'health_check {{ type: COMMAND {QUICK} command {{ value: "true" }} }}',
    )
    await eventually(lambda: health_news(agent) == [True])
    assert agent.of("t")[-1].state == mesos.TASK_RUNNING
    agent.kill("t")
    assert (await agent.ended("t")).healthy is True
    assert health_news(agent) == [True]


async def test_a_task_that_turns_unhealthy_is_killed(agent: Agent) -> None:
    check = f'type: COMMAND {QUICK} consecutive_failures: 2 command {{ value: "test -e fine" }}'
    agent.launch("t", "touch fine; exec sleep 600", f"health_check {{ {check} }}")
    await eventually(lambda: True in health_news(agent))
    (agent.sandbox("t") / "fine").unlink()
    last = await agent.ended("t")
    assert health_news(agent)[-3:] == [True, False, False]
    assert agent.states("t")[-2:] == ["TASK_KILLING", "TASK_KILLED"]
    assert (last.healthy, last.reason) == (False, None)


async def test_a_task_that_never_gets_healthy_is_killed_after_its_grace(agent: Agent) -> None:
    check = f'type: COMMAND {SOON} grace_period_seconds: 0.3 command {{ value: "false" }}'
    agent.launch("t", "exec sleep 600", f"health_check {{ {check} }}")
    assert (await agent.ended("t")).state == mesos.TASK_KILLED
    assert health_news(agent) == [False, False, False]


async def test_times_that_make_no_sense_harm_nobody(agent: Agent) -> None:
    times = "delay_seconds: nan interval_seconds: -1 timeout_seconds: nan grace_period_seconds: nan"
    check = f'type: COMMAND {times} command {{ value: "true" }}'
    agent.launch("t", "exec sleep 600", f"health_check {{ {check} }}")
    await eventually(lambda: health_news(agent) == [True])


async def test_a_check_that_hangs_counts_as_a_failure_and_leaves_nothing(agent: Agent) -> None:
    hang = 'command { value: "sleep 600 & sleep 600" }'
    check = f"type: COMMAND {QUICK} timeout_seconds: 0.2 consecutive_failures: 1 {hang}"
    agent.launch("t", "exec sleep 600", f"health_check {{ {check} }}")
    last = await agent.ended("t")
    assert (last.state, last.healthy) == (mesos.TASK_KILLED, False)


async def test_the_end_of_a_hanging_check_spares_what_the_task_started(agent: Agent) -> None:
    hang = 'command { value: "exec sleep 600" }'
    check = f"type: COMMAND {QUICK} timeout_seconds: 0.2 consecutive_failures: 0 {hang}"
    daemon = "setsid sh -c 'sleep 600 & echo $! > note'; exec sleep 600"
    agent.launch("t", daemon, f"health_check {{ {check} }}")
    await eventually(lambda: len(health_news(agent)) >= 3)
    daemon_pid = int((agent.sandbox("t") / "note").read_text())
    assert lives(daemon_pid)
    agent.kill("t")
    await agent.ended("t")
    await eventually(lambda: not lives(daemon_pid))


async def test_a_check_ends_with_its_task(agent: Agent) -> None:
    check = f'type: COMMAND {QUICK} command {{ value: "touch seen; exec sleep 600" }}'
    agent.launch("t", "until [ -e seen ]; do sleep 0.02; done", f"health_check {{ {check} }}")
    assert (await agent.ended("t")).state == mesos.TASK_FINISHED


async def test_a_check_sees_the_sandbox_and_the_tasks_environment(agent: Agent) -> None:
    variables = 'command { environment { variables { name: "WORD" value: "said" } } }'
    own = 'environment { variables { name: "OWN" value: "own" } }'
    look = f'command {{ value: "pwd >&2; echo $WORD $OWN" {own} }}'
    agent.launch(
        "t", "exec sleep 600", f"{variables} health_check {{ type: COMMAND {QUICK} {look} }}"
    )
    await eventually(lambda: health_news(agent) == [True])
    lines = (agent.sandbox("t") / "stderr").read_text().splitlines()
    assert lines[:2] == [str(agent.sandbox("t")), "said own"]
    assert agent.stdout("t") == ""


async def test_http_is_healthy_while_a_server_of_the_task_answers(agent: Agent) -> None:
    port = free_port()
    serve = f"exec {sys.executable} -m http.server --bind 127.0.0.1 {port}"
    http = f'http {{ port: {port} path: "/stdout" scheme: "http" }}'
    check = f"type: HTTP {SOON} grace_period_seconds: 60 {http}"
    agent.launch("t", serve, f"health_check {{ {check} }}")
    await eventually(lambda: health_news(agent) == [True])


@pytest.fixture
async def site() -> AsyncIterator[int]:
    """The port of a server on the loopback address, as checks ask there."""

    async def answer(request: web.Request) -> web.Response:
        status = int(request.match_info["status"])
        where = {"Location": request.query["to"]} if "to" in request.query else {}
        return web.Response(status=status, headers=where)

    application = web.Application()
    application.add_routes([web.get("/{status}", answer)])
    server = web.AppRunner(application, shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    yield server.addresses[0][1]
    await server.cleanup()


@pytest.mark.parametrize(
    ("path", "healthy"),
    [
        ("/200", True),
        ("/204", True),
        ("/304", True),
        ("/404", False),
        ("/500", False),
        ("/302?to=/200", True),
        ("/302?to=/503", False),
    ],
)
async def test_200_to_399_are_healthy_and_redirects_are_followed(
    agent: Agent, site: int, path: str, healthy: bool
) -> None:
    check = f'type: HTTP {QUICK} http {{ port: {site} path: "{path}" }}'
    agent.launch("t", "exec sleep 600", f"health_check {{ {check} }}")
    await eventually(lambda: healthy in health_news(agent))


async def test_tcp_is_healthy_where_something_listens(agent: Agent, site: int) -> None:
    agent.launch(
        "t", "exec sleep 600", f"health_check {{ type: TCP {QUICK} tcp {{ port: {site} }} }}"
    )
    await eventually(lambda: health_news(agent) == [True])


@pytest.mark.parametrize("port", [1, 70_000])
@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_a_port_where_nothing_listens_is_unhealthy(
    agent: Agent, kind: str, port: int
) -> None:
    check = f"type: {kind.upper()} {QUICK} consecutive_failures: 1 {kind} {{ port: {port} }}"
    agent.launch("t", "exec sleep 600", f"health_check {{ {check} }}")
    assert (await agent.ended("t")).healthy is False


async def test_a_check_tells_changes_and_never_kills(agent: Agent) -> None:
    look = 'command { command { value: "exit $(cat code)" } }'
    agent.launch("t", "echo 3 > code; exec sleep 600", f"check {{ type: COMMAND {SOON} {look} }}")
    await eventually(lambda: codes(agent)[-1:] == [3])
    (agent.sandbox("t") / "code").write_text("4")
    await eventually(lambda: codes(agent)[-1:] == [4])
    first = agent.of("t")[0].check_status
    assert first is not None
    assert first.type == CheckInfo.COMMAND
    assert first.HasField("command")
    assert not first.command.HasField("exit_code")
    assert "TASK_KILLING" not in agent.states("t")


def codes(agent: Agent) -> list[int]:
    told = [one.check_status for one in agent.of("t") if one.reason == CHECK]
    return [one.command.exit_code for one in told if one is not None]


async def test_checks_by_http_and_tcp_tell_what_they_saw(agent: Agent, site: int) -> None:
    agent.launch(
        "t", "exec sleep 600", f'check {{ type: HTTP {SOON} http {{ port: {site} path: "/418" }} }}'
    )
    agent.launch("u", "exec sleep 600", f"check {{ type: TCP {SOON} tcp {{ port: {site} }} }}")
    await eventually(
        lambda: {one.task_id for one in agent.statuses if one.reason == CHECK} == {"t", "u"}
    )
    by_http, by_tcp = agent.of("t")[-1].check_status, agent.of("u")[-1].check_status
    assert by_http is not None
    assert by_tcp is not None
    assert by_http.http.status_code == 418
    assert by_tcp.tcp.succeeded


async def test_checking_stops_during_a_kill(agent: Agent) -> None:
    task = "trap '' TERM; while :; do sleep 0.05; done"
    look = 'command { value: "echo looked" }'
    agent.launch("t", task, f"health_check {{ type: COMMAND {QUICK} {look} }}")
    await eventually(lambda: health_news(agent) == [True])
    agent.kill("t", 0.5)
    await agent.said("t", mesos.TASK_KILLING)
    (agent.sandbox("t") / "stderr").write_text("")
    await agent.ended("t")
    assert (agent.sandbox("t") / "stderr").read_text().count("looked") <= 1
