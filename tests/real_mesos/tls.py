"""TLS for a cluster's nodes: one certificate for all of them, which is its own authority."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

OPENSSL_DEADLINE_S = 20.0
CIPHERS = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"


def certificate_file(run_dir: Path) -> Path:
    """The certificate, to be trusted by clients."""
    return run_dir / "certificate.pem"


def write_certificate(run_dir: Path, addresses: Iterable[str]) -> None:
    """Makes a key and a certificate that holds for `addresses`, with the `openssl` command."""
    names = ",".join(f"IP:{address}" for address in addresses)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
            *("-subj", "/CN=real-mesos", "-addext", f"subjectAltName={names}"),
            *("-keyout", str(run_dir / "key.pem"), "-out", str(certificate_file(run_dir))),
        ],
        check=True,
        capture_output=True,
        timeout=OPENSSL_DEADLINE_S,
    )


def tls_environment(run_dir: Path, *, also_plain: bool) -> dict[str, str]:
    """What makes libprocess speak TLS; `also_plain` lets it take plain connections too."""
    return {
        "LIBPROCESS_SSL_ENABLED": "true",
        "LIBPROCESS_SSL_SUPPORT_DOWNGRADE": str(also_plain).lower(),
        "LIBPROCESS_SSL_KEY_FILE": str(run_dir / "key.pem"),
        "LIBPROCESS_SSL_CERT_FILE": str(certificate_file(run_dir)),
        "LIBPROCESS_SSL_ENABLE_TLS_V1_2": "true",
        "LIBPROCESS_SSL_ECDH_CURVES": "auto",
        "LIBPROCESS_SSL_CIPHERS": CIPHERS,
    }
