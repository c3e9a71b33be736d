"""Our executors, containerizer and fetcher do what the agent and a framework expect of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real_mesos.cluster import RealCluster
from tests.real_mesos.hand_made_scheduler import HandMadeScheduler, Message
from tests.real_mesos.launcher.checks import HealthRule
from tests.real_mesos.launcher.settings import duration_s

MakeCluster = Callable[[], RealCluster]
SECOND_NS = 1_000_000_000


@pytest.fixture
def cluster(real_cluster: MakeCluster) -> RealCluster:
    """A cluster of one agent."""
    return real_cluster().start(agents=1)


@pytest.fixture
def scheduler(cluster: RealCluster) -> Iterator[HandMadeScheduler]:
    """A framework that has subscribed."""
    with HandMadeScheduler(cluster.master_url) as subscribed:
        assert subscribed.subscribe() == 200
        yield subscribed


@pytest.mark.real_mesos
def test_a_killed_task_says_killing_and_then_killed(scheduler: HandMadeScheduler) -> None:
    scheduler.launch(scheduler.wait_for_offers()[0], "sleeper", "sleep 100")
    scheduler.wait_for_state("sleeper", "TASK_RUNNING")
    scheduler.kill("sleeper")
    scheduler.wait_for_state("sleeper", "TASK_KILLING")
    scheduler.wait_for_state("sleeper", "TASK_KILLED")


@pytest.mark.real_mesos
def test_a_task_that_ignores_sigterm_is_killed_after_its_grace(
    scheduler: HandMadeScheduler,
) -> None:
    offer = scheduler.wait_for_offers()[0]
    policy = {"grace_period": {"nanoseconds": SECOND_NS // 5}}
    command = "trap '' TERM; echo ready >ready; while :; do sleep 0.1; done"
    health = _command_health_check("test -e ready", failures=50)
    scheduler.launch(offer, "deaf", command, kill_policy=policy, health_check=health)
    scheduler.wait_for(lambda event: _status(event).get("healthy") is True)
    scheduler.kill("deaf")
    killed = scheduler.wait_for_state("deaf", "TASK_KILLED")
    assert killed["message"] == "Command terminated with signal Killed"


@pytest.mark.real_mesos
def test_an_unhealthy_task_is_reported_and_killed(scheduler: HandMadeScheduler) -> None:
    offer = scheduler.wait_for_offers()[0]
    check = _command_health_check("false", failures=2)
    scheduler.launch(offer, "sick", "sleep 100", health_check=check)
    killed = scheduler.wait_for_state("sick", "TASK_KILLED")
    assert killed["healthy"] is False


@pytest.mark.real_mesos
def test_a_task_over_its_completion_time_fails_with_that_reason(
    scheduler: HandMadeScheduler,
) -> None:
    offer = scheduler.wait_for_offers()[0]
    limit = {"nanoseconds": SECOND_NS // 5}
    scheduler.launch(offer, "slow", "sleep 100", max_completion_time=limit)
    failed = scheduler.wait_for_state("slow", "TASK_FAILED")
    assert failed["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"


@pytest.mark.real_mesos
def test_a_command_that_does_not_exist_fails_to_launch(scheduler: HandMadeScheduler) -> None:
    command = {"shell": False, "value": "/no/such/program"}
    scheduler.launch(scheduler.wait_for_offers()[0], "typo", command)
    failed = scheduler.wait_for_state("typo", "TASK_FAILED")
    assert failed["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"


@pytest.mark.real_mesos
def test_a_pod_ends_with_its_first_failed_task(scheduler: HandMadeScheduler) -> None:
    offer = scheduler.wait_for_offers()[0]
    scheduler.launch_pod(offer, "pod", {"app": "sleep 100", "sidecar": "exit 1"})
    ends: set[tuple[str, str]] = set()
    while len(ends) < 2:
        status = _status(scheduler.wait_for(lambda event: event["type"] == "UPDATE"))
        if status["state"] in ("TASK_FAILED", "TASK_KILLED", "TASK_FINISHED"):
            ends.add((status["task_id"]["value"], status["state"]))
    assert ends == {("sidecar", "TASK_FAILED"), ("app", "TASK_KILLED")}


@pytest.mark.real_mesos
def test_artifacts_and_environment_are_there_when_the_task_starts(
    cluster: RealCluster, scheduler: HandMadeScheduler, tmp_path: Path
) -> None:
    artifact = tmp_path / "greeting.sh"
    artifact.write_text('echo "$GREETING, world"\n')
    command = {
        "value": "./greeting.sh",
        "uris": [{"value": f"file://{artifact}", "executable": True}],
        "environment": {"variables": [{"name": "GREETING", "value": "hello"}]},
    }
    scheduler.launch(scheduler.wait_for_offers()[0], "greeter", command)
    scheduler.wait_for_state("greeter", "TASK_FINISHED")
    (sandbox,) = cluster.sandboxes("greeter")
    assert (sandbox / "stdout").read_text() == "hello, world\n"


def test_failures_within_the_grace_period_count_only_after_a_success() -> None:
    now = 0.0
    rule = HealthRule({"grace_period_seconds": 10.0, "consecutive_failures": 2}, lambda: now)

    assert not rule.reports(healthy=False)
    assert rule.reports(healthy=True)
    assert not rule.reports(healthy=True)
    assert rule.reports(healthy=False)
    assert not rule.gives_up()
    assert rule.reports(healthy=False)
    assert rule.gives_up()


def test_failures_after_the_grace_period_count_without_a_success() -> None:
    now = 0.0
    rule = HealthRule({"grace_period_seconds": 10.0, "consecutive_failures": 1}, lambda: now)

    now = 10.0
    assert rule.reports(healthy=False)
    assert rule.gives_up()


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("15mins", 900.0), ("250ms", 0.25), ("1.5hrs", 5400.0), (None, 7.0), ("soon", 7.0)],
)
def test_durations_are_read_as_mesos_writes_them(text: str | None, expected_s: float) -> None:
    assert duration_s(text, default_s=7.0) == pytest.approx(expected_s)


def _status(event: Message) -> Message:
    status: Message = event.get("update", {}).get("status", {})
    return status


def _command_health_check(command: str, failures: int) -> Message:
    return {
        "type": "COMMAND",
        "command": {"value": command},
        "delay_seconds": 0.0,
        "interval_seconds": 0.1,
        "grace_period_seconds": 0.0,
        "consecutive_failures": failures,
    }
