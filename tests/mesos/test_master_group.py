"""Which child of the masters' group leads, and what its MasterInfo says."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import MasterUnavailable
from scheduler.mesos.master_group import leading_child, read_master_info

INFO: dict[str, Any] = {
    "id": "b3f4",
    "ip": 83886090,
    "port": 5050,
    "pid": "master@10.0.0.5:5050",
    "hostname": "m1.example.org",
    "version": "1.11.0",
    "address": {"hostname": "m1.example.org", "ip": "10.0.0.5", "port": 5051},
    "capabilities": [{"type": "AGENT_UPDATE"}],
}


def encoded(**other: Any) -> bytes:
    kept = {key: value for key, value in {**INFO, **other}.items() if value is not None}
    return json.dumps(kept).encode()


@given(st.sets(st.integers(0, 2**31 - 1), min_size=1), st.randoms())
def test_the_lowest_number_leads_however_the_children_are_listed(
    numbers: set[int], random: Any
) -> None:
    children = [f"json.info_{number:010d}" for number in numbers] + ["log_replicas"]
    random.shuffle(children)
    assert leading_child(children) == f"json.info_{min(numbers):010d}"


def test_numbers_are_compared_and_not_names() -> None:
    assert leading_child(["json.info_0000000010", "json.info_9"]) == "json.info_9"


@pytest.mark.parametrize("children", [[], ["log_replicas", "json.info_", "json.info_12x", "a"]])
def test_what_has_no_number_is_no_master(children: list[str]) -> None:
    assert leading_child(children) is None


@pytest.mark.parametrize("name", ["info_0000000001", "0000000001", "other_0000000001"])
def test_a_leader_of_another_form_is_not_passed_over(name: str) -> None:
    with pytest.raises(MasterUnavailable, match=name):
        leading_child(["json.info_0000000002", name])
    assert leading_child([name.replace("1", "3"), "json.info_0000000002"]) == "json.info_0000000002"


def test_the_address_is_preferred_and_over_https_its_name() -> None:
    leader = read_master_info(encoded(), "http")
    assert leader.address.url() == "http://10.0.0.5:5051"
    assert leader.master_id == "b3f4"
    assert read_master_info(encoded(), "https").address.url() == "https://m1.example.org:5051"


def test_a_master_that_gives_no_address_is_at_its_ip_and_port() -> None:
    assert read_master_info(encoded(address=None), "http").address.url() == "http://10.0.0.5:5050"
    named = encoded(address=None, ip=0)
    assert read_master_info(named, "http").address.url() == "http://m1.example.org:5050"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"id": 1}',
        encoded(port="x"),
        encoded(address={"ip": "10.0.0.5", "port": 0}),
        encoded(address={"ip": "not a host!", "port": 1}, hostname="", ip=0),
        encoded(address={"ip": "", "hostname": "", "port": 5050}, hostname=None),
    ],
)
def test_what_is_no_master_info_is_an_error(data: bytes) -> None:
    with pytest.raises(MasterUnavailable, match="leading node"):
        read_master_info(data, "http")


@given(st.binary())
def test_no_bytes_are_more_than_an_error(data: bytes) -> None:
    with contextlib.suppress(MasterUnavailable):
        read_master_info(data, "http")
