"""Who leads, as others are told. The one who leads says so in a shared store; those who follow pass
writes on to it."""

import msgspec


class LeaderInfo(msgspec.Struct, frozen=True):
    """`instance` is the daemon's name, `advertise` the URL under which its API is reached."""

    instance: str
    advertise: str | None = None
