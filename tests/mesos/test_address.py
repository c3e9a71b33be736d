"""Master addresses: what the setting may say, and what a redirect may name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import MasterUnavailable, SettingsError
from scheduler.mesos.address import (
    MasterAddress,
    ZooKeeperAddress,
    from_location,
    parse_master,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m1", MasterAddress("http", "m1", 5050)),
        ("M1.Example.org:5051", MasterAddress("http", "m1.example.org", 5051)),
        ("10.0.0.5", MasterAddress("http", "10.0.0.5", 5050)),
        ("http://m1", MasterAddress("http", "m1", 5050)),
        ("https://m1", MasterAddress("https", "m1", 5050)),
        ("HTTPS://m1:443/", MasterAddress("https", "m1", 443)),
        ("http://m1:5050/api/v1/scheduler", MasterAddress("http", "m1", 5050)),
        ("http://m1:5050/master/api/v1/scheduler/", MasterAddress("http", "m1", 5050)),
        ("[::1]:5051", MasterAddress("http", "::1", 5051)),
        ("[FE80::0:1]", MasterAddress("http", "fe80::1", 5050)),
        ("::1", MasterAddress("http", "::1", 5050)),
        ("https://[2001:db8::5]:5050", MasterAddress("https", "2001:db8::5", 5050)),
        (" m_1-x.local. ", MasterAddress("http", "m_1-x.local.", 5050)),
    ],
)
def test_one_master_is_read_in_each_of_its_forms(text: str, expected: MasterAddress) -> None:
    assert parse_master(text) == (expected,)


def test_a_list_keeps_its_order_and_takes_repetitions_once() -> None:
    masters = (MasterAddress("http", "b", 5050), MasterAddress("http", "a", 5051))
    assert parse_master(["b", "a:5051", "http://b:5050"]) == masters
    assert parse_master("b, a:5051") == masters


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("http://", "'http://'"),
        ("ftp://m1", "unknown scheme 'ftp'"),
        ("file:///etc/mesos/zk", "unknown scheme 'file'"),
        ("http://m1:5050/api/v1", "unknown path '/api/v1'"),
        ("m1:0", "'m1:0'"),
        ("m1:65536", "'m1:65536'"),
        ("m1:", "'m1:'"),
        ("m1:5o5o", "'m1:5o5o'"),
        ("m1 m2", "'m1 m2'"),
        ("mäster", "'mäster'"),
        ("10.0.0.256", "'10.0.0.256'"),
        ("[::1", "'[::1'"),
        ("[::1]x", "'[::1]x'"),
        ("[m1]:5050", "'[m1]:5050'"),
        ("[fe80::1%eth0]", "eth0"),
        ("-m1", "'-m1'"),
        ("m1..x", "'m1..x'"),
        ("a" * 64, "is not a host"),
        ("m1,,m2", "''"),
    ],
)
def test_a_bad_address_is_named_with_what_is_allowed(text: str, named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_master(text)
    assert named in str(raised.value)
    assert "allowed: host, host:port, http" in str(raised.value)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(SettingsError):
        parse_master([])


@pytest.mark.parametrize(
    "text",
    [
        "http://me:hidden@m1:5050",
        "me:hidden@m1",
        "http://me:hid@hidden@m1/x",
        "zk://me:hidden@m1",
        "zk://me:hidden@m1:x/mesos",
        "zk://me:hidden@m1/mesos,m2",
        "zk://:hidden@m1/mesos",
        "m1, me:hidden@m1",
    ],
)
def test_a_password_is_never_in_an_error(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_master(text)
    assert "hid" not in str(raised.value)


def test_a_zookeeper_address_is_its_own_kind() -> None:
    assert parse_master("zk://h1:2182,h2, [::1]:2183/mesos/prod/") == ZooKeeperAddress(
        (("h1", 2182), ("h2", 2181), ("::1", 2183)), "/mesos/prod"
    )


def test_zookeeper_credentials_are_read_and_never_shown() -> None:
    address = parse_master(["zk://me:a:b@h1/mesos"])
    assert isinstance(address, ZooKeeperAddress)
    assert (address.user, address.password) == ("me", "a:b")
    assert "a:b" not in repr(address)
    assert str(address) == "zk://h1:2181/mesos"


@pytest.mark.parametrize("text", ["zk://h1", "zk://h1/", "zk:///mesos", "zk://me@h1/mesos"])
def test_a_zookeeper_address_without_host_path_or_whole_credentials_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="zk://"):
        parse_master(text)


def test_a_zookeeper_address_is_not_one_of_a_list() -> None:
    with pytest.raises(SettingsError, match="stands alone"):
        parse_master(["m1:5050", "zk://h1/mesos"])


BASE = MasterAddress("https", "m1", 5050)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("//m2:5051/master/api/v1/scheduler", MasterAddress("https", "m2", 5051)),
        ("//m2:5051", MasterAddress("https", "m2", 5051)),
        ("//[::1]:5050/api/v1/scheduler", MasterAddress("https", "::1", 5050)),
        ("https://M2:5050/x?y", MasterAddress("https", "m2", 5050)),
        ("https://m2/x", MasterAddress("https", "m2", 443)),
        ("/master/api/v1/scheduler", BASE),
    ],
)
def test_a_location_is_resolved_against_the_request(location: str, expected: MasterAddress) -> None:
    assert from_location(location, BASE) == expected


def test_a_location_without_scheme_keeps_http() -> None:
    assert from_location("//m2:5050/x", MasterAddress("http", "m1", 5050)) == MasterAddress(
        "http", "m2", 5050
    )


@pytest.mark.parametrize(
    "location",
    [
        "",
        "m2:5050",
        "api/v1/scheduler",
        "http://m2:5050/x",
        "ftp://m2/x",
        "//m2:99999/x",
        "//m2:0/x",
        "//m2:x/x",
        "//[::1/x",
        "//me:hidden@m2:5050/x",
        "//a b/x",
        "///x",
    ],
)
def test_a_location_that_names_no_master_is_refused(location: str) -> None:
    with pytest.raises(MasterUnavailable) as raised:
        from_location(location, BASE)
    assert "hidden" not in str(raised.value)


@given(st.text())
def test_any_text_is_an_address_or_a_settings_error(text: str) -> None:
    try:
        addresses = parse_master(text)
    except SettingsError:
        return
    if isinstance(addresses, tuple):
        assert parse_master([str(address) for address in addresses]) == addresses
    else:
        assert parse_master(str(addresses)) == addresses


@given(st.text())
def test_any_location_is_a_master_or_an_error_of_ours(text: str) -> None:
    try:
        address = from_location("//" + text, BASE)
    except MasterUnavailable:
        return
    assert from_location(f"//{address.authority}/x", BASE) == address
