"""What the judge is given: plain values, all times on one clock (`time.monotonic`).

Nothing here comes from offerd's logs, or through its classes: bytes that went by, etcd's history,
the master's own account, and what the users of the API were answered.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Change(NamedTuple):
    """One key of one revision in etcd's history; `value` None: deleted. `created` is the key's
    create revision."""

    revision: int
    key: str
    value: bytes | None
    created: int = 0


class Answered(NamedTuple):
    """At that time a daemon was told that its transaction is committed, at that revision."""

    at: float
    daemon: str
    revision: int


class Said(NamedTuple):
    """A call that a daemon made. `tasks` are those that it launches, kills or acknowledges."""

    at: float
    daemon: str
    kind: str
    tasks: tuple[str, ...] = ()
    uuid: bytes = b""


class Claim(NamedTuple):
    """At that time a daemon's answer had come which says that it leads."""

    at: float
    daemon: str


class Update(NamedTuple):
    """A status update on its way to a daemon."""

    at: float
    task: str
    uuid: bytes
    state: str


class Life(NamedTuple):
    """A task by the account of master or agents. `ended` None: it lives. `begun` counts how often
    it was started."""

    task: str
    begins: float
    ended: float | None
    begun: int = 1


class Outcome(enum.Enum):
    DONE = "done"
    """Answered with success."""
    REFUSED = "refused"
    """Answered that nothing was done."""
    UNKNOWN = "unknown"
    """Not answered, or answered that nobody knows."""


class Wish(NamedTuple):
    """What a user asks for of a job: so many instances that run, or `desired` stop or delete."""

    desired: str
    instances: int = 0


class Request(NamedTuple):
    job: str
    wish: Wish
    sent: float
    answered: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Evidence:
    """`leader_key` and `prefix` say what is what in `changes`, which are in the order of etcd."""

    prefix: str
    changes: Sequence[Change] = ()
    answered: Sequence[Answered] = ()
    said: Sequence[Said] = ()
    claims: Sequence[Claim] = ()
    updates: Sequence[Update] = ()
    lives: Sequence[Life] = ()
    finished: frozenset[str] | set[str] = frozenset()
    """The tasks that ended well, by the account of masters or agents."""
    batches: Mapping[str, int] = field(default_factory=dict)
    """How many instances each batch has, all of which have to be finished now."""
    requests: Mapping[str, Sequence[Request]] = field(default_factory=dict)
