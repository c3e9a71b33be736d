"""The session with a real master: what it says is understood, what we say is taken."""

import asyncio
import http.client
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.core.effects import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Kill,
    Launch,
    Reconcile,
    Revive,
    Suppress,
    UpdateFramework,
    Wanted,
)
from scheduler.core.events import (
    CallId,
    CallOutcome,
    Disconnected,
    OffersMade,
    StatusUpdated,
    Subscribed,
    TaskState,
)
from scheduler.core.model.ids import JobId, Role, TaskId, Uid
from scheduler.core.model.job import Port, Shell, Template
from scheduler.core.model.needs import AttributeTest, Needs, Predicate
from scheduler.core.model.offer import Offer
from scheduler.core.model.resources import Amounts, CarvedResource, PortRange
from scheduler.core.placement.re2 import Sense, to_re2
from scheduler.errors import FrameworkRemoved, FrameworkTaken, MasterRefused
from scheduler.mesos.access import Credential, Tls, authorization
from scheduler.mesos.codec import FrameworkSettings
from scheduler.mesos.operator import OperatorClient
from scheduler.mesos.session import MasterSession, SessionSettings
from tests.mesos.running import RunningSession
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.real_mesos.nodes import FRAMEWORK_CREDENTIAL, OPERATOR_CREDENTIAL

pytestmark = [pytest.mark.real_mesos, pytest.mark.timeout(180)]

FRAMEWORK = Credential(FRAMEWORK_CREDENTIAL.principal, FRAMEWORK_CREDENTIAL.secret)
OPERATOR = Credential(OPERATOR_CREDENTIAL.principal, OPERATOR_CREDENTIAL.secret)
WEEK_S = 604_800.0
ROLE = Role("prod")


@pytest.fixture(scope="module")
def mesos_build() -> Path:
    """Skips these tests where real Mesos cannot be built."""
    try:
        return ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")


