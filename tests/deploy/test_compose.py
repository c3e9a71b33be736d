"""The compose file and config/ha.yaml: what they name exists, holds together, and is no secret; and
the daemons take the settings that they give."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scheduler.mesos.address import ZooKeeperAddress
from scheduler.settings import Settings, load_settings
from scheduler.store.etcd_address import parse_endpoints

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final = ROOT / "deploy" / "compose.yaml"
HA: Final = ROOT / "config" / "ha.yaml"
SECRETS: Final = ROOT / "deploy"

Document = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Document:
    document: Document = yaml.safe_load(COMPOSE.read_text())
    return document


def daemons(compose: Document) -> dict[str, Document]:
    return {name: one for name, one in compose["services"].items() if name.startswith("offerd")}


def settings_of(tmp_path: Path, environ: dict[str, str]) -> Settings:
    """The settings of config/ha.yaml with the files that hold its secrets somewhere else."""
    text = HA.read_text()
    for name in ("api-token", "peer-token"):
        (tmp_path / name).write_text(f"{name}-sesame\n")
        assert f"/etc/offerd/{name}\n" in text
        text = text.replace(f"/etc/offerd/{name}\n", f"{tmp_path / name}\n")
    (tmp_path / "offerd.yaml").write_text(text)
    return load_settings(tmp_path / "offerd.yaml", environ)


def test_each_daemon_takes_its_settings(compose: Document, tmp_path: Path) -> None:
    found = [
        (name, daemon, settings_of(tmp_path, daemon["environment"]))
        for name, daemon in daemons(compose).items()
    ]
    assert len(found) == 3
    for name, daemon, settings in found:
        assert isinstance(settings.master, ZooKeeperAddress)
        assert {host for host, _ in settings.master.hosts} <= set(compose["services"])
        members = {member.partition(":")[0] for member in parse_endpoints(settings.store)}
        assert members == {one for one in compose["services"] if one.startswith("etcd-")}
        assert settings.advertise == f"http://{name}:{settings.listen.port}"
        assert daemon["hostname"] == name
        (port,) = daemon["ports"]
        assert port.endswith(f":{settings.listen.port}")
        assert settings.framework.roles != ("*",)
        assert settings.peer_token_file is not None
    assert len({daemon["ports"][0] for _, daemon, _ in found}) == 3


def test_the_tokens_lie_where_the_settings_look_for_them(compose: Document) -> None:
    settings = yaml.safe_load(HA.read_text())
    for daemon in daemons(compose).values():
        targets = {secret["target"] for secret in daemon["secrets"]}
        assert targets == {settings["api"]["token_file"], settings["peer_token_file"]}
        (volume,) = daemon["volumes"]
        mounted, inside, mode = volume.split(":")
        assert ((COMPOSE.parent / mounted).resolve(), mode) == (HA, "ro")
        assert f'"{inside}"' in (ROOT / "Dockerfile").read_text()


def test_the_documented_file_is_taken_as_it_is(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, {"OFFERD_ADVERTISE": "http://a:8080"})
    assert settings.election.ttl_s == 3.0
    assert len(parse_endpoints(settings.store)) == 3


def test_every_name_in_it_is_defined_in_it(compose: Document) -> None:
    services = compose["services"]
    for service in services.values():
        for name, wanted in service.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"}
            assert "healthcheck" in services[name]
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {name for name in named if not name.startswith(".")} <= set(compose["volumes"])
        assert {one["source"] for one in service.get("secrets", [])} <= set(compose["secrets"])
        for value in service.get("environment", {}).values():
            for host in re.findall(r"(?:zk|http)://([a-z][a-z0-9-]*)", value):
                assert host in services
    for daemon in daemons(compose).values():
        assert (COMPOSE.parent / daemon["build"]["context"] / "Dockerfile").exists()


def test_etcd_has_one_list_of_members_a_quota_and_a_short_history(compose: Document) -> None:
    members = {n: one for n, one in compose["services"].items() if n.startswith("etcd-")}
    assert len(members) == 3
    peers = ",".join(f"{name}=http://{name}:2380" for name in members)
    for name, member in members.items():
        environment = member["environment"]
        assert environment["ETCD_NAME"] == member["hostname"] == name
        assert environment["ETCD_INITIAL_CLUSTER"] == peers
        assert environment["ETCD_AUTO_COMPACTION_RETENTION"] == "10m"
        assert int(environment["ETCD_QUOTA_BACKEND_BYTES"]) >= 2 * 1024**3


def test_everything_says_whether_it_is_healthy(compose: Document) -> None:
    """The daemons' image has a check of its own."""
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    for name, service in compose["services"].items():
        assert name in daemons(compose) or service["healthcheck"]["test"][0] == "CMD"


def test_images_are_named_in_full_and_ports_are_of_this_machine_only(compose: Document) -> None:
    for service in compose["services"].values():
        named = r"(docker\.io|quay\.io)/\S+:\S+|localhost/|\$\{MESOS_IMAGE:\?"
        assert re.match(named, service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_no_secret_stands_in_it(compose: Document) -> None:
    """They are files of their own, which git passes over."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for secret in compose["secrets"].values():
        (key,) = secret
        assert key == "file"
        path = (SECRETS / secret["file"]).relative_to(ROOT)
        assert f"/{path}" in ignored
    for path in (COMPOSE, HA):
        assert not re.search(r"(password|secret|token): +\S", path.read_text())
        assert "@" not in re.sub(r"#.*", "", path.read_text())
