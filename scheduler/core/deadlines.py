"""One heap of everything that is due some day.

Entries are never removed early: who is woken checks whether the reason still holds. Times are
monotonic seconds.
"""

import enum
import heapq
from collections.abc import Iterator
from typing import NamedTuple

from scheduler.core.model.ids import AgentId, InstanceKey, JobId, TaskId


class Due(enum.IntEnum):
    BACKOFF_ENDS = 1
    KILL_AGAIN = 2
    AWAY_TOO_LONG = 3
    LAUNCH_OVERDUE = 4
    ROLLOUT_SETTLES = 5
    RECONCILE = 6
    OFFERS = 7
    FORGET_JOB = 8
    KILL_UNKNOWN = 9
    QUEUE_SWEEP = 10
    AGENT_DUE = 11


Key = InstanceKey | JobId | TaskId | AgentId | None


class Entry(NamedTuple):
    at: float
    order: int
    due: Due
    key: Key


class Deadlines:
    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._order = 0

    def add(self, at: float, due: Due, key: Key = None) -> None:
        self._order += 1
        heapq.heappush(self._heap, Entry(at, self._order, due, key))

    def pop_due(self, mono: float, limit: int) -> Iterator[Entry]:
        """At most `limit` entries whose time has come, earliest first."""
        while limit > 0 and self._heap and self._heap[0].at <= mono:
            limit -= 1
            yield heapq.heappop(self._heap)

    @property
    def next_at(self) -> float | None:
        return self._heap[0].at if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)
