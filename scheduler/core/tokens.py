"""Tokens that grow back slowly: what costs others is done in a short burst, then rarely."""


class Tokens:
    """As many as `burst`, one more each `interval_s`; without an interval there is always one."""

    def __init__(self, burst: int, interval_s: float) -> None:
        self._burst = float(burst)
        self._interval_s = interval_s
        self._left = self._burst
        self._counted_at = 0.0

    def missing_s(self, mono: float) -> float:
        """How long until there is one."""
        if self._interval_s <= 0.0:
            return 0.0
        self._count(mono)
        return max(0.0, (1.0 - self._left) * self._interval_s)

    def take(self, mono: float) -> None:
        if self._interval_s > 0.0:
            self._count(mono)
            self._left -= 1.0

    def _count(self, mono: float) -> None:
        grown = (mono - self._counted_at) / self._interval_s
        self._left = min(self._left + grown, self._burst)
        self._counted_at = mono
