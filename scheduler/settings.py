"""The daemon's settings: one YAML file, overridden by `OFFERD_…` variables, read once and frozen.

Every problem of file and variables is told at once, in the words and with the machinery of job
files. Secrets come from files alone and are never printed. Neighbours: `config/offerd.yaml` (every
setting with its default and why), `scheduler.core.policy` (where numbers the engine uses come
from); whoever wires the daemon reads `Settings`.
"""

import ipaddress
import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final, NamedTuple

from pydantic import BeforeValidator, Field

from scheduler.core.model.ids import Role
from scheduler.core.policy import EndedPolicy, OfferPolicy, Policy, ReconcilePolicy
from scheduler.errors import SettingsError
from scheduler.jobspec.bodies import (
    Body,
    Checked,
    once_a_path,
    parse_text,
    read_body,
    refusal,
    traps,
)
from scheduler.jobspec.fields import (
    DURATION,
    Duration,
    Flag,
    Interval,
    Text,
    UserName,
    choice,
    whole,
)
from scheduler.jobspec.problems import Finding, Wrong, kind_of, quoted
from scheduler.jobspec.quantities import parse_duration
from scheduler.jobspec.words import parse_role
from scheduler.mesos.address import ZooKeeperAddress, parse_master
from scheduler.settings_sources import read_sources
from scheduler.store.etcd_address import EXAMPLE, parse_endpoints

SECRET_BYTES_MAX: Final = 64 * 1024
TTL_S_MIN: Final = 2.0
TTL_S_MAX: Final = 60.0

_POLICY: Final = Policy(roles=())
_OFFERS: Final = OfferPolicy()
_ENDED: Final = EndedPolicy()
_RECONCILE: Final = ReconcilePolicy()


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret and the file that it came from. It is shown by no repr, error or log."""

    path: Path
    _text: str = field(repr=False)

    def reveal(self) -> str:
        return self._text


class Address(NamedTuple):
    """Where to listen; `host` is a name or an IP address, IPv6 without brackets."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- how values are judged -----------------------------------------------------------------------


def _parse_path(value: object) -> Path:
    return Path(parse_text(value))


def read_secret(value: object) -> SecretFile:
    """The secret in a file: one line, its line end taken off."""
    path = _parse_path(value)
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise Wrong(f'"{path}" cannot be read: {error.strerror}') from error
    except UnicodeDecodeError:
        raise Wrong(f'"{path}" is not text') from None
    if not text.strip() or not text.isprintable() or len(data) > SECRET_BYTES_MAX:
        raise Wrong(f'"{path}" does not hold one line of text')
    return SecretFile(path, text)


def _parse_listen(value: object) -> Address:
    text = parse_text(value)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    good = bool(bare) and not any(char.isspace() or char == "/" for char in bare)
    if not (colon and good and (bracketed or ":" not in bare)):
        raise Wrong(f"{quoted(text)} is no address (host:port: 127.0.0.1:8080, [::1]:8080)")
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= 65_535):
        raise Wrong(f"{quoted(text)} has no port (0 to 65535)")
    return Address(bare, int(port))


def _parse_masters(value: object) -> tuple[str, ...] | ZooKeeperAddress:
    addresses = value if isinstance(value, list) else [value]
    if not addresses:
        raise Wrong("must not be empty (http://host:5050, or a list)")
    if len(addresses) == 1 and (text := parse_text(addresses[0])).startswith("zk:"):
        return _parse_zookeeper(text)
    return tuple(map(_parse_master, addresses))


def _parse_zookeeper(text: str) -> ZooKeeperAddress:
    try:
        address = parse_master(text)
    except SettingsError as error:
        raise Wrong(str(error).removeprefix("master: ")) from None
    if not isinstance(address, ZooKeeperAddress):
        raise Wrong("is no ZooKeeper address (zk://user:password@host:2181/mesos)")
    return address


def _parse_master(value: object) -> str:
    text = parse_text(value)
    if text.startswith("zk:"):
        raise Wrong("zk:// stands alone, it cannot be one of a list")
    if any(char.isspace() for char in text) or "@" in text:
        # What stands there may be a password: it is not repeated.
        raise Wrong("holds white space or @ (http://host:5050; see framework.secret_file)")
    return text


def _parse_store(value: object) -> str:
    text = parse_text(value)
    kind, _, rest = text.partition(":")
    if kind == "etcd":
        try:
            parse_endpoints(text)
        except ValueError as error:
            raise Wrong(str(error)) from None
        return text
    if text == "memory:" or (kind == "sqlite" and rest and not rest.startswith("//")):
        return text
    raise Wrong(f"{quoted(kind)} is no store (sqlite:PATH, memory:, {EXAMPLE})")


def _parse_ttl(value: object) -> float:
    seconds = parse_duration(value)
    if not TTL_S_MIN <= seconds <= TTL_S_MAX:
        raise Wrong(f"is not between {TTL_S_MIN:.0f}s and {TTL_S_MAX:.0f}s")
    return seconds


