"""What each job was last told of its waiting: the few latest reasons, each with its time.

Only changes are noted, and only the reasons make a change: amounts come and go with every offer.
In memory, for people; it begins anew with each term.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from scheduler.core.model.ids import JobId
from scheduler.core.placement.reasons import Cause, Reason, Shortfall, sentence

ENTRIES_MAX = 8
JOBS_MAX = 20_000


class Told(msgspec.Struct, frozen=True, gc=False):
    """`at` is wall time; no reasons: all that had waited was placed."""

    at: float
    reasons: tuple[Reason, ...]
    text: str


_Essence = frozenset[tuple[object, ...]]


class _Job:
    __slots__ = ("essence", "told")

    def __init__(self) -> None:
        self.essence: _Essence | None = None
        self.told: deque[Told] = deque(maxlen=ENTRIES_MAX)


class History:
    """The JOBS_MAX jobs that were told something last."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, _Job] = {}

    def fell_short(self, job: JobId, at: float, shortfall: Shortfall) -> None:
        essence = frozenset(_essence(cause) for cause in shortfall.causes)
        found = self._jobs.get(job)
        if found is None or found.essence != essence:
            ordered = sorted(shortfall.causes, key=lambda cause: -cause.rows)
            reasons = tuple(dict.fromkeys(cause.reason for cause in ordered))
            self._tell(job, essence, Told(at, reasons, sentence(shortfall)))

    def backs_off(self, job: JobId, at: float, text: str) -> None:
        essence = frozenset({(Reason.BACK_OFF,)})
        found = self._jobs.get(job)
        if found is None or found.essence != essence:
            self._tell(job, essence, Told(at, (Reason.BACK_OFF,), text))

    def placed(self, job: JobId, at: float) -> None:
        """Nothing of the job waits any more. Only told where something else was."""
        found = self._jobs.get(job)
        if found is not None and found.essence:
            self._tell(job, frozenset(), Told(at, (), "all placed"))

    def forget(self, job: JobId) -> None:
        self._jobs.pop(job, None)

    def of(self, job: JobId) -> Sequence[Told]:
        """The latest first."""
        found = self._jobs.get(job)
        return tuple(reversed(found.told)) if found is not None else ()

    def _tell(self, job: JobId, essence: _Essence, told: Told) -> None:
        found = self._jobs.pop(job, None) or _Job()
        if len(self._jobs) >= JOBS_MAX:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[job] = found
        found.essence = essence
        found.told.append(told)


def _essence(cause: Cause) -> tuple[object, ...]:
    return (cause.reason, cause.constraint, cause.port)
