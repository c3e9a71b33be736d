"""The compose file: what it names exists, and the daemon takes the settings that it gives."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scheduler.mesos.address import ZooKeeperAddress
from scheduler.settings import load_settings

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final = ROOT / "deploy" / "compose.yaml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return document


def test_the_daemon_takes_its_settings(compose: dict[str, Any], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("sesame\n")
    offerd = compose["services"]["offerd"]
    (secret,) = offerd["secrets"]
    environment = dict(offerd["environment"])
    assert environment["OFFERD_API__TOKEN_FILE"] == f"/run/secrets/{secret}"
    environment["OFFERD_API__TOKEN_FILE"] = str(token)
    settings = load_settings(None, environment)
    assert isinstance(settings.master, ZooKeeperAddress)
    assert {host for host, _ in settings.master.hosts} <= set(compose["services"])
    assert offerd["ports"] == [f"127.0.0.1:8080:{settings.listen.port}"]
    assert f"{Path(settings.store.removeprefix('sqlite:')).parent}" in offerd["volumes"][0]


def test_every_name_in_it_is_defined_in_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", [])) <= set(services)
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(
            compose["volumes"]
        )
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for value in service.get("environment", {}).values():
            for host in re.findall(r"zk://([a-z-]+)", value):
                assert host in services
    assert (COMPOSE.parent / services["offerd"]["build"]["context"] / "Dockerfile").exists()


def test_images_are_named_in_full_and_ports_are_of_this_machine_only(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        assert re.match(r"(docker\.io|localhost)/|\$\{MESOS_IMAGE:\?", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
