"""Who may: TLS with client certificates, users, and tokens that expire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from scheduler.errors import (
    EtcdNotSent,
    EtcdRefusal,
    EtcdRefused,
    EtcdUnknownOutcome,
    SettingsError,
)
from scheduler.etcd3.client import Client
from scheduler.etcd3.methods import AUTHENTICATE, PUT
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.settings import Credentials, Timeouts, TlsFiles
from scheduler.etcd3.watches import Watch
from tests.etcd3.cut_proxy import cut_proxy
from tests.etcd3.fake_etcd import Context, fake_etcd, header
from tests.etcd3.patience import until
from tests.mesos.certificates import make_certificate
from tests.support.etcd_cluster import EtcdCluster, EtcdTls, etcd_cluster

TOKEN_TTL_S = 1
PASSWORD = "a secret word"
QUICK = Timeouts(connect_s=0.2, answer_s=0.4, call_s=0.8)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Its users are root and `web`, who may do everything below /web/."""
    options = [f"--auth-token-ttl={TOKEN_TTL_S}", "--bcrypt-cost=4"]
    with etcd_cluster(tmp_path_factory.mktemp("locked"), "127.77.33", options=options) as cluster:
        for command in (
            ("user", "add", f"root:{PASSWORD}"),
            ("user", "grant-role", "root", "root"),
            ("role", "add", "web"),
            ("role", "grant-permission", "web", "--prefix=true", "readwrite", "/web/"),
            ("user", "add", f"web:{PASSWORD}"),
            ("user", "grant-role", "web", "web"),
            ("auth", "enable"),
        ):
            cluster.etcdctl(*command)
        yield cluster


@contextlib.asynccontextmanager
async def web(cluster: EtcdCluster, password: str = PASSWORD) -> AsyncIterator[Client]:
    async with Client(cluster.endpoints, user="web", password=password) as client:
        yield client


async def test_a_user_does_what_it_may_and_nothing_else(locked: EtcdCluster) -> None:
    async with web(locked) as client:
        await client.put(b"/web/key", b"1")
        for refused in (client.put(b"/other/key", b""), client.get(b"/other/key")):
            with pytest.raises(EtcdRefused) as caught:
                await refused
            assert caught.value.reason is EtcdRefusal.PERMISSION


async def test_a_wrong_password_is_refused_and_not_shown(locked: EtcdCluster) -> None:
    async with web(locked, "another word") as client:
        with pytest.raises(EtcdRefused) as caught:
            await client.get(b"/web/key")
        assert caught.value.reason is EtcdRefusal.CREDENTIALS
        assert "another word" not in f"{caught.value!r} {caught.value}"
        with pytest.raises(EtcdRefused):
            async with client.watch_prefix(b"/web/", 1) as watch:
                await anext(watch)
    assert PASSWORD not in repr(Credentials("web", PASSWORD))


async def test_without_a_user_a_locked_cluster_refuses(locked: EtcdCluster) -> None:
    async with Client(locked.endpoints) as client:
        with pytest.raises(EtcdRefused) as caught:
            await client.put(b"/web/key", b"")
        assert caught.value.reason is EtcdRefusal.CREDENTIALS


async def test_a_user_before_an_open_cluster_needs_no_token(
    etcd: EtcdCluster, prefix: bytes
) -> None:
    async with web(etcd) as client:
        assert await client.put(prefix + b"key", b"") > 0


async def test_calls_watches_and_leases_go_on_when_tokens_expire(locked: EtcdCluster) -> None:
    """etcd's simple tokens end when they were not used for a time."""
    async with (
        cut_proxy(locked.endpoints[0]) as proxy,
        Client([proxy.endpoint], user="web", password=PASSWORD) as client,
    ):
        start = await client.put(b"/web/key", b"1")
        lease = await client.lease(2)
        keeper = client.keeper(lease)
        keeping = asyncio.create_task(keeper.keep())
        async with client.watch_prefix(b"/web/", start) as watch, asyncio.timeout(10.0):
            assert await next_value(watch) == b"1"
            await asyncio.sleep(2.5 * TOKEN_TTL_S)  # the time that the tokens have to be idle for
            await client.put(b"/web/key", b"2")
            assert await next_value(watch) == b"2"
            proxy.cut()  # a watch is checked when it is opened
            await until(lambda: writes(client, b"3"), "a write after the cut")
            assert await next_value(watch) == b"3"
        assert not keeping.done()
        await client.revoke(lease)
        await keeping


async def next_value(watch: Watch) -> bytes:
    async for batch in watch:
        if batch.events:
            return batch.events[-1].item.value
    raise AssertionError("a watch does not end")


async def writes(client: Client, value: bytes) -> bool:
    with contextlib.suppress(EtcdUnknownOutcome):
        await client.put(b"/web/key", value)
        return True
    return False


