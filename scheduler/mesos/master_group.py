"""The masters' group in ZooKeeper, as data: which of its children leads, and where that one is.

Only values: the children's names and their contents come from zookeeper.py, what follows from them
is discovery.py's. Raises `MasterUnavailable` for what cannot be read: it may be mended.
"""

import re
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from scheduler.errors import MasterUnavailable
from scheduler.mesos.address import MasterAddress, Scheme, host_or_none

# Mesos 1.11 writes this form; the protobuf in `info_` is older than 0.24.
LABEL: Final = "json.info"
_CHILD: Final = re.compile(r"(?:(?P<label>.*)_)?(?P<sequence>-?[0-9]{1,10})", re.DOTALL)
_SHOWN_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Leader:
    """The master that leads. `master_id` is another one with each start of a master."""

    address: MasterAddress
    master_id: str


class _Address(msgspec.Struct, frozen=True):
    ip: str = ""
    hostname: str = ""
    port: int = 0


class _MasterInfo(msgspec.Struct, frozen=True):
    """The part of the wire's MasterInfo (v0 names) that says where it is."""

    id: str
    ip: int = 0
    port: int = 5050
    hostname: str = ""
    address: _Address | None = None


def leading_child(children: Sequence[str]) -> str | None:
    """The child with the lowest sequence number, whatever its label; None where there is none.

    What does not end in a number (`log_replicas`) is no master. Raises `MasterUnavailable` for a
    leader of a form that we cannot read: to pass it over would be to follow a standby.
    """
    numbered = [
        (int(found["sequence"]), found["label"] or "", name)
        for name in children
        if (found := _CHILD.fullmatch(name))
    ]
    if not numbered:
        return None
    _, label, name = min(numbered)
    if label != LABEL:
        raise MasterUnavailable(
            f"the leading node is {name[:_SHOWN_MAX]!r}, not {LABEL}_…: its master is none of ours"
        )
    return name


def read_master_info(data: bytes, scheme: Scheme) -> Leader:
    """The leader that a `json.info_` node describes.

    ZooKeeper does not say whether masters speak TLS, so the scheme is told. Over http an address
    spares the look-up of a name; over https the name is what a certificate certifies.
    """
    try:
        info = msgspec.json.decode(data, type=_MasterInfo)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MasterUnavailable(f"the leading node holds no MasterInfo: {error}") from None
    address = info.address or _Address(_old_ip(info.ip), info.hostname, info.port)
    names = (address.ip, address.hostname or info.hostname)
    for text in names if scheme == "http" else reversed(names):
        host = host_or_none(text)
        if host is not None and 1 <= address.port <= 65_535:
            return Leader(MasterAddress(scheme, host, address.port), info.id)
    raise MasterUnavailable("the leading node's MasterInfo names no host and port")


def _old_ip(number: int) -> str:
    """`ip` is the address in network order, read as a little-endian number."""
    return socket.inet_ntoa(struct.pack("<I", number)) if 0 < number < 2**32 else ""
