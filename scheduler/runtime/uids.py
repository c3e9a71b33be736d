"""Mints what makes a job's task ids its own."""

import secrets

from scheduler.core.model.ids import Uid

LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without look-alikes."""
LENGTH = 10


def mint_uid() -> Uid:
    """50 random bits, that no two jobs share."""
    return Uid("".join(secrets.choice(LETTERS) for _ in range(LENGTH)))
