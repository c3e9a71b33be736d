"""Keys, transactions, listings and the state of the cluster, on a real etcd."""

import itertools

import pytest

from scheduler.errors import Compacted, EtcdRefusal, EtcdRefused, SettingsError
from scheduler.etcd3 import transactions as t
from scheduler.etcd3.client import Client
from scheduler.etcd3.values import Deleted, Got, KeyValue, PutDone
from tests.support.etcd_cluster import EtcdCluster


async def listed(client: Client, prefix: bytes, page_size: int = 10_000) -> list[KeyValue]:
    return [item async for page in client.get_prefix(prefix, page_size) for item in page.items]


async def test_a_key_tells_its_value_and_its_revisions(client: Client, prefix: bytes) -> None:
    key = prefix + b"key"
    first = await client.put(key, b"1")
    second = await client.put(key, b"2")
    found = await client.get(key)
    assert found.item == KeyValue(key, b"2", first, second, version=2)
    assert found.revision >= second


async def test_a_key_that_is_not_there_is_none_at_a_revision(client: Client, prefix: bytes) -> None:
    written = await client.put(prefix + b"other", b"")
    found = await client.get(prefix + b"nothing")
    assert found.item is None
    assert found.revision >= written


async def test_keys_and_values_are_any_bytes(client: Client, prefix: bytes) -> None:
    key, value = prefix + bytes(range(256)), bytes(range(256))
    await client.put(key, value)
    assert [(item.key, item.value) for item in await listed(client, prefix)] == [(key, value)]


async def test_deleting_says_what_there_was(client: Client, prefix: bytes) -> None:
    for name in (b"a", b"b", b"c"):
        await client.put(prefix + name, b"")
    assert await client.delete(prefix + b"a")
    assert not await client.delete(prefix + b"a")
    assert await client.delete_prefix(prefix) == 2
    assert await listed(client, prefix) == []


async def test_a_listing_is_in_order_and_of_its_prefix_only(client: Client, prefix: bytes) -> None:
    names = [b"%03d" % n for n in range(25)]
    for name in reversed(names):
        await client.put(prefix + name, name)
    await client.put(prefix[:-1] + b"0", b"the slash's next neighbour")
    assert [item.value for item in await listed(client, prefix, page_size=10)] == names


async def test_all_pages_show_the_store_at_one_revision(client: Client, prefix: bytes) -> None:
    for n in range(6):
        await client.put(prefix + b"%d" % n, b"old")
    pages = []
    async for page in client.get_prefix(prefix, page_size=2):
        pages.append(page)
        await client.put(prefix + b"5", b"new")
        await client.delete(prefix + b"4")
        await client.put(prefix + b"9", b"new")
    items = [item for page in pages for item in page.items]
    assert [item.key[-1:] for item in items] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert {item.value for item in items} == {b"old"}
    assert len({page.revision for page in pages}) == 1


async def test_a_listing_whose_revision_is_compacted_ends_so(client: Client, prefix: bytes) -> None:
    for n in range(4):
        await client.put(prefix + b"%d" % n, b"")
    pages = client.get_prefix(prefix, page_size=2)
    await anext(pages)
    await client.compact(await client.put(prefix + b"more", b""))
    with pytest.raises(Compacted):
        await anext(pages)


async def test_a_transaction_whose_compares_hold_does_all_it_should(
    client: Client, prefix: bytes
) -> None:
    old, new, gone = prefix + b"old", prefix + b"new", prefix + b"gone"
    created = await client.put(old, b"1")
    await client.put(gone, b"")
    result = await client.transaction(
        compare=[t.create(old, created), t.version(old, 1), t.value(old, b"1"), t.mod(new, 0)],
        success=[t.put(new, b"2"), t.get(old), t.delete(gone)],
        failure=[t.put(old, b"wrong")],
    )
    assert result.succeeded
    assert result.responses == [
        PutDone(),
        Got(KeyValue(old, b"1", created, created, 1)),
        Deleted(1),
    ]
    assert [item.mod_revision for item in await listed(client, prefix)] == [
        result.revision,
        created,
    ]


