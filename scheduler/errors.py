"""Every error that offerd raises on purpose, in one tree.

    OfferdError
    ├── SettingsError         the configuration cannot be used
    ├── BackupUnusable        a backup's file cannot be used, or not be written
    ├── MesosError            the master, or the connection to it
    │   ├── RecordioError     the event stream is not RecordIO
    │   ├── CallsFull         the bound of unanswered calls is reached
    │   ├── CallsClosed       the call connection is closed; nothing leaves on it any more
    │   ├── MasterUnavailable no leading master answers now; try again
    │   ├── MasterRefused     the master answered, and the answer will not change by itself
    │   ├── FrameworkRemoved  the master removed this framework id for good
    │   └── FrameworkTaken    another scheduler uses this framework id
    ├── StoreError            durable state
    │   ├── StoreRefused      the store answers but takes no write (full, no right, too large)
    │   ├── StoreUnreadable   what is stored cannot be understood
    │   ├── StoreLocked       another daemon holds the store
    │   └── TermEnded         a newer term has begun; this one may not write
    ├── EtcdError             etcd, or the connection to it
    │   ├── EtcdUnavailable   no member answers now, nothing was changed; try again
    │   │   └── EtcdNotSent   the same, said of a write
    │   ├── EtcdUnknownOutcome a write left and was not answered: it happened, will happen, or never
    │   ├── EtcdRefused       etcd answered, and did not do it (for one of `EtcdRefusal`)
    │   └── Compacted         the history asked for is gone; list anew
    ├── ElectionError         leadership
    ├── SandboxError          a task's output
    │   ├── SandboxFileMissing the agent answers, and has no such file (any more)
    │   └── AgentSilent       no useful answer from the agent
    └── InvariantBroken       a bug of ours; the term ends

What a user did wrong in a request is not an exception but an answer (core.events.Answer).
Messages never hold secrets.
"""

from enum import Enum


class OfferdError(Exception):
    """The root of the tree; `exit_code` is what the daemon ends with when it is not handled."""

    exit_code = 1


class SettingsError(OfferdError):
    exit_code = 2


class BackupUnusable(OfferdError):
    exit_code = 2


class MesosError(OfferdError):
    exit_code = 10


class RecordioError(MesosError):
    pass


class CallsFull(MesosError):
    pass


class CallsClosed(MesosError):
    pass


class MasterUnavailable(MesosError):
    pass


class MasterRefused(MesosError):
    exit_code = 11


class FrameworkRemoved(MesosError):
    exit_code = 12


class FrameworkTaken(MesosError):
    exit_code = 13


class StoreError(OfferdError):
    exit_code = 20


class StoreRefused(StoreError):
    pass


class StoreUnreadable(StoreError):
    exit_code = 21


class StoreLocked(StoreError):
    exit_code = 22


class TermEnded(StoreError):
    pass


class EtcdError(OfferdError):
    exit_code = 24


class EtcdUnavailable(EtcdError):
    pass


class EtcdNotSent(EtcdUnavailable):
    pass


class EtcdUnknownOutcome(EtcdError):
    pass


class EtcdRefusal(Enum):
    """Why etcd did not do what it was asked for."""

    NO_SPACE = "no space"  # the quota is used up, or the disk is full
    TOO_LARGE = "too large"  # the request, or the number of its operations
    PERMISSION = "no permission"
    CREDENTIALS = "credentials"  # user and password, or the certificate
    LEASE_NOT_FOUND = "no such lease"
    OVERLOADED = "overloaded"
    CORRUPT = "corrupt"  # a member holds other data than the rest
    INVALID = "invalid"  # the request makes no sense to this etcd


class EtcdRefused(EtcdError):
    def __init__(self, reason: EtcdRefusal, detail: str) -> None:
        super().__init__(f"etcd refuses ({reason.value}): {detail}")
        self.reason = reason
        self.detail = detail


class Compacted(EtcdError):
    """`revision`: the oldest that can still be asked for; 0 when etcd did not tell."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"etcd has compacted its history up to revision {revision or 'unknown'}")
        self.revision = revision


class ElectionError(OfferdError):
    exit_code = 23


class SandboxError(OfferdError):
    pass


class SandboxFileMissing(SandboxError):
    pass


class AgentSilent(SandboxError):
    pass


class InvariantBroken(OfferdError):
    exit_code = 30


def first_of(group: BaseExceptionGroup[OfferdError]) -> OfferdError:
    """The first cause in a group, however deep it is."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OfferdError)
    return error
