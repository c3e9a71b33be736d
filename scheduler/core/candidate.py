"""Who stands for the office, as it says itself in the shared store. Once elected it is who others
pass writes on to; with its term it is the runtime's `LeaderInfo`."""

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """`instance` is the daemon's name, `advertise` the URL under which its API is reached."""

    instance: str
    advertise: str | None = None
