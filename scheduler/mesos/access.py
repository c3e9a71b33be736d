"""What we show a master to be let in: basic credentials and a TLS context.

Shared by the session, the call connection's headers and the operator client; it makes values and
opens no connection. A secret appears in no repr, error or log.
"""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Credential:
    """A principal and its secret, for HTTP basic authentication. Raises `SettingsError`."""

    principal: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        # The master cuts the decoded pair at its colons and refuses one with more than one.
        if not self.principal or ":" in self.principal:
            raise SettingsError("principal: it is empty or holds a colon, which Mesos cannot read")
        if ":" in self.secret:
            raise SettingsError("secret: it holds a colon, which Mesos cannot read")
        if not self.secret or "\n" in self.secret:
            raise SettingsError("secret: it is empty or has more than one line")

    @property
    def header(self) -> str:
        """The value of the Authorization header. The word Basic is case-sensitive to Mesos."""
        pair = f"{self.principal}:{self.secret}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for talking to a master over https: whom to trust, and who we are (PEM)."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Reads the files. Raises `SettingsError` that names the one that cannot be used."""
        if (self.certificate_file is None) != (self.key_file is None):
            raise SettingsError("tls: a client certificate and its key are given together")
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"tls: CA file {self.ca_file}: {error}") from error
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(
                    f"tls: certificate {self.certificate_file} with key {self.key_file}: {error}"
                ) from error
        return context


def authorization(credential: Credential | None) -> dict[str, str]:
    """The headers that go with every request; none without a credential."""
    return {} if credential is None else {"Authorization": credential.header}