@pytest.fixture(scope="module")
def cluster(mesos_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """One cluster for most tests of this file; each brings a framework of its own."""
    with RealCluster(mesos_build, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster.start(agents=1, auth=True, auth_http=True)


def a_session(
    cluster: RealCluster, credential: Credential = FRAMEWORK, tls: Tls | None = None
) -> RunningSession:
    settings = SessionSettings(
        master=cluster.master_url,
        framework=FrameworkSettings(user="root", name="session", principal=credential.principal),
        credential=credential,
        tls=tls.context() if tls else None,
    )
    return RunningSession(
        MasterSession(settings), Wanted(roles=(ROLE,), suppressed=(), failover_timeout_s=WEEK_S)
    )


def carved(offer: Offer, name: str, scalar: int) -> CarvedResource:
    entry = next(entry for entry in offer.resources if entry.name == name)
    assert entry.usable
    assert entry.scalar >= scalar
    return CarvedResource(name, entry.identity, scalar)


def a_launch(offer: Offer, line: str) -> Launch:
    """One task with a port out of the offer."""
    ports = next(entry for entry in offer.resources if entry.name == "ports")
    port = ports.ranges[0].begin
    template = Template(
        role=ROLE,
        command=Shell(line),
        amounts=Amounts(cpus=100, mem=32_000),
        ports=(Port("http"),),
        env=(("GREETING", "hello"),),
    )
    return Launch(
        task_id=TaskId("web.0.1.abc"),
        job=JobId("web"),
        index=0,
        agent_id=offer.agent.agent_id,
        uid=Uid("abc"),
        version=1,
        template=template,
        labels=(("team", "shop"),),
        resources=(
            carved(offer, "cpus", 100),
            carved(offer, "mem", 32_000),
            CarvedResource("ports", ports.identity, ranges=(PortRange(port, port),)),
        ),
        ports=(port,),
    )


async def reached(running: RunningSession, state: TaskState) -> StatusUpdated:
    """Waits for a status in that state and acknowledges it; those before it, too."""
    while True:
        status = await running.next(StatusUpdated)
        if status.uuid:
            running.send(Acknowledge(status.agent_id, status.task_id, status.uuid))
        if status.state is state:
            return status


async def test_a_task_is_launched_runs_with_its_environment_and_is_killed(
    cluster: RealCluster,
) -> None:
    async with a_session(cluster) as running:
        subscribed = await running.next(Subscribed)
        assert subscribed.master_version == "1.11.0"
        offer = (await running.next(OffersMade)).offers[0]
        assert offer.role == ROLE
        assert offer.agent.hostname == cluster.agent_hostname(0)
        assert dict(offer.agent.attributes)["rack"] == "r0"
        launch = a_launch(offer, 'echo "$GREETING $PORT_HTTP $INSTANCE $OFFERD_JOB"; sleep 1000')
        running.send(Accept(CallId(1), (offer.offer_id,), (launch,), 5.0))
        status = await reached(running, TaskState.RUNNING)
        assert status.task_id == launch.task_id
        state = await asyncio.to_thread(cluster.state)
        (framework,) = [f for f in state["frameworks"] if f["id"] == subscribed.framework_id]
        (task,) = framework["tasks"]
        assert task["name"] == "web"
        assert task["labels"] == [{"key": "team", "value": "shop"}]
        assert task["discovery"]["ports"]["ports"][0]["number"] == launch.ports[0]
        (sandbox,) = cluster.sandboxes(launch.task_id)
        assert (sandbox / "stdout").read_text() == f"hello {launch.ports[0]} 0 web\n"

        running.send(Kill(CallId(3), launch.task_id, launch.agent_id, grace_s=1.0))
        killed = await reached(running, TaskState.KILLED)
        assert killed.task_id == launch.task_id
        for ended in await running.outcomes([1, 3]):
            assert ended.outcome is CallOutcome.SENT, ended


async def test_every_other_call_is_taken_by_the_master(cluster: RealCluster) -> None:
    async with a_session(cluster) as running:
        await running.next(Subscribed)
        offer = (await running.next(OffersMade)).offers[0]
        gpus = Wanted(
            roles=(ROLE, Role("dev")), suppressed=(ROLE,), failover_timeout_s=1, gpus=True
        )
        calls: list[Call] = [
            Decline(CallId(1), (offer.offer_id,), 3600.0),
            Reconcile(CallId(2), ()),
            Reconcile(CallId(3), ((TaskId("nobody"), offer.agent.agent_id),)),
            Suppress(CallId(4), (ROLE,)),
            Revive(CallId(5), (ROLE,)),
            UpdateFramework(CallId(6), gpus),
            Accept(CallId(7), (), (), 1.0),
        ]
        running.send(*calls)
        ended = await running.outcomes(range(1, 8))
        assert [event.call_id for event in ended] == list(range(1, 8))
        assert {event.outcome for event in ended} == {CallOutcome.SENT}
        gone = await running.next(StatusUpdated)
        assert (gone.state, gone.reason, gone.uuid) == (TaskState.GONE, "reconciliation", b"")


def largest(piece: str) -> str:
    """The piece as often as it is still told to a master."""
    told = [to_re2(piece * times, Sense.WIDER) for times in range(1, 200)]
    return next(regex for regex in reversed(told) if regex is not None)


async def test_the_largest_needs_that_we_tell_are_taken(cluster: RealCluster) -> None:
    """Sizes of programs are reckoned without RE2: here it says itself that none is too large."""
    pieces = (
        *("a", ".", "[acegik]", "[^a]", "(a)", "(a|b)", "a?", "ab|", "x{2,5}", "(ab?){3}", ".*"),
        *(r"\d", r"\w+", "[a-z]*", "(a|bc|def)?", "(a[0-9]|b)+", "a{0}", "a{1,}", "(.|a)", r"\."),
    )
    plain = AttributeTest("rack", Predicate.EQUALS, "r" * 1000)
    groups = [
        (plain, AttributeTest(attribute, predicate, regex))
        for attribute in ("hostname", "@region", "@zone", "rack")
        for predicate in (Predicate.MATCHES, Predicate.NOT_MATCHES)
        for regex in map(largest, pieces)
    ]
    others = (Predicate.EXISTS, Predicate.NOT_EXISTS, Predicate.NOT_EQUALS)
    groups += [(plain, AttributeTest("rack", predicate)) for predicate in others]
    minimums = (Amounts(cpus=1), Amounts(mem=1 << 50), Amounts(gpus=4096, disk=5))
    needs = Needs(tuple(groups), minimums)
    async with a_session(cluster) as running:
        await running.next(Subscribed)
        wanted = Wanted((ROLE,), (), WEEK_S, needs=((ROLE, needs),))
        nothing = Wanted((ROLE,), (), WEEK_S, needs=((ROLE, Needs(minimums=(Amounts(),))),))
        running.send(UpdateFramework(CallId(1), wanted), UpdateFramework(CallId(2), nothing))
        for ended in await running.outcomes([1, 2]):
            assert ended.outcome is CallOutcome.SENT, ended


async def test_wrong_credentials_end_the_session_with_a_word_what_to_do(
    cluster: RealCluster,
) -> None:
    async with a_session(cluster, Credential("fw", "guessed")) as running:
        error = await running.failure()
    assert isinstance(error, MasterRefused)
    assert "secret_file" in str(error)
    assert "guessed" not in str(error)


async def test_a_master_that_was_killed_and_is_back_gets_us_with_the_same_id(
    cluster: RealCluster,
) -> None:
    async with a_session(cluster) as running:
        first = await running.next(Subscribed)
        await asyncio.to_thread(cluster.kill_master)
        await running.next(Disconnected)
        await asyncio.to_thread(cluster.restart_master)
        again = await running.next(Subscribed)
        assert again.framework_id == first.framework_id
        assert again.master_id != first.master_id
        await running.next(OffersMade)


async def test_stream_calls_and_agents_go_over_tls(mesos_build: Path, tmp_path: Path) -> None:
    with RealCluster(mesos_build, tmp_path / "tls") as cluster:
        await asyncio.to_thread(cluster.start, agents=1, auth=True, tls=True)
        tls = Tls(ca_file=cluster.ca_file)
        async with a_session(cluster, tls=tls) as running:
            assert (await running.next(Subscribed)).master_url.startswith("https://")
            offer = (await running.next(OffersMade)).offers[0]
            running.send(Decline(CallId(1), (offer.offer_id,), 5.0))
            (ended,) = await running.outcomes([1])
            assert ended.outcome is CallOutcome.SENT
            listed = await OperatorClient(cluster.master_url, tls=tls.context()).agents()
            assert listed.agents is not None


async def test_two_schedulers_with_one_id_do_not_fight_for_ever(cluster: RealCluster) -> None:
    first, second = a_session(cluster), a_session(cluster)
    async with first:
        second.framework_id = (await first.next(Subscribed)).framework_id
        async with second:
            ends = [first.task, second.task]
            await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            ended = first if first.task.done() else second
            assert isinstance(await ended.failure(), FrameworkTaken)


async def test_agents_are_listed_with_what_they_have_to_those_who_may_know(
    cluster: RealCluster,
) -> None:
    listed = await OperatorClient(cluster.master_url, credential=OPERATOR).agents()
    assert listed.agents is not None
    (seen,) = listed.agents
    assert seen.active
    assert seen.agent.hostname == cluster.agent_hostname(0)
    assert seen.agent.url.startswith(f"http://{cluster.agent_hostname(0)}:")
    assert dict(seen.agent.attributes)["rack"] == "r0"
    assert seen.total == Amounts(cpus=4_000, mem=4_096_000, disk=10_000_000)

    wrong = Credential("ops", "guessed")
    refused = await OperatorClient(cluster.master_url, credential=wrong).agents()
    assert refused.agents is None
    assert "401" in refused.refused


async def test_a_framework_that_was_torn_down_is_told_what_to_do(cluster: RealCluster) -> None:
    async with a_session(cluster) as running:
        subscribed = await running.next(Subscribed)
        await asyncio.to_thread(tear_down, cluster, subscribed.framework_id)
        error = await running.failure()
    assert isinstance(error, FrameworkRemoved)
    assert "new id" in str(error)


def tear_down(cluster: RealCluster, framework_id: str) -> None:
    """What an operator does: POST /teardown."""
    master = urllib.parse.urlsplit(cluster.master_url)
    connection = http.client.HTTPConnection(master.netloc, timeout=10)
    body = f"frameworkId={framework_id}"
    connection.request("POST", "/teardown", body, authorization(OPERATOR))
    assert connection.getresponse().status == 200
    connection.close()
