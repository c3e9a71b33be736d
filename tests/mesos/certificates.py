"""A certificate for a loopback address, which is its own authority."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OPENSSL_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """Both as PEM files."""

    certificate: Path
    key: Path


def make_certificate(folder: Path, address: str) -> CertificatePair:
    """Skips the test where there is no `openssl` command."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is missing: no certificate to test TLS with")
    pair = CertificatePair(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=test"),
            *("-addext", f"subjectAltName=IP:{address}"),
            *("-keyout", str(pair.key), "-out", str(pair.certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=OPENSSL_DEADLINE_S,
    )
    return pair
