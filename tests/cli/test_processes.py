"""`emulate` as a process, and a daemon's interface over TLS."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import HOST, DaemonThread, invoke

DEADLINE_S = 30.0


def test_an_emulated_master_says_where_it_is_and_ends_when_told() -> None:
    command = ["emulate", "--agents", "2", "--simulate", "--host", HOST, "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler.cli.main", *command], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            said = process.stdout.readline()
            assert said.startswith("a master with 2 agents at http://")
            url = said.split()[-1]
            with urllib.request.urlopen(f"{url}/master/health", timeout=DEADLINE_S) as response:
                assert response.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(DEADLINE_S)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of our own for the host of these tests, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate to serve with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=offerd", "-addext", f"subjectAltName=IP:{HOST}"]
    subprocess.run(
        [openssl, *kind, *names, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    return cert, key


def test_the_interface_is_served_and_asked_over_tls(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    daemon = DaemonThread(tls=context).start()
    try:
        server = {"OFFERD_SERVER": daemon.url}
        assert daemon.url.startswith("https://")
        trusted = invoke(["status"], server | {"SSL_CERT_FILE": str(cert)})
        assert trusted.exit_code == 0, trusted.stderr
        untrusted = invoke(["status"], server | {"SSL_CERT_FILE": os.devnull})
        assert untrusted.exit_code == 1
        assert "SSL_CERT_FILE" in untrusted.stderr
    finally:
        daemon.stop()