@pytest.mark.parametrize("denied", ["invalid auth token", "permission denied"])
async def test_a_watch_refused_for_its_token_gets_another(denied: str) -> None:
    """Older releases do not tell an expired token from one without the right."""
    tokens = iter(("old", "new"))

    async def authenticate(_: pb.AuthenticateRequest, __: Context) -> pb.AuthenticateResponse:
        return pb.AuthenticateResponse(header=header(1), token=next(tokens))

    async with (
        fake_etcd() as fake,
        Client([fake.endpoint], user="web", password=PASSWORD) as client,
        client.watch_prefix(b"/", 1) as watch,
    ):
        fake.unary[AUTHENTICATE] = authenticate
        reading = asyncio.create_task(anext(watch))
        stream = await fake.watch()
        await stream.asked()
        refusal = f"etcdserver: {denied}"
        await stream.tell(
            pb.WatchResponse(header=header(1), created=True, canceled=True, cancel_reason=refusal)
        )
        stream, start = await fake.created_watch()
        assert start == 1
        assert ("token", "new") in stream.metadata
        await reading


async def test_a_watch_without_the_right_is_refused(locked: EtcdCluster) -> None:
    async with web(locked) as client, client.watch_prefix(b"/other/", 1) as watch:
        with pytest.raises(EtcdRefused) as caught:
            async with asyncio.timeout(10.0):
                await anext(watch)
        assert caught.value.reason is EtcdRefusal.PERMISSION


async def test_a_change_of_users_makes_tokens_old_not_calls_fail(locked: EtcdCluster) -> None:
    async with web(locked) as client:
        await client.put(b"/web/key", b"1")
        locked.etcdctl("role", "add", "later", flags={"user": f"root:{PASSWORD}"})
        await client.put(b"/web/key", b"2")
        assert (await client.get(b"/web/key")).item is not None


async def test_many_callers_renew_one_token_once() -> None:
    asked = 0
    valid = "2"

    async def authenticate(_: pb.AuthenticateRequest, __: Context) -> pb.AuthenticateResponse:
        nonlocal asked
        asked += 1
        return pb.AuthenticateResponse(header=header(1), token=f"{asked}")

    async def put(_: pb.PutRequest, context: Context) -> pb.PutResponse:
        if ("token", valid) not in list(context.invocation_metadata()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
        return pb.PutResponse(header=header(1))

    async with (
        fake_etcd() as fake,
        Client([fake.endpoint], user="web", password=PASSWORD) as client,
    ):
        fake.unary |= {AUTHENTICATE: authenticate, PUT: put}
        await asyncio.gather(*(client.put(b"key", b"") for _ in range(20)))
        assert asked == 2
        valid = "never"
        with pytest.raises(EtcdRefused) as caught:
            await client.put(b"key", b"")
        assert caught.value.reason is EtcdRefusal.CREDENTIALS


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    folder = tmp_path_factory.mktemp("tls")
    pair = make_certificate(folder, "127.77.34.1")
    tls = EtcdTls(pair.certificate, pair.certificate, pair.key)
    with etcd_cluster(folder, "127.77.34", tls=tls) as cluster:
        yield cluster


def files(cluster: EtcdCluster) -> TlsFiles:
    assert cluster.tls is not None
    return TlsFiles(cluster.tls.authority, cluster.tls.certificate, cluster.tls.key)


async def test_calls_watches_and_leases_go_over_tls(encrypted: EtcdCluster) -> None:
    async with Client(encrypted.endpoints, tls=files(encrypted)) as client:
        start = await client.put(b"/tls/key", b"1")
        async with client.watch_prefix(b"/tls/", start) as watch, asyncio.timeout(10.0):
            while not (await anext(watch)).events:
                pass
        lease = await client.lease(2)
        keeper = client.keeper(lease)
        keeping = asyncio.create_task(keeper.keep())
        await until(lambda: keeper.deadline_s > lease.deadline_s, "a keepalive")
        await client.revoke(lease)
        await keeping


async def test_without_a_certificate_of_ours_nothing_is_sent(encrypted: EtcdCluster) -> None:
    tls = TlsFiles(files(encrypted).authority)
    async with Client(encrypted.endpoints, tls=tls, timeouts=QUICK) as client:
        with pytest.raises(EtcdNotSent):
            await client.put(b"/tls/key", b"")


async def test_a_member_of_another_authority_is_not_trusted(
    encrypted: EtcdCluster, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "127.77.34.1")
    tls = TlsFiles(other.certificate, other.certificate, other.key)
    async with Client(encrypted.endpoints, tls=tls, timeouts=QUICK) as client:
        with pytest.raises(EtcdNotSent, match="CERTIFICATE_VERIFY_FAILED"):
            await client.put(b"/tls/key", b"")


async def test_tls_files_are_whole(encrypted: EtcdCluster, tmp_path: Path) -> None:
    whole = files(encrypted)
    for wrong in (
        TlsFiles(whole.authority, certificate=whole.certificate),
        TlsFiles(whole.authority, key=whole.key),
        TlsFiles(tmp_path / "missing.pem"),
    ):
        with pytest.raises(SettingsError):
            Client(encrypted.endpoints, tls=wrong)
