"""Virtual time: what shall happen, and when.

It reads no clock. A driver calls `run(until)` with the time it has become; actions run in the
order of their times, and those of one instant in the order in which they were asked for. Messages
between the master and agents travel by `soon`, so no room is ever entered twice on one stack.
"""

import heapq
from collections import deque
from collections.abc import Callable

Action = Callable[[], None]


class Timer:
    """One thing to be done later; `cancel` makes it nothing."""

    __slots__ = ("action", "when")

    def __init__(self, when: float, action: Action) -> None:
        self.when = when
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None


class Timeline:
    """`now` is in seconds since the start, `wall()` in seconds since the epoch."""

    def __init__(self, wall_start_s: float = 1_700_000_000.0) -> None:
        self.now = 0.0
        self._wall_start_s = wall_start_s
        self._heap: list[tuple[float, int, Timer]] = []
        self._soon: deque[Action] = deque()
        self._sequence = 0
        self._running = False

    def wall(self) -> float:
        return self._wall_start_s + self.now

    def after(self, delay_s: float, action: Action) -> Timer:
        timer = Timer(self.now + max(0.0, delay_s), action)
        self._sequence += 1
        heapq.heappush(self._heap, (timer.when, self._sequence, timer))
        return timer

    def soon(self, action: Action) -> None:
        self._soon.append(action)

    def run(self, until: float) -> None:
        """Does everything that is due up to and including `until`.

        Called by an action of its own it does nothing: the run that goes on gets there.
        """
        if self._running:
            return
        self._running = True
        try:
            self._drain()
            while self._heap and self._heap[0][0] <= until:
                when, _, timer = heapq.heappop(self._heap)
                if timer.action is not None:
                    self.now = max(self.now, when)
                    timer.action()
                    self._drain()
            self.now = max(self.now, until)
        finally:
            self._running = False

    def next_due(self) -> float | None:
        """When `run` has work again; None while nothing is planned."""
        if self._soon:
            return self.now
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _drain(self) -> None:
        while self._soon:
            self._soon.popleft()()
