"""From the settings to what we show others and whom we believe: credentials and TLS contexts.

Everybody else is given values ready for use. Raises `SettingsError` that names the setting and the
file. Neighbour: `daemon` (who needs which).
"""

import ssl

from scheduler.api.agent_files import AgentCredential
from scheduler.errors import SettingsError
from scheduler.mesos.access import Credential, Tls
from scheduler.settings import ApiTls, ClientTls, Settings
from scheduler.settings_values import SecretFile


def framework_credential(settings: Settings) -> Credential | None:
    return _credential(settings.framework.principal, settings.framework.secret_file)


def operator_credential(settings: Settings) -> Credential | None:
    """What lists agents and reads sandboxes; the framework's own where none is given for it."""
    own = _credential(settings.operator.principal, settings.operator.secret_file)
    return own or framework_credential(settings)


def agent_credential(settings: Settings) -> AgentCredential | None:
    credential = operator_credential(settings)
    return AgentCredential(credential.principal, credential.secret) if credential else None


def mesos_tls(settings: Settings) -> ssl.SSLContext | None:
    """For masters and agents: a cluster with TLS has it everywhere."""
    return _client_tls("master_tls", settings.master_tls)


def peer_tls(settings: Settings) -> ssl.SSLContext | None:
    return _client_tls("peer_tls", settings.peer_tls)


def api_tls(files: ApiTls | None) -> ssl.SSLContext | None:
    """What the API shows; None: it speaks plain HTTP."""
    if files is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.cert_file, files.key_file, password="")
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"api.tls: {files.cert_file}, {files.key_file}: {error}") from error
    return context


def revealed(secret: SecretFile | None) -> str | None:
    return secret.reveal() if secret is not None else None


def _credential(principal: str | None, secret: SecretFile | None) -> Credential | None:
    if principal is None or secret is None:
        return None
    return Credential(principal, secret.reveal())


def _client_tls(setting: str, files: ClientTls) -> ssl.SSLContext | None:
    """None where nothing is set: then the system says whom to trust."""
    if files.ca_file is None and files.cert_file is None:
        return None
    try:
        return Tls(files.ca_file, files.cert_file, files.key_file).context()
    except SettingsError as error:
        raise SettingsError(f"{setting}: {error}") from error
