"""How much the next step may place, so that an update that comes alone does not wait for it.

Updates that come one by one are waited for: then steps place little, and none places while an
update is not acknowledged, nor while launches of the last one are under way to the store, where an
update would wait behind them. It waits for a limited time: a slow store must not stop placing. When
none come, or floods (each task launched says that it runs), large steps cost least and nobody is
served better by small ones. Told apart by their number in a second, on the loop's clock.

It decides nothing about what is placed. Pure; neighbour: `loop.py`.
"""

import msgspec

from scheduler.core.policy import Budget

WINDOW_S = 0.5


class LoopLimits(msgspec.Struct, frozen=True):
    """`launches_held_max` bounds what is in flight to the store, `writes_held_max` what is kept
    while it is slow or refuses. Those `…_alone` hold while updates come one by one: in this window
    or the one before some, and in neither more than `updates_alone_max`."""

    events_a_step: int = 1000
    rows_a_step: int = 1000
    launches_held_max: int = 2000
    writes_held_max: int = 100_000
    updates_alone_max: int = 500
    rows_alone: int = 35
    patience_s: float = 0.005
    patience_for_launches_s: float = 0.003
    """More than an embedded store needs for a small step: were placing to go on beside its commit,
    both would take longer, and an update would wait for both. One across a network is kept busy."""


class Pace:
    def __init__(self, limits: LoopLimits) -> None:
        self._limits = limits
        self._window_ends = 0.0
        self._updates = 0
        self._updates_before = 0
        self._placed_at = 0.0
        self._unacknowledged_since = 0.0

    def count(self, updates: int, mono: float, acknowledgements_held: int) -> None:
        """So many updates came with the events of this step; those before are not acknowledged."""
        if updates and not acknowledgements_held:
            self._unacknowledged_since = mono
        if mono >= self._window_ends:
            seen_lately = mono < self._window_ends + WINDOW_S
            self._updates_before = self._updates if seen_lately else 0
            self._updates = 0
            self._window_ends = mono + WINDOW_S
        self._updates += updates

    @property
    def alone(self) -> bool:
        """Updates come one by one."""
        most = max(self._updates, self._updates_before)
        return 0 < most <= self._limits.updates_alone_max

    def budget(self, launches_held: int) -> Budget:
        """For a step that places. Nothing while too many launches wait for the store."""
        limits = self._limits
        rows = limits.rows_alone if self.alone else limits.rows_a_step
        return Budget(rows=rows, launches=max(limits.launches_held_max - launches_held, 0))

    def placed(self, mono: float) -> None:
        self._placed_at = mono

    def patience_s(self, updates: int, launches_held: int, mono: float) -> float:
        """For how long placing still makes way: for so many updates that are not acknowledged, or
        else for launches."""
        if not self.alone or not (updates or launches_held):
            return 0.0
        if not updates:
            return max(self._placed_at + self._limits.patience_for_launches_s - mono, 0.0)
        since = max(self._placed_at, self._unacknowledged_since)
        return max(since + self._limits.patience_s - mono, 0.0)
