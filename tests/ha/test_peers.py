"""Daemons that pass changes on to the one that leads: tokens, TLS, and a leader that changes."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scene import service
from tests.ha.conftest import Company
from tests.mesos.certificates import CertificatePair, make_certificate
from tests.support.daemon import HOST, DaemonProcess
from tests.support.rest import RefusedRequest, RestClient
from tests.support.waiting import wait_until

USER, PEER = "correct-horse", "battery-staple"

pytestmark = pytest.mark.timeout(120, func_only=True)


def token_file(folder: Path, token: str) -> str:
    path = folder / token
    path.write_text(token + "\n")
    return str(path)


def hire(company: Company, folder: Path, peer_token: str, **more: Any) -> DaemonProcess:
    """One that asks users for a token, and brings its own to others."""
    tokens = {
        "api": {"token_file": token_file(folder, USER)},
        "peer_token_file": token_file(folder, peer_token),
    }
    daemon = company.hire(**tokens | more)
    daemon.api = RestClient(HOST, daemon.port, token=USER)
    return daemon


def wait_until_following(daemon: DaemonProcess, leader: DaemonProcess) -> None:
    wait_until(
        lambda: daemon.api.status()["leader_url"] == leader.url, "it to follow the leader", 20.0
    )


def test_a_standby_passes_changes_on_with_the_peers_token(company: Company, tmp_path: Path) -> None:
    leader = hire(company, tmp_path, PEER).start()
    leader.wait_until_connected()
    right = hire(company, tmp_path, PEER).start()
    wrong = hire(company, tmp_path, "another").start()
    for standby in (right, wrong):
        wait_until_following(standby, leader)
    assert right.api.get("/readyz") == {"status": "following", "leader": "offerd-1"}
    assert right.api.status()["passing_on_fails"] == ""
    # Nobody has asked it for a change yet.
    told = wait_until(lambda: wrong.api.status()["passing_on_fails"], "it to say so")
    assert "peer_token_file must hold the same one" in told
    with pytest.raises(RefusedRequest, match="does not accept its token") as refused:
        wrong.api.get("/readyz")
    assert refused.value.status == 503

    assert right.api.apply(service("web", 2))["result"] == "created"
    wait_until(lambda: leader.api.job("web")["tasks"] == {"running": 2}, "its tasks to run")

    with pytest.raises(RefusedRequest, match="peer_token_file must hold the same") as refused:
        wrong.api.apply(service("other"))
    assert refused.value.status == 502
    stranger = RestClient(HOST, right.port, token="guessed")
    with pytest.raises(RefusedRequest) as refused:
        stranger.apply(service("other"))
    assert refused.value.status == 401
    assert [job["job"] for job in leader.api.get("/v1/jobs")["items"]] == ["web"]


def test_after_a_change_of_leader_changes_go_to_the_new_one(
    company: Company, tmp_path: Path
) -> None:
    first = hire(company, tmp_path, PEER).start()
    first.wait_until_connected()
    others = [hire(company, tmp_path, PEER).start() for _ in range(2)]
    for other in others:
        wait_until_following(other, first)
    others[0].api.apply(service("web"))
    first.kill9()
    second = company.leader()
    (third,) = (other for other in others if other is not second)
    wait_until(
        lambda: third.api.scale("web", 3)["result"],
        "the change to be passed on to the new leader",
        20.0,
    )
    wait_until(lambda: second.api.job("web")["instances"] == 3, "the new leader to have it")


def test_daemons_serve_each_other_https(company: Company, tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, HOST)
    tls = {"cert_file": str(pair.certificate), "key_file": str(pair.key)}
    secure = {
        "scheme": "https",
        "api": {"token_file": token_file(tmp_path, USER), "tls": tls},
    }
    believing = secure | {"peer_tls": {"ca_file": str(pair.certificate)}}
    leader, believer, doubter = (
        hire_secure(company, tmp_path, pair, more) for more in (believing, believing, secure)
    )
    leader.start().wait_until_connected()
    for standby in (believer, doubter):
        wait_until_following(standby.start(), leader)
    assert believer.api.apply(service("web"))["result"] == "created"
    with pytest.raises(RefusedRequest, match=r"its certificate is not trusted: .*; see peer_tls"):
        doubter.api.apply(service("other"))
    assert [job["job"] for job in leader.api.get("/v1/jobs")["items"]] == ["web"]


def hire_secure(
    company: Company, folder: Path, pair: CertificatePair, more: dict[str, Any]
) -> DaemonProcess:
    daemon = hire(company, folder, PEER, **more)
    believed = ssl.create_default_context(cafile=pair.certificate)
    daemon.api = RestClient(HOST, daemon.port, token=USER, tls=believed)
    return daemon


def test_a_daemon_that_has_no_token_for_its_peers_is_told_so(
    company: Company, tmp_path: Path
) -> None:
    daemon = company.hire(api={"token_file": token_file(tmp_path, USER)})
    daemon.spawn()
    assert daemon.wait_for_end(30.0) == 2
    assert "set peer_token_file, the same everywhere" in daemon.said()


def test_a_peer_tls_that_cannot_be_read_is_told(company: Company, tmp_path: Path) -> None:
    daemon = company.hire(peer_tls={"ca_file": str(tmp_path / "none.pem")})
    daemon.spawn()
    assert daemon.wait_for_end(30.0) == 2
    assert "peer_tls" in daemon.said()
    assert "none.pem" in daemon.said()
