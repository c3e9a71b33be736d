"""Elections in a real etcd: one leads at a time, and knows when it no longer does."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import pytest_asyncio

from scheduler.core.candidate import Candidate
from scheduler.election.etcd import EtcdElection
from scheduler.errors import ElectionError
from scheduler.etcd3.client import Client
from scheduler.etcd3.leases import boot_time_s
from tests.store.led import shared_etcd
from tests.support.etcd_cluster import etcd_cluster

TTL_S = 2
DEADLINE_S = 15.0
TURN_S = 0.03

T = TypeVar("T")


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(shared_etcd().endpoints) as client:
        yield client


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"/election/{request.node.name}/"


def candidate(client: Client, prefix: str, name: str = "a") -> EtcdElection:
    return EtcdElection(client, prefix, Candidate(name, f"http://{name}:8080"), ttl_s=TTL_S)


async def soon(what: Awaitable[T], within_s: float = DEADLINE_S) -> T:
    return await asyncio.wait_for(what, within_s)


@asynccontextmanager
async def in_office(election: EtcdElection) -> AsyncIterator[int]:
    try:
        yield await soon(election.campaign())
    finally:
        await election.resign()


async def test_the_first_one_leads_and_says_who_it_is(client: Client, prefix: str) -> None:
    election = candidate(client, prefix)
    assert not election.leads()
    async with in_office(election) as term:
        assert election.leads()
        found = (await client.get(f"{prefix}leader".encode())).item
        assert found is not None
        assert found.create_revision == term
        assert json.loads(found.value) == {"instance": "a", "advertise": "http://a:8080"}
    assert not election.leads()


async def test_the_next_one_leads_at_once_when_the_first_resigns(
    client: Client, prefix: str
) -> None:
    first, second = candidate(client, prefix), candidate(client, prefix, "b")
    async with in_office(first) as term:
        waiting = asyncio.create_task(second.campaign())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert not second.leads()
        before = boot_time_s()
        await first.resign()
        next_term = await soon(waiting)
        assert boot_time_s() - before < 0.5
        assert next_term > term
        assert second.leads()
        await second.resign()


async def test_of_many_one_leads_and_all_do_in_turn(client: Client, prefix: str) -> None:
    leading: list[int] = []
    terms: list[int] = []

    async def take_a_turn(number: int) -> None:
        election = candidate(client, prefix, str(number))
        terms.append(await election.campaign())
        leading.append(number)
        assert len(leading) == 1
        assert election.leads()
        await asyncio.sleep(0.02)
        leading.remove(number)
        await election.resign()

    await soon(asyncio.gather(*map(take_a_turn, range(8))))
    assert terms == sorted(set(terms))


async def test_the_office_is_kept_while_nothing_is_wrong(client: Client, prefix: str) -> None:
    election = candidate(client, prefix)
    async with in_office(election):
        watching = asyncio.create_task(election.watch())
        end = boot_time_s() + 2.5 * TTL_S
        while boot_time_s() < end:
            assert election.leads()
            assert election.deadline() > boot_time_s() + 0.4 * TTL_S
            await asyncio.sleep(0.02)
        assert not watching.done()
        watching.cancel()


async def test_the_office_is_kept_while_the_loop_is_busy(client: Client, prefix: str) -> None:
    """Each turn of the loop takes three times as long as a step of the daemon."""
    election = EtcdElection(client, prefix, Candidate("a"))
    async with in_office(election):
        end = boot_time_s() + 6.0
        while boot_time_s() < end:
            until = boot_time_s() + TURN_S
            while boot_time_s() < until:
                pass
            assert election.leads()
            await asyncio.sleep(0)


async def test_the_office_is_lost_when_its_key_is_deleted(client: Client, prefix: str) -> None:
    election = candidate(client, prefix)
    async with in_office(election):
        watching = asyncio.create_task(election.watch())
        await asyncio.sleep(0.2)
        await client.delete(f"{prefix}leader".encode())
        with pytest.raises(ElectionError, match="its key is gone"):
            await soon(watching)
        assert not election.leads()


async def test_the_office_is_lost_when_its_lease_is_revoked(client: Client, prefix: str) -> None:
    election = candidate(client, prefix)
    async with in_office(election):
        watching = asyncio.create_task(election.watch())
        lease_id = (await client.get(f"{prefix}leader".encode())).item
        assert lease_id is not None
        shared_etcd().etcdctl("lease", "revoke", f"{lease_id.lease:x}")
        with pytest.raises(ElectionError):
            await soon(watching)
        assert not election.leads()


async def test_what_was_lost_can_be_won_again(client: Client, prefix: str) -> None:
    election = candidate(client, prefix)
    async with in_office(election) as term:
        await client.delete(f"{prefix}leader".encode())
        with pytest.raises(ElectionError):
            await soon(election.watch())
        await election.resign()
        assert await soon(election.campaign()) > term
        assert election.leads()


async def test_watching_without_an_office_is_an_error(client: Client, prefix: str) -> None:
    with pytest.raises(ElectionError, match="not held"):
        await candidate(client, prefix).watch()


async def test_a_campaign_that_is_called_off_leaves_nothing(client: Client, prefix: str) -> None:
    first, second = candidate(client, prefix), candidate(client, prefix, "b")
    async with in_office(first):
        waiting = asyncio.create_task(second.campaign())
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert (await client.get(f"{prefix}leader".encode())).item is None


# --- faults --------------------------------------------------------------------------------------


async def test_cut_off_from_etcd_the_office_is_given_up_before_the_lease_can_have_ended(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    with etcd_cluster(tmp_path_factory.mktemp("own"), "127.77.44") as cluster:
        (member,) = cluster.members
        async with Client(cluster.endpoints) as client:
            election = candidate(client, prefix)
            async with in_office(election):
                watching = asyncio.create_task(election.watch())
                await asyncio.sleep(0.2)
                member.pause()
                try:
                    cut_at = boot_time_s()
                    with pytest.raises(ElectionError):
                        await soon(watching)
                    assert not election.leads()
                    assert boot_time_s() - cut_at < TTL_S
                    before = boot_time_s()
                    await election.resign()
                    assert boot_time_s() - before < 1.0
                finally:
                    member.resume()
                assert await soon(election.campaign()) > 0


async def test_members_that_die_or_hang_one_at_a_time_cost_nobody_the_office(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    """The lease outlives an election among the members. etcd 3.4 revokes the leases that a member
    held when it hung, where they would have ended meanwhile: this one would not."""
    with etcd_cluster(tmp_path_factory.mktemp("three"), "127.77.45", 3) as cluster:
        async with Client(cluster.endpoints) as client:
            # etcd needs 1 to 2 s for an election of its own, and again as long where the votes are
            # split; a lease that is shorter than that ends with some of its leaders.
            election = EtcdElection(client, prefix, Candidate("a"), ttl_s=8)
            async with in_office(election):
                watching = asyncio.create_task(election.watch())
                for member in cluster.members:
                    member.pause()
                    try:
                        await keeps_leading(election, 3.0)
                    finally:
                        member.resume()
                    await keeps_leading(election, 2.0)
                assert not watching.done()
                watching.cancel()


async def keeps_leading(election: EtcdElection, for_s: float) -> None:
    end = boot_time_s() + for_s
    while boot_time_s() < end:
        assert election.leads()
        await asyncio.sleep(0.05)


async def start_leader(prefix: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.election.leader",
        shared_etcd().endpoints[0],
        prefix,
        str(TTL_S),
        stdout=PIPE,
    )


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await soon(process.stdout.readline())).decode().strip()


async def test_a_leader_that_dies_is_followed_when_its_lease_has_ended(
    client: Client, prefix: str
) -> None:
    process = await start_leader(prefix)
    try:
        term = int((await line_of(process)).removeprefix("leads "))
        election = candidate(client, prefix, "b")
        waiting = asyncio.create_task(election.campaign())
        await asyncio.sleep(0.2)
    finally:
        process.kill()
        await process.wait()
    died_at = boot_time_s()
    assert await soon(waiting) > term
    assert boot_time_s() - died_at < TTL_S + 1.5
    await election.resign()


async def test_a_leader_that_was_stopped_longer_than_its_lease_neither_leads_nor_writes(
    client: Client, prefix: str
) -> None:
    """It does not look first: when it goes on it writes whatever it was about to."""
    process = await start_leader(prefix)
    election = candidate(client, prefix, "b")
    try:
        term = int((await line_of(process)).removeprefix("leads "))
        assert (await line_of(process)).endswith("True stored")
        os.kill(process.pid, signal.SIGSTOP)
        stopped_at = boot_time_s()
        assert await soon(election.campaign()) > term
        before = await client.get(f"{prefix}framework".encode())
        os.kill(process.pid, signal.SIGCONT)
        lines: list[list[str]] = []
        while not lines or lines[-1][2] != "ended":
            lines.append((await line_of(process)).split())
        # What began before the stop was written before it, or not at all.
        assert [line for line in lines if float(line[0]) > stopped_at and line[1] == "True"] == []
        after = await client.get(f"{prefix}framework".encode())
        assert before.item == after.item
        assert election.leads()
    finally:
        await election.resign()
        process.kill()
        await process.wait()
