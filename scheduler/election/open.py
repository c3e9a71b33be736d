"""From the setting `store` to an election: who leads follows from who can see the store."""

from pathlib import Path

from scheduler.election.single import SingleElection, SoleElection
from scheduler.errors import SettingsError


def open_election(store_url: str) -> SingleElection | SoleElection:
    """For `sqlite:PATH` the lock `PATH.lock`, for `memory:` none. Raises `SettingsError`."""
    kind, _, rest = store_url.partition(":")
    match kind:
        case "memory":
            return SoleElection()
        case "sqlite" if rest:
            # Resolved: two names of one file are one store.
            store = Path(rest).resolve()
            return SingleElection(store.with_name(store.name + ".lock"))
        case _:
            raise SettingsError(f"store: {kind!r} has no election (sqlite:PATH or memory:)")
