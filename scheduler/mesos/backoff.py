"""How long to wait before the next try: random, growing, capped.

After a master failover every framework and agent of the cluster comes back at once; waits that
are drawn at random spread them out. It only does the sums: the session waits and decides what
counts as a success.
"""

import random
from collections.abc import Callable
from typing import Final

_DOUBLINGS_MAX: Final = 32


class Backoff:
    """Waits drawn evenly from (0, bound], the bound doubling from `initial_s` up to `s_max`."""

    def __init__(
        self, initial_s: float, s_max: float, draw: Callable[[], float] = random.random
    ) -> None:
        """`draw` gives numbers in [0, 1)."""
        self._initial_s = initial_s
        self._s_max = s_max
        self._draw = draw
        self._failures = 0

    def reset(self) -> None:
        """The last try went well: the next wait is a short one again."""
        self._failures = 0

    def next_s(self) -> float:
        """Counts one failure and says how long to wait after it, in seconds."""
        bound_s = min(self._s_max, self._initial_s * 2.0 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        return bound_s * (1.0 - self._draw())
