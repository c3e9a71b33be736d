"""The session and the operator client find their master through a real ZooKeeper.

The masters are fakes whose nodes the tests add and remove, so that what ZooKeeper tells and what a
master does can differ. What must hold: the lowest number leads, another leader is followed at once,
and nothing that happens to ZooKeeper itself takes a standing stream down.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from scheduler.core.events import Disconnected, Subscribed
from scheduler.errors import MasterRefused, MasterUnavailable
from scheduler.mesos.codec import FrameworkSettings
from scheduler.mesos.discovery import open_candidates
from scheduler.mesos.operator import OperatorClient
from scheduler.mesos.session import MasterSession, SessionLimits, SessionSettings
from scheduler.mesos.stream import StreamLimits
from tests.mesos import fake_master
from tests.mesos.fake_master import FakeMaster, subscribed
from tests.mesos.running import RunningSession
from tests.mesos.test_operator import saying, serving, two_agents
from tests.support.zookeeper import HOST, Nodes, ZooKeeperServer, ensure_zookeeper

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(90, func_only=True),
    pytest.mark.xdist_group("zookeeper"),
]

LABEL: Final = "json.info"
QUICK: Final = SessionLimits(retry_initial_s=0.05, retry_s_max=0.2)


@pytest.fixture(scope="module")
def installed() -> None:
    """Skips these tests where there is no ZooKeeper."""
    if missing := ensure_zookeeper():
        pytest.skip(f"no ZooKeeper: {missing}")


@pytest.fixture(scope="module")
def shared(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    """A server that no test hurts; each brings a group of its own."""
    with ZooKeeperServer(tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
def own(installed: None, tmp_path: Path) -> Iterator[ZooKeeperServer]:
    """A server to be hurt."""
    with ZooKeeperServer(tmp_path) as server:
        yield server


Groups = Callable[..., Nodes]


@pytest.fixture
def group() -> Iterator[Groups]:
    """Makes groups: `group(server, path)`."""
    with ExitStack() as made:

        def make(server: ZooKeeperServer, path: str, credential: str | None = None) -> Nodes:
            nodes = made.enter_context(Nodes(server.hosts, path, credential))
            nodes.add_group(readable=credential is None)
            return nodes

        yield make


@pytest.fixture
async def masters() -> AsyncIterator[tuple[FakeMaster, FakeMaster]]:
    async with FakeMaster() as first, FakeMaster() as second:
        for master, name in ((first, "first"), (second, "second")):
            greeting = subscribed(framework_id="F")
            greeting.subscribed.master_info.id = name
            master.greeting = [greeting]
        yield first, second


def info(master: FakeMaster, master_id: str) -> bytes:
    address = {"hostname": "m.invalid", "ip": fake_master.HOST, "port": master.port}
    return json.dumps({"id": master_id, "address": address}).encode()


def a_session(server: ZooKeeperServer, path: str, credential: str = "") -> RunningSession:
    limits = SessionLimits(
        retry_initial_s=QUICK.retry_initial_s,
        retry_s_max=QUICK.retry_s_max,
        # Whatever waits for it does not pass in a test's time.
        stream=StreamLimits(subscribe_timeout_s=1_000),
    )
    settings = SessionSettings(
        master=f"zk://{credential}{server.hosts}{path}",
        framework=FrameworkSettings(user="nobody", name="test"),
        limits=limits,
    )
    return RunningSession(MasterSession(settings))


def lost(running: RunningSession) -> int:
    return sum(isinstance(event, Disconnected) for event in running.events)


# --- who leads -----------------------------------------------------------------------------------


async def test_the_lowest_number_leads_and_its_successor_is_followed_at_once(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, second = masters
    nodes = group(shared, "/successor")
    leader = nodes.add(LABEL, info(first, "first"))
    nodes.add(LABEL, info(second, "second"))
    nodes.put("log_replicas")
    async with a_session(shared, "/successor") as running:
        assert (await running.next(Subscribed)).master_url == first.url
        # The old leader's stream stands, and its heartbeats are due in 15 s only.
        await asyncio.to_thread(nodes.remove, leader)
        async with asyncio.timeout(5):
            await running.next(Disconnected)
            assert (await running.next(Subscribed)).master_url == second.url
        await first.until(lambda: first.connections == 0)


async def test_a_standby_that_comes_or_goes_changes_nothing(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, second = masters
    nodes = group(shared, "/standby")
    leader = nodes.add(LABEL, info(first, "first"))
    async with a_session(shared, "/standby") as running:
        await running.next(Subscribed)
        nodes.remove(nodes.add(LABEL, info(second, "third")))
        nodes.add(LABEL, info(second, "second"))
        assert lost(running) == 0
        nodes.remove(leader)
        assert (await running.next(Subscribed)).master_url == second.url
        assert lost(running) == 1


async def test_a_leader_that_was_reached_by_a_redirect_is_kept_when_zookeeper_names_it(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    """A master may know of the election before we do."""
    first, second = masters
    nodes = group(shared, "/redirect")
    leader = nodes.add(LABEL, info(first, "first"))
    nodes.add(LABEL, info(second, "second"))
    location = f"Location: {second.url.removeprefix('http:')}/api/v1/scheduler"
    first.on_subscribe = [fake_master.answer("307 Temporary Redirect", "", location)]
    async with a_session(shared, "/redirect") as running:
        assert (await running.next(Subscribed)).master_url == second.url
        nodes.remove(leader)
        # The word of that has come when the next one has.
        nodes.put("json.info_-000000001", info(first, "again"))
        assert (await running.next(Subscribed)).master_url == first.url
        assert len(second.subscribes) == 1


async def test_a_try_that_hangs_ends_when_another_master_leads(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, second = masters
    first.on_subscribe = [b""]
    nodes = group(shared, "/hangs")
    leader = nodes.add(LABEL, info(first, "first"))
    nodes.add(LABEL, info(second, "second"))
    async with a_session(shared, "/hangs") as running:
        await first.until(lambda: len(first.subscribes) == 1)
        nodes.remove(leader)
        assert (await running.next(Subscribed)).master_url == second.url


async def test_without_a_leader_the_session_waits_and_a_stream_stands(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, second = masters
    nodes = group(shared, "/nobody")
    async with a_session(shared, "/nobody") as running:
        await running.tried(1)
        leader = nodes.add(LABEL, info(first, "first"))
        assert (await running.next(Subscribed)).master_url == first.url
        nodes.remove(leader)
        # Nobody else to go to: the old leader's stream is not given up for nothing.
        nodes.put("log_replicas")
        assert lost(running) == 0
        nodes.add(LABEL, info(second, "second"))
        assert (await running.next(Subscribed)).master_url == second.url


@pytest.mark.parametrize("data", [b"", b"\xff\x00 garbage", b'{"id": "x"}'])
async def test_a_leader_whose_data_cannot_be_read_is_read_again_when_they_change(
    shared: ZooKeeperServer,
    group: Groups,
    masters: tuple[FakeMaster, FakeMaster],
    data: bytes,
) -> None:
    first, second = masters
    path = f"/garbage-{len(data)}"
    nodes = group(shared, path)
    broken = nodes.add(LABEL, data)
    nodes.add(LABEL, info(second, "second"))
    async with a_session(shared, path) as running:
        await running.tried(1)
        nodes.put(broken, info(first, "first"))
        assert (await running.next(Subscribed)).master_url == first.url
    assert not second.subscribes


async def test_a_group_that_is_not_there_yet_is_waited_for(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, _ = masters
    async with a_session(shared, "/later/mesos") as running:
        await running.tried(1)
        group(shared, "/later/mesos").add(LABEL, info(first, "first"))
        assert (await running.next(Subscribed)).master_url == first.url


async def test_a_server_that_hangs_and_one_that_is_gone_do_not_hide_the_third(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, _ = masters
    group(shared, "/third").add(LABEL, info(first, "first"))

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, HOST, 0) as hung:
        port = hung.sockets[0].getsockname()[1]
        hosts = f"{HOST}:1,{HOST}:{port},{shared.hosts}"
        candidates = open_candidates(f"zk://{hosts}/third", tls=False)
        assert (await candidates.first()).url() == first.url


# --- what happens to ZooKeeper -------------------------------------------------------------------


async def test_a_stream_outlives_zookeepers_death_and_the_next_leader_is_followed(
    own: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, second = masters
    nodes = group(own, "/mesos")
    leader = nodes.add(LABEL, info(first, "first"))
    nodes.add(LABEL, info(second, "second"))
    async with a_session(own, "/mesos") as running:
        await running.next(Subscribed)
        own.kill()
        await asyncio.to_thread(own.start)
        assert lost(running) == 0
        await asyncio.to_thread(nodes.remove, leader)
        assert (await running.next(Subscribed)).master_url == second.url
        assert lost(running) == 1


async def test_a_stream_outlives_a_session_that_ended_and_data_that_were_lost(
    own: ZooKeeperServer, tmp_path: Path, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, second = masters
    with Nodes(own.hosts, "/mesos") as nodes:
        nodes.add_group()
        name = nodes.add(LABEL, info(first, "first"))
    async with a_session(own, "/mesos") as running:
        await running.next(Subscribed)
        own.kill()
        shutil.rmtree(tmp_path / "zookeeper" / "data")
        await asyncio.to_thread(own.start)
        with Nodes(own.hosts, "/mesos") as nodes:
            nodes.add_group()
            assert lost(running) == 0
            # Numbers begin anew: another master has the name that the old leader had.
            assert nodes.add(LABEL, info(second, "second")) == name
            assert (await running.next(Subscribed)).master_url == second.url


async def test_the_last_leader_is_tried_again_while_zookeeper_is_away(
    own: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, _ = masters
    group(own, "/mesos").add(LABEL, info(first, "first"))
    async with a_session(own, "/mesos") as running:
        await running.next(Subscribed)
        own.kill()
        (await first.stream()).cut()
        assert (await running.next(Subscribed)).master_url == first.url
        # The client that plays the masters ends with its server only.
        await asyncio.to_thread(own.start)


async def test_a_session_without_zookeeper_can_be_stopped(own: ZooKeeperServer) -> None:
    own.kill()
    async with a_session(own, "/mesos") as running:
        await running.tried(1)
        async with asyncio.timeout(5):
            running.task.cancel()
            await asyncio.wait([running.task])


async def test_a_hung_zookeeper_does_not_hold_up_the_end(
    own: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, _ = masters
    group(own, "/mesos").add(LABEL, info(first, "first"))
    async with a_session(own, "/mesos") as running:
        await running.next(Subscribed)
        own.pause()
        async with asyncio.timeout(5):
            running.task.cancel()
            await asyncio.wait([running.task])
        own.resume()


# --- credentials ---------------------------------------------------------------------------------


async def test_a_group_is_read_with_the_right_credentials_and_they_are_never_logged(
    shared: ZooKeeperServer,
    group: Groups,
    masters: tuple[FakeMaster, FakeMaster],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, _ = masters
    caplog.set_level(1)
    group(shared, "/secured", "me:sesame").add(LABEL, info(first, "first"))
    async with a_session(shared, "/secured", "me:sesame@") as running:
        await running.next(Subscribed)
    told = capfd.readouterr()
    assert "sesame" not in caplog.text + told.out + told.err


@pytest.mark.parametrize("credential", ["", "me:guessed@"])
async def test_without_the_right_credentials_the_daemon_is_told_so(
    shared: ZooKeeperServer, group: Groups, credential: str
) -> None:
    path = f"/secured-{len(credential)}"
    group(shared, path, "me:sesame").add("other", b"")
    async with a_session(shared, path, credential) as running:
        error = await running.failure()
    assert isinstance(error, MasterRefused)
    assert "user and password" in str(error)
    assert "guessed" not in str(error)


# --- the operator client -------------------------------------------------------------------------


async def test_the_operator_client_asks_zookeeper_once_and_then_the_leader(
    own: ZooKeeperServer, group: Groups
) -> None:
    async with serving(saying(200, two_agents())) as url:
        host, _, port = url.removeprefix("http://").rpartition(":")
        data = json.dumps({"id": "M", "address": {"ip": host, "port": int(port)}}).encode()
        with Nodes(own.hosts, "/mesos") as nodes:
            nodes.add_group()
            nodes.add(LABEL, data)
        client = OperatorClient(f"zk://{own.hosts}/mesos")
        assert (await client.agents()).agents is not None
        own.kill()
        assert (await client.agents()).agents is not None


async def test_the_operator_client_is_refused_by_zookeeper_as_by_a_master(
    shared: ZooKeeperServer, group: Groups
) -> None:
    group(shared, "/refuses", "me:sesame")
    listed = await OperatorClient(f"zk://me:guessed@{shared.hosts}/refuses").agents()
    assert listed.agents is None
    assert "guessed" not in listed.refused


async def test_no_zookeeper_is_no_list_of_agents(own: ZooKeeperServer) -> None:
    own.kill()
    client = OperatorClient(f"zk://{own.hosts}/mesos", request_timeout_s=0.5)
    with pytest.raises(MasterUnavailable):
        await client.agents()


async def test_masters_behind_tls_are_found_by_name(
    shared: ZooKeeperServer, group: Groups, masters: tuple[FakeMaster, FakeMaster]
) -> None:
    first, _ = masters
    group(shared, "/tls").add(LABEL, info(first, "first"))
    candidates = open_candidates(f"zk://{shared.hosts}/tls", tls=True)
    assert (await candidates.first()).url() == f"https://m.invalid:{first.port}"
