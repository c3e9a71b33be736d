"""The kinds of values that settings have: secrets in files, addresses, URLs, roles; each judged as
it is read.

A refusal is a `Wrong` in the words of job files, and repeats nothing that may be a password.
Neighbour: `settings` (which setting is of which kind).
"""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from scheduler.core.model.ids import Role
from scheduler.errors import SettingsError
from scheduler.jobspec.bodies import Checked, parse_text, refusal
from scheduler.jobspec.fields import DURATION
from scheduler.jobspec.problems import Wrong, kind_of, quoted
from scheduler.jobspec.quantities import parse_duration
from scheduler.jobspec.words import parse_role
from scheduler.mesos.address import ZooKeeperAddress, parse_master
from scheduler.store.etcd_address import EXAMPLE, parse_endpoints

SECRET_BYTES_MAX: Final = 64 * 1024
TTL_S_MIN: Final = 2.0
TTL_S_MAX: Final = 60.0


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


def keep_or_mapping(value: object) -> object:
    if value == "keep":
        return {}
    if isinstance(value, dict):
        return value
    raise refusal(f"must be keep or {{kill_after: 1h}}, not {kind_of(value)}")


Master = Annotated[tuple[str, ...] | ZooKeeperAddress, Checked(_parse_masters, {})]
StoreUrl = Annotated[str, Checked(_parse_store, {})]
Listen = Annotated[Address, Checked(_parse_listen, {})]
Url = Annotated[str, Checked(_parse_url, {})]
Roles = Annotated[tuple[Role, ...], Checked(_parse_roles, {})]
Principal = Annotated[str, Checked(_parse_principal, {})]
Secret = Annotated[SecretFile, Checked(read_secret, {})]
File = Annotated[Path, Checked(_parse_path, {})]
Ttl = Annotated[float, Checked(_parse_ttl, DURATION)]
