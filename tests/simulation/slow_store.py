"""A store in virtual time: submits become durable one by one, in any order that a store may take;
only the values of one key keep theirs.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

from scheduler.core.records import Put, RecordKey, Write, key_of

LANES = 4


class Submit(NamedTuple):
    writes: Sequence[Write]
    done: Callable[[], None]
    launches: bool


class SlowStore:
    """`write` stores one write."""

    def __init__(self, random: Random, write: Callable[[Write], None]) -> None:
        self._random = random
        self._write = write
        self._waiting: list[Submit] = []

    def submit(
        self, writes: Sequence[Write], done: Callable[[], None], *, launches: bool = False
    ) -> None:
        self._waiting.append(Submit(writes, done, launches))

    def commit(self, at_most: int = 1_000_000) -> None:
        """Some submits, of those that wait."""
        for _ in range(min(at_most, len(self._waiting))):
            place = self._random.randrange(len(self._waiting))
            if self._writes_what_waits(place):
                place = 0
            submit = self._waiting.pop(place)
            for write in submit.writes:
                self._write(write)
            submit.done()

    def _writes_what_waits(self, place: int) -> bool:
        """An earlier submit writes the same key."""
        before = (write for submit in self._waiting[:place] for write in submit.writes)
        return not _keys(before).isdisjoint(_keys(self._waiting[place].writes))

    def crash(self) -> None:
        """Of each lane some first part of either class is stored. A later value of a key may be,
        without the one before it: they had become one."""
        parts: dict[tuple[int, bool], list[tuple[int, Write]]] = {}
        number = 0
        for submit in self._waiting:
            for write in submit.writes:
                number += 1
                lane = zlib.crc32(repr(_key(write)).encode()) % LANES
                parts.setdefault((lane, submit.launches), []).append((number, write))
        self._waiting.clear()
        stored = [
            one for part in parts.values() for one in part[: self._random.randint(0, len(part))]
        ]
        for _, write in sorted(stored, key=lambda one: one[0]):
            self._write(write)


def _keys(writes: Iterable[Write]) -> set[RecordKey]:
    return {_key(write) for write in writes}


def _key(write: Write) -> RecordKey:
    return key_of(write.record) if isinstance(write, Put) else write.key
