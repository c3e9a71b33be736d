"""Where the members are, who we are to them, and how long we wait. Values only; no I/O."""

from pathlib import Path

import msgspec


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files. `certificate` and `key` are ours, for members that ask for one: both or none.

    They are read when the client starts.
    """

    authority: Path
    certificate: Path | None = None
    key: Path | None = None


class Timeouts(msgspec.Struct, frozen=True):
    """In seconds. A member that hangs is left after `answer_s`, by a watch after `silence_s`: both
    stay below 3.

    `call_s` bounds a call with all its tries at all members. A write is sent once: it ends with its
    first try, unless that certainly did nothing.
    """

    connect_s: float = 1.0
    answer_s: float = 2.0
    call_s: float = 5.0
    silence_s: float = 2.5


class Credentials:
    """User and password. Never shown: neither by repr nor in an error."""

    __slots__ = ("password", "user")

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, …)"