async def test_a_transaction_whose_compare_fails_does_the_other_list(
    client: Client, prefix: bytes
) -> None:
    key = prefix + b"key"
    result = await client.transaction(
        compare=[t.version(key, 0), t.create(key, 0, t.Is.GREATER)],
        success=[t.put(key, b"")],
        failure=[t.get(key)],
    )
    assert not result.succeeded
    assert result.responses == [Got(None)]


@pytest.mark.parametrize(
    ("relation", "operand", "holds"),
    [
        (t.Is.EQUAL, 2, True),
        (t.Is.EQUAL, 1, False),
        (t.Is.DIFFERENT, 1, True),
        (t.Is.DIFFERENT, 2, False),
        (t.Is.GREATER, 1, True),
        (t.Is.GREATER, 2, False),
        (t.Is.LESS, 3, True),
        (t.Is.LESS, 2, False),
    ],
)
async def test_each_relation_means_key_then_operand(
    client: Client, prefix: bytes, relation: t.Is, operand: int, holds: bool
) -> None:
    key = prefix + b"key"
    await client.put(key, b"")
    await client.put(key, b"")
    assert (await client.transaction([t.version(key, operand, relation)])).succeeded is holds


async def test_a_key_is_written_once_in_a_transaction(client: Client, prefix: bytes) -> None:
    twice = [t.put(prefix + b"key", b"1"), t.put(prefix + b"key", b"2")]
    with pytest.raises(EtcdRefused) as caught:
        await client.transaction(success=twice)
    assert caught.value.reason is EtcdRefusal.INVALID
    assert await listed(client, prefix) == []


async def test_too_many_operations_are_refused_as_too_large(client: Client, prefix: bytes) -> None:
    operations = [t.put(prefix + b"%d" % n, b"") for n in range(129)]
    with pytest.raises(EtcdRefused) as caught:
        await client.transaction(success=operations)
    assert caught.value.reason is EtcdRefusal.TOO_LARGE
    await client.transaction(success=operations[:128])
    assert len(await listed(client, prefix)) == 128


@pytest.mark.parametrize("size", [1_600_000, 3_000_000, 17_000_000])
async def test_a_value_too_large_is_refused_as_such(
    client: Client, prefix: bytes, size: int
) -> None:
    """etcd's own limit, that of its gRPC library, and ours."""
    with pytest.raises(EtcdRefused) as caught:
        await client.put(prefix + b"key", bytes(size))
    assert caught.value.reason is EtcdRefusal.TOO_LARGE
    assert await listed(client, prefix) == []


async def test_a_compare_has_the_operand_of_its_target(client: Client) -> None:
    wrong = t.Compare(t.Target.VERSION, b"key", b"1", t.Is.EQUAL)
    with pytest.raises(TypeError):
        await client.transaction([wrong])


async def test_revisions_are_those_of_the_whole_store(client: Client, prefix: bytes) -> None:
    revisions = [await client.put(prefix + b"%d" % n, b"") for n in range(3)]
    assert all(b == a + 1 for a, b in itertools.pairwise(revisions))


async def test_compacting_twice_says_so(client: Client, prefix: bytes) -> None:
    revision = await client.put(prefix + b"key", b"")
    await client.compact(revision)
    with pytest.raises(Compacted):
        await client.compact(revision)


async def test_the_state_of_each_member_is_told(client: Client, etcd: EtcdCluster) -> None:
    (member,) = await client.status()
    assert member.endpoint == etcd.endpoints[0]
    assert member.problem == ""
    assert member.leading
    assert member.has_leader
    assert member.version.startswith("3.")
    assert member.size_bytes >= member.size_in_use_bytes > 0
    assert await client.alarms() == []


async def test_proxy_variables_are_not_for_etcd(
    etcd: EtcdCluster, prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.77.30.99:1")
    async with Client(etcd.endpoints) as client:
        assert await client.put(prefix + b"key", b"") > 0


@pytest.mark.parametrize(("user", "password"), [("root", ""), ("", "secret")])
async def test_a_user_comes_with_a_password(user: str, password: str) -> None:
    with pytest.raises(SettingsError):
        Client(["127.77.30.1:2379"], user=user, password=password)


async def test_there_is_an_endpoint_at_least() -> None:
    with pytest.raises(SettingsError):
        Client([])
