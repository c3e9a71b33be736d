"""A session and a daemon that follow real masters, which elect their leader through ZooKeeper."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from scheduler.core.events import Disconnected, OffersMade, Subscribed
from scheduler.mesos.codec import FrameworkSettings
from scheduler.mesos.discovery import open_candidates
from scheduler.mesos.operator import OperatorClient
from scheduler.mesos.session import MasterSession, SessionSettings
from tests.mesos.running import RunningSession
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_until
from tests.support.zookeeper import ensure_zookeeper

pytestmark = [pytest.mark.real_mesos, pytest.mark.timeout(180, func_only=True)]

FOLLOWED_S_MAX: Final = 15.0


@pytest.fixture(scope="module")
def mesos_build() -> Path:
    """Skips these tests where real Mesos cannot be built, or has no ZooKeeper to go with."""
    if missing := ensure_zookeeper():
        pytest.skip(f"no ZooKeeper: {missing}")
    try:
        return ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")


@pytest.fixture
def cluster(mesos_build: Path, tmp_path: Path) -> Iterator[RealCluster]:
    with RealCluster(mesos_build, tmp_path / "cluster") as cluster:
        yield cluster.start(agents=1, masters=3, zk=True)


def a_session(cluster: RealCluster) -> RunningSession:
    framework = FrameworkSettings(user="root", name="elected")
    return RunningSession(MasterSession(SessionSettings(cluster.zk_url, framework)))


async def test_a_session_outlives_zookeeper_and_follows_the_next_leader(
    cluster: RealCluster,
) -> None:
    async with a_session(cluster) as running:
        assert (await running.next(Subscribed)).master_url == cluster.master_url
        await running.next(OffersMade)
        listed = await OperatorClient(cluster.zk_url).agents()
        assert listed.agents is not None
        assert len(listed.agents) == 1

        cluster.kill_zookeeper()
        await asyncio.to_thread(cluster.start_zookeeper)
        # It serves again, and the masters' nodes have outlived it.
        back = await open_candidates(cluster.zk_url, tls=False).first()
        assert back.url() == await asyncio.to_thread(lambda: cluster.master_url)
        assert not any(isinstance(event, Disconnected) for event in running.events)

        killed = await asyncio.to_thread(cluster.kill_master)
        began = time.monotonic()
        await running.next(Disconnected)
        subscribed = await running.next(Subscribed)
        assert time.monotonic() - began < FOLLOWED_S_MAX
        assert subscribed.master_url != cluster.masters[killed]
        assert subscribed.master_url == await asyncio.to_thread(lambda: cluster.master_url)


def test_a_daemon_keeps_its_tasks_through_a_failover(cluster: RealCluster, tmp_path: Path) -> None:
    settings = {"master": cluster.zk_url, "framework": {"name": "elected", "user": "root"}}
    with DaemonProcess(tmp_path / "daemon", settings) as daemon:
        daemon.start()
        framework_id = daemon.wait_until_connected()
        job = tmp_path / "job.yaml"
        job.write_text(
            "{job: web, kind: service, command: exec sleep 1000,"
            " resources: {cpus: 0.1, mem: 32MiB}}"
        )
        assert daemon.command("apply", str(job), "--wait").returncode == 0
        before = daemon.api.get("/v1/tasks")["items"]

        killed = cluster.kill_master()
        began = time.monotonic()
        dead = cluster.masters[killed]

        def follows() -> bool:
            status = daemon.api.status()
            return bool(status["connected"]) and status["master"] != dead

        wait_until(follows, "the daemon to follow the next leader", FOLLOWED_S_MAX)
        assert time.monotonic() - began < FOLLOWED_S_MAX
        assert daemon.wait_until_connected() == framework_id

        def runs_on() -> bool:
            after = daemon.api.get("/v1/tasks")["items"]
            assert [task["id"] for task in after] == [task["id"] for task in before]
            return bool(after[0]["state"] == "running" and not daemon.api.status()["reconciling"])

        wait_until(runs_on, "the task to be reconciled", 30.0)
