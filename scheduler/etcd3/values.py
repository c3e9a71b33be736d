"""What the client answers with: frozen values, free of anything of the wire. They do nothing."""

from collections.abc import Sequence
from enum import Enum

import msgspec


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """One key. Revisions count the writes to the whole store; `version` those to this key."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class GetResult(msgspec.Struct, frozen=True):
    """`item` is None where there is no such key. `revision` is that of the store, then."""

    item: KeyValue | None
    revision: int


class Page(msgspec.Struct, frozen=True):
    """Some keys in order. All pages of a listing show the store at one and the same revision."""

    items: Sequence[KeyValue]
    revision: int


class PutDone(msgspec.Struct, frozen=True):
    pass


class Deleted(msgspec.Struct, frozen=True):
    count: int


class Got(msgspec.Struct, frozen=True):
    item: KeyValue | None


OperationResult = PutDone | Deleted | Got


class TransactionResult(msgspec.Struct, frozen=True):
    """`succeeded`: all compares held, so the `success` operations were done, else the others.

    `responses` has one entry for each of the operations done, in their order.
    """

    succeeded: bool
    revision: int
    responses: Sequence[OperationResult]


class Lease(msgspec.Struct, frozen=True):
    """`ttl_s` is what was granted, which may be more than was asked for.

    `deadline_s`: until then (CLOCK_BOOTTIME, seconds) it cannot have ended unless revoked.
    """

    lease_id: int
    ttl_s: int
    deadline_s: float


class LeaseEnd(Enum):
    EXPIRED = "expired"  # etcd said that there is no such lease
    DEADLINE_PASSED = "deadline passed"  # nobody said anything in time: it may be there or not


class WatchEvent(msgspec.Struct, frozen=True, gc=False):
    """A key was put or deleted. Of a deletion only the key and the mod revision are known."""

    deleted: bool
    item: KeyValue


class WatchEvents(msgspec.Struct, frozen=True):
    """What happened up to and including `revision`, whole transactions in their order.

    Without events it is a sign of life: about one a second while nothing happens.
    """

    events: Sequence[WatchEvent]
    revision: int


class MemberStatus(msgspec.Struct, frozen=True):
    """How one member is. Where it does not answer, `problem` says so and the rest is unset."""

    endpoint: str
    problem: str = ""
    version: str = ""
    leading: bool = False
    has_leader: bool = False
    raft_term: int = 0
    revision: int = 0
    size_bytes: int = 0
    size_in_use_bytes: int = 0
    errors: Sequence[str] = ()


class AlarmKind(Enum):
    NO_SPACE = "no space"
    CORRUPT = "corrupt"
    OTHER = "other"


class Alarm(msgspec.Struct, frozen=True):
    member_id: int
    kind: AlarmKind
