"""How an etcd is named."""

import pytest

from scheduler.store.etcd_address import parse_endpoints


@pytest.mark.parametrize(
    ("url", "endpoints"),
    [
        ("etcd://a:2379", ("a:2379",)),
        ("etcd://a:2379,b.example:2380", ("a:2379", "b.example:2380")),
        ("etcd://10.0.0.1:2379,[::1]:2379/", ("10.0.0.1:2379", "[::1]:2379")),
    ],
)
def test_members_are_named_by_host_and_port(url: str, endpoints: tuple[str, ...]) -> None:
    assert parse_endpoints(url) == endpoints


@pytest.mark.parametrize(
    "url",
    [
        "etcd:",
        "etcd://",
        "etcd:a:2379",
        "http://a:2379",
        "etcd://a",
        "etcd://a:",
        "etcd://:2379",
        "etcd://a:0",
        "etcd://a:99999999999999999999",
        "etcd://a:70000",
        "etcd://a:2379,",
        "etcd://a:2379,a:2379",
        "etcd://a:2379/x",
        "etcd://::1:2379",
        "etcd://a b:2379",
        "etcd://user:hunter2@a:2379",
    ],
)
def test_anything_else_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_endpoints(url)
    assert "hunter2" not in str(refusal.value)
