"""Where a Mesos master is: the `master` setting and the Location of a redirect, read once.

It only reads and writes text: finding out which master leads is discovery's work, connecting is
the session's and the call connection's. It never keeps credentials of a URL but ZooKeeper's, and
shows none.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn
from urllib.parse import urlsplit

from scheduler.errors import MasterUnavailable, SettingsError

MASTER_PORT: Final = 5050
ZOOKEEPER_PORT: Final = 2181
SCHEDULER_PATH: Final = "/api/v1/scheduler"
# The same handler answers on both; a redirect may name either.
_SETTING_PATHS: Final = ("", "/", SCHEDULER_PATH, "/master" + SCHEDULER_PATH)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.ASCII)
_MASTER_FORMS: Final = (
    "host, host:port, http://host:port or https://host:port, "
    f"with or without {SCHEDULER_PATH}, a list of these, or one zk://host:port,…/path"
)

Scheme = Literal["http", "https"]


@dataclass(frozen=True, slots=True)
class MasterAddress:
    """One master's HTTP endpoint; `host` is a name or an IP address, IPv6 without brackets."""

    scheme: Scheme
    host: str
    port: int

    @property
    def authority(self) -> str:
        """`host:port` as a URL and the Host header write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path: str = "") -> str:
        return f"{self.scheme}://{self.authority}{path}"

    def __str__(self) -> str:
        return self.url()


@dataclass(frozen=True, slots=True)
class ZooKeeperAddress:
    """The group of masters in ZooKeeper: `hosts` are (host, port), `path` the group's znode."""

    hosts: tuple[tuple[str, int], ...]
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def hosts_text(self) -> str:
        """The servers with commas between."""
        return ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)

    def __str__(self) -> str:
        return f"zk://{self.hosts_text}{self.path}"


MasterSetting = str | Sequence[str] | ZooKeeperAddress
"""The `master` setting as it is written, or what was read from it where that holds a password."""


def parse_master(setting: MasterSetting) -> tuple[MasterAddress, ...] | ZooKeeperAddress:
    """Reads the `master` setting: one address, a list (or commas between) of them, or one zk://.

    Where no port is written it is 5050, the master's own default, with https too. The order of
    the list is kept, what is written twice is taken once. Raises `SettingsError`.
    """
    if isinstance(setting, ZooKeeperAddress):
        return setting
    texts = [setting] if isinstance(setting, str) else list(setting)
    texts = [text.strip() for text in texts]
    if len(texts) == 1 and texts[0].lower().startswith("zk://"):
        return _parse_zookeeper(texts[0])
    # A comma inside zk:// separates its hosts, anywhere else it separates masters.
    parts = [part.strip() for text in texts for part in text.split(",")]
    if any(part.lower().startswith("zk://") for part in parts):
        raise SettingsError("master: zk:// stands alone, it cannot be one of a list")
    return tuple(dict.fromkeys(_parse_address(part) for part in parts or [""]))


def from_location(location: str, base: MasterAddress) -> MasterAddress:
    """The master that a redirect's Location names, seen from `base`, which answered it.

    Mesos sends it without a scheme (`//host:port/path`): the scheme of the request stays. Raises
    `MasterUnavailable` for one that names no master, or that would leave https: the credentials
    go with the next request.
    """

    def refuse(why: str) -> NoReturn:
        raise MasterUnavailable(f"{base} redirects to {_shown(location)!r}: {why}")

    try:
        parts = urlsplit(location.strip(), scheme=base.scheme)
        port = parts.port
    except ValueError:
        refuse("not a URL (//host:port/path is expected)")
    if parts.scheme not in _DEFAULT_PORTS:
        refuse("not http or https")
    if not parts.netloc:
        if not re.match(r"\s*/(?!/)", location):
            refuse("it names no host (//host:port/path is expected)")
        return base
    if parts.username is not None or parts.password is not None:
        refuse("it holds credentials")
    if base.scheme == "https" and parts.scheme != "https":
        refuse("it leaves https")
    host = host_or_none(parts.hostname or "")
    if host is None or port == 0:
        refuse("its host or port is not valid")
    scheme: Scheme = "https" if parts.scheme == "https" else "http"
    # A header is HTTP's: there a missing port is the scheme's, not 5050.
    return MasterAddress(scheme, host, _DEFAULT_PORTS[scheme] if port is None else port)


def _parse_address(text: str) -> MasterAddress:
    if "@" in text:
        _refuse_setting(text, "credentials do not belong here; see framework.principal")
    scheme_text, separator, rest = text.partition("://")
    if not separator:
        scheme_text, rest = "http", text
    scheme: Scheme = "http"
    match scheme_text.lower():
        case "http":
            pass
        case "https":
            scheme = "https"
        case _:
            _refuse_setting(text, f"unknown scheme {scheme_text!r}")
    authority, slash, path = rest.partition("/")
    if slash and (slash + path).rstrip("/") not in _SETTING_PATHS:
        _refuse_setting(text, f"unknown path {slash + path!r}")
    host_and_port = _host_and_port(authority, MASTER_PORT)
    if host_and_port is None:
        _refuse_setting(text, f"{authority!r} is not a host, or its port is not in 1…65535")
    return MasterAddress(scheme, *host_and_port)


def _parse_zookeeper(text: str) -> ZooKeeperAddress:
    authority, _, path = text[len("zk://") :].partition("/")
    credentials, at, hosts_text = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and not (user and colon):
        _refuse_setting(text, "credentials are written user:password@")
    path = "/" + path.rstrip("/")
    if path == "/" or "//" in path or "@" in path or "," in path:
        _refuse_setting(
            text, "the path of the masters' group is missing or not valid, as in /mesos"
        )
    hosts: list[tuple[str, int]] = []
    for part in hosts_text.split(","):
        host_and_port = _host_and_port(part.strip(), ZOOKEEPER_PORT)
        if host_and_port is None:
            _refuse_setting(text, f"{part!r} is not a host, or its port is not in 1…65535")
        hosts.append(host_and_port)
    return ZooKeeperAddress(tuple(hosts), path, user or None, password if at else None)


def _host_and_port(authority: str, port_default: int) -> tuple[str, int] | None:
    """Splits `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address."""
    if authority.startswith("["):
        host_text, bracket, port_text = authority[1:].partition("]")
        if not bracket or ":" not in host_text or port_text[:1] not in ("", ":"):
            return None
    elif authority.count(":") > 1:
        host_text, port_text = authority, ""
    else:
        host_text, colon, port_text = authority.partition(":")
        port_text = colon + port_text
    host = host_or_none(host_text)
    if host is None:
        return None
    if not port_text:
        return host, port_default
    digits = port_text[1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        return None
    return (host, int(digits)) if 1 <= int(digits) <= 65535 else None


def host_or_none(text: str) -> str | None:
    """A host in one form (lower case, IPv6 compressed), or None when it is none."""
    text = text.lower()
    if ":" in text or text.replace(".", "").isdigit():
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        return None if "%" in text else str(address)
    return text if len(text) <= 253 and _HOST_NAME.fullmatch(text) else None


def _refuse_setting(text: str, why: str) -> NoReturn:
    raise SettingsError(f"master: {_shown(text)!r}: {why} (allowed: {_MASTER_FORMS})")


def _shown(text: str) -> str:
    """The text for an error, without what may be a password in it."""
    before, at, after = text.rpartition("@")
    if not at:
        return text[:200]
    scheme, separator, _ = before.partition("//")
    return f"{scheme}{separator}***@{after}"[:200] if separator else f"***@{after}"[:200]