def _parse_url(value: object) -> str:
    text = parse_text(value)
    if "@" in text:
        # What stands there may be a password: it is not repeated, and others would see the URL.
        raise Wrong("holds @ (http://host:port)")
    if not text.startswith(("http://", "https://")) or any(char.isspace() for char in text):
        raise Wrong(f"{quoted(text)} is no URL (http://host:port)")
    return text


def _parse_roles(value: object) -> tuple[Role, ...]:
    if not isinstance(value, list):
        raise Wrong(f"must be a list, not {kind_of(value)} ([prod, batch])")
    roles = tuple(Role(parse_role(role)) for role in value)
    if not roles or len(set(roles)) < len(roles):
        raise Wrong("must name at least one role, and none twice ([prod, batch])")
    return roles


def _parse_principal(value: object) -> str:
    text = parse_text(value)
    if ":" in text:
        raise Wrong(f"{quoted(text)} holds a colon, which Mesos cannot read")
    return text


def _keep(value: object) -> object:
    if value == "keep":
        return {}
    if isinstance(value, dict):
        return value
    raise refusal(f"must be keep or {{kill_after: 1h}}, not {kind_of(value)}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


_Master = Annotated[tuple[str, ...] | ZooKeeperAddress, Checked(_parse_masters, {})]
_Store = Annotated[str, Checked(_parse_store, {})]
_Listen = Annotated[Address, Checked(_parse_listen, {})]
_Url = Annotated[str, Checked(_parse_url, {})]
_Roles = Annotated[tuple[Role, ...], Checked(_parse_roles, {})]
_Principal = Annotated[str, Checked(_parse_principal, {})]
_Secret = Annotated[SecretFile, Checked(read_secret, {})]
_File = Annotated[Path, Checked(_parse_path, {})]


# --- the settings --------------------------------------------------------------------------------


class ApiTls(Body):
    cert_file: _File = Field(description="the server's certificate and its chain, PEM")
    key_file: _File = Field(description="its private key, PEM")


class Api(Body):
    token_file: _Secret | None = Field(
        default=None, description="holds the token that requests must bring"
    )
    tls: ApiTls | None = Field(default=None, description="serve https")


class MasterTls(Body):
    ca_file: _File | None = Field(default=None, description="whom to trust, PEM; else the system")
    cert_file: _File | None = Field(default=None, description="our client certificate, PEM")
    key_file: _File | None = Field(default=None, description="its private key, PEM")


class EtcdTls(Body):
    ca_file: _File = Field(description="whom to trust, PEM")
    cert_file: _File | None = Field(default=None, description="our client certificate, PEM")
    key_file: _File | None = Field(default=None, description="its private key, PEM")


class Etcd(Body):
    prefix: Text = Field(default="offerd", description="what all keys begin with")
    user: _Principal | None = Field(default=None, description="who we are to etcd")
    password_file: _Secret | None = Field(default=None, description="holds the user's password")
    tls: EtcdTls | None = Field(default=None, description="speak TLS with the members")


class Election(Body):
    ttl_s: Annotated[float, Checked(_parse_ttl, DURATION)] = Field(
        default=3.0, alias="ttl", description="how long after its last sign a leader is replaced"
    )


class Framework(Body):
    name: Text = Field(default="offerd", description="how the master lists us")
    user: UserName = Field(
        default_factory=_user, description="who runs tasks that name no user; the daemon's own"
    )
    roles: _Roles = Field(
        default=(Role("*"),), description="Mesos roles; the first is that of jobs that name none"
    )
    principal: _Principal | None = Field(default=None, description="who we are to the master")
    secret_file: _Secret | None = Field(default=None, description="holds the principal's secret")
    failover_timeout_s: Interval = Field(
        default=_POLICY.failover_timeout_s,
        alias="failover_timeout",
        description="how long the master keeps our tasks without us",
    )
    checkpoint: Flag = Field(default=True, description="tasks outlive a restart of their agent")
    webui_url: _Url | None = Field(
        default=None, description="the link in the master's pages; `advertise` without"
    )
    hostname: Text = Field(
        default_factory=socket.gethostname, description="our host in the master's pages"
    )
    new_id_when_removed: Flag = Field(
        default=False, description="register anew when the master has removed us"
    )


class Operator(Body):
    principal: _Principal | None = Field(default=None, description="who asks for the agents' list")
    secret_file: _Secret | None = Field(default=None, description="holds the principal's secret")


class Offers(Body):
    refuse_nothing_waits_s: Duration = Field(
        default=_OFFERS.refuse_s_nothing_waits,
        alias="refuse_nothing_waits",
        description="how long to refuse an offer when nothing waits",
    )
    refuse_no_fit_s: Duration = Field(
        default=_OFFERS.refuse_s_no_fit,
        alias="refuse_no_fit",
        description="how long to refuse one that fits nothing that waits",
    )
    revive_interval_s_min: Duration = Field(
        default=_OFFERS.revive_interval_s,
        alias="revive_interval_min",
        description="refused offers are asked back at most this often",
    )


class UnknownTasks(Body):
    kill_after_s: Duration | None = Field(
        default=None, alias="kill_after", description="end them after this time"
    )


class Batches(Body):
    keep_s: Duration = Field(
        default=_ENDED.keep_s, alias="keep", description="how long an ended batch is kept"
    )
    keep_count: Annotated[int, whole(0, 100_000)] = Field(
        default=_ENDED.keep_max, description="how many ended batches are kept"
    )


class Log(Body):
    level: Annotated[str, choice("debug", "info", "warning", "error")] = Field(
        default="info", description="debug, info, warning or error"
    )
    format: Annotated[str, choice("json", "console")] = Field(
        default="json", description="`json` (one object a line) or `console` (for people)"
    )


class Settings(Body):
    """All settings, validated and complete. Durations are seconds (`…_s`)."""

    later: ClassVar[frozenset[str]] = frozenset({"jobs_dir", "peer_token_file"})

    master: _Master = Field(
        default=("http://127.0.0.1:5050",),
        description="the master's URL, a list of URLs, or `zk://…`",
    )
    master_tls: MasterTls = Field(
        default_factory=MasterTls, description="for masters that speak https"
    )
    store: _Store = Field(
        default="sqlite:/var/lib/offerd/offerd.db",
        description="`sqlite:PATH`, `memory:`, or `etcd://host:port,…` for several daemons",
    )
    etcd: Etcd = Field(default_factory=Etcd, description="for stores in etcd")
    election: Election = Field(
        default_factory=Election, description="which of several daemons leads; for stores in etcd"
    )
    listen: _Listen = Field(
        default=Address("127.0.0.1", 8080),
        description="where the API listens; beyond loopback only with a token",
    )
    advertise: _Url | None = Field(
        default=None, description="the URL under which others reach the API"
    )
    instance: Text = Field(
        default_factory=socket.gethostname, description="this daemon's name; its host's"
    )
    api: Api = Field(default_factory=Api, description="who may use the API")
    framework: Framework = Field(default_factory=Framework, description="who we are to Mesos")
    operator: Operator = Field(
        default_factory=Operator, description="credentials for the operator API"
    )
    offers: Offers = Field(default_factory=Offers, description="what we do with offers")
    unknown_tasks: Annotated[UnknownTasks, BeforeValidator(_keep)] = Field(
        default_factory=UnknownTasks,
        description="tasks of ours in no record of ours: `keep`, or `{kill_after: 1h}`",
    )
    batches: Batches = Field(default_factory=Batches, description="batches that have ended")
    launch_timeout_s: Interval = Field(
        default=_POLICY.launch_timeout_s,
        alias="launch_timeout",
        description="a task without a word for so long is asked for, then replaced",
    )
    reconcile_interval_s: Interval = Field(
        default=_RECONCILE.interval_s,
        alias="reconcile_interval",
        description="how often all tasks are compared with the master",
    )
    log: Log = Field(default_factory=Log, description="what is logged, and how")

    @property
    def webui_url(self) -> str | None:
        """The link for the master's pages, if there is one."""
        return self.framework.webui_url or self.advertise


def load_settings(path: str | Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file (None: defaults) with the variables over them.

    Raises `SettingsError` with every problem, one a line.
    """
    sources = read_sources(Settings, path, environ)
    settings, findings = read_body(Settings, sources.document)
    found = once_a_path(traps(sources.document), findings)
    if settings is not None and not found:
        found = _cross(settings)
    problems = [*sources.problems, *sources.placed(found)]
    if settings is None or problems:
        raise SettingsError("\n".join(map(str, problems)))
    return settings


def _cross(settings: Settings) -> list[Finding]:
    """What shows only between settings."""
    found: list[Finding] = []
    if not settings.listen.loopback and settings.api.token_file is None:
        text = f"{settings.listen} is beyond loopback and asks for no token (set api.token_file)"
        found.append(Finding(("listen",), text))
    for key, section in (("framework", settings.framework), ("operator", settings.operator)):
        if section.secret_file is not None and section.principal is None:
            found.append(Finding((key, "secret_file"), f"has no {key}.principal to go with"))
    tls = settings.master_tls
    if (tls.cert_file is None) != (tls.key_file is None):
        found.append(Finding(("master_tls",), "cert_file and key_file are given together"))
    etcd = settings.etcd
    if (etcd.user is None) != (etcd.password_file is None):
        found.append(Finding(("etcd",), "user and password_file are given together"))
    if etcd.tls is not None and (etcd.tls.cert_file is None) != (etcd.tls.key_file is None):
        found.append(Finding(("etcd", "tls"), "cert_file and key_file are given together"))
    return found
