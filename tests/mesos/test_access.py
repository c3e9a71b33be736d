"""Credentials and TLS files: what cannot work is said at the start, and a secret never shown."""

import base64
from pathlib import Path

import pytest

from scheduler.errors import SettingsError
from scheduler.mesos.access import Credential, Tls, authorization
from tests.mesos.certificates import make_certificate


def test_credentials_are_basic_with_the_word_as_mesos_wants_it() -> None:
    header = authorization(Credential("fw", "sésame"))["Authorization"]
    assert header == "Basic " + base64.b64encode("fw:sésame".encode()).decode()
    assert authorization(None) == {}


def test_a_secret_is_not_in_what_is_printed() -> None:
    assert "sesame" not in repr(Credential("fw", "sesame"))


@pytest.mark.parametrize(
    ("principal", "secret"),
    [("", "sesame"), ("f:w", "sesame"), ("fw", "ses:ame"), ("fw", ""), ("fw", "sesame\n")],
)
def test_credentials_that_mesos_cannot_read_are_refused(principal: str, secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Credential(principal, secret)
    assert "ame" not in str(caught.value)


def test_tls_without_files_trusts_the_system() -> None:
    assert Tls().context().check_hostname


def test_a_client_certificate_is_loaded_with_its_key(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, "127.77.3.1")
    assert Tls(ca_file=pair.certificate).context().get_ca_certs()
    Tls(pair.certificate, pair.certificate, pair.key).context()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(SettingsError, match=r"missing\.pem"):
        Tls(ca_file=missing).context()
    with pytest.raises(SettingsError, match=r"empty\.pem"):
        Tls(certificate_file=empty, key_file=empty).context()
    with pytest.raises(SettingsError, match="together"):
        Tls(certificate_file=empty).context()
