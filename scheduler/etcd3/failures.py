"""What a failed call means: was it done, refused, or can nobody tell?

etcd names its errors in the text of the gRPC status; one code stands for several of them. A text
that is not known here counts as an unknown outcome: that costs a look at the store, while the
opposite mistake loses a write or does it twice.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import grpc

from scheduler.errors import EtcdRefusal


class Kind(Enum):
    TOKEN = "token"
    NOT_DONE = "not done"  # this member can't; another one may
    REFUSED = "refused"
    COMPACTED = "compacted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    kind: Kind
    text: str
    reason: EtcdRefusal = EtcdRefusal.INVALID

    @property
    def elsewhere(self) -> bool:
        """Another member may do better. None will where the answer is too large for us."""
        return self.kind is Kind.NOT_DONE or (
            self.kind is Kind.UNKNOWN and self.reason is not EtcdRefusal.TOO_LARGE
        )


# etcd says these before it proposes anything to its peers, or instead of applying it.
_BY_TEXT: Final[tuple[tuple[str, Kind, EtcdRefusal], ...]] = (
    ("invalid auth token", Kind.TOKEN, EtcdRefusal.CREDENTIALS),
    # Users or roles were changed since the token was made.
    ("revision of auth store is old", Kind.TOKEN, EtcdRefusal.CREDENTIALS),
    ("user name is empty", Kind.TOKEN, EtcdRefusal.CREDENTIALS),
    ("authentication failed", Kind.REFUSED, EtcdRefusal.CREDENTIALS),
    ("permission denied", Kind.REFUSED, EtcdRefusal.PERMISSION),
    ("has been compacted", Kind.COMPACTED, EtcdRefusal.INVALID),
    ("database space exceeded", Kind.REFUSED, EtcdRefusal.NO_SPACE),
    ("request is too large", Kind.REFUSED, EtcdRefusal.TOO_LARGE),
    # The gRPC library's own limit, at the member, for requests yet larger.
    ("grpc: received message larger than max", Kind.REFUSED, EtcdRefusal.TOO_LARGE),
    ("too many operations", Kind.REFUSED, EtcdRefusal.TOO_LARGE),
    ("too many requests", Kind.REFUSED, EtcdRefusal.OVERLOADED),
    ("requested lease not found", Kind.REFUSED, EtcdRefusal.LEASE_NOT_FOUND),
    ("corrupt cluster", Kind.REFUSED, EtcdRefusal.CORRUPT),
    ("Sent message larger than max", Kind.REFUSED, EtcdRefusal.TOO_LARGE),
    # Our own limit, and so of an answer: what was asked for has been done.
    ("Received message larger than max", Kind.UNKNOWN, EtcdRefusal.TOO_LARGE),
    # Asked for with the `hasleader` metadata: said on arrival.
    ("etcdserver: no leader", Kind.NOT_DONE, EtcdRefusal.INVALID),
)
# The codes of requests that were looked at and found wanting.
_REFUSING: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: EtcdRefusal.INVALID,
    grpc.StatusCode.FAILED_PRECONDITION: EtcdRefusal.INVALID,
    grpc.StatusCode.UNIMPLEMENTED: EtcdRefusal.INVALID,
    grpc.StatusCode.NOT_FOUND: EtcdRefusal.INVALID,
    grpc.StatusCode.OUT_OF_RANGE: EtcdRefusal.INVALID,
    grpc.StatusCode.PERMISSION_DENIED: EtcdRefusal.PERMISSION,
    grpc.StatusCode.UNAUTHENTICATED: EtcdRefusal.CREDENTIALS,
}


def read_failure(code: grpc.StatusCode, details: str | None) -> Failure:
    """What the status of a call says of it."""
    text = details or ""
    found = known_text(text)
    if found is not None:
        return found
    reason = _REFUSING.get(code)
    if reason is not None:
        return Failure(Kind.REFUSED, text, reason)
    return Failure(Kind.UNKNOWN, f"{code.name}: {text}")


def known_text(text: str) -> Failure | None:
    """The same for a text alone, as an ended watch has it."""
    for part, kind, reason in _BY_TEXT:
        if part in text:
            return Failure(kind, text, reason)
    return None
