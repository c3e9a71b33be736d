"""Every error that offerd raises on purpose, in one tree.

    OfferdError
    ├── SettingsError         the configuration cannot be used
    ├── JobFileError          a job file cannot be used (all its problems, each with its line)
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
    ├── ElectionError         leadership
    ├── SandboxError          a task's output
    │   ├── SandboxFileMissing the agent answers, and has no such file (any more)
    │   └── AgentSilent       no useful answer from the agent
    └── InvariantBroken       a bug of ours; the term ends

What a user did wrong in a request is not an exception but an answer (core.events.Answer).
Messages never hold secrets.
"""


class OfferdError(Exception):
    """The root of the tree; `exit_code` is what the daemon ends with when it is not handled."""

    exit_code = 1


class SettingsError(OfferdError):
    exit_code = 2


class JobFileError(OfferdError):
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
