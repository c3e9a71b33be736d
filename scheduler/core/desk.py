"""What the engine's rooms share during one step: the tables, the clock, and where effects go.

Only the engine makes one. A room changes durable state by `store` alone, so what is in memory and
what is written cannot differ.
"""

from random import Random

from scheduler.core.builder import StepBuilder
from scheduler.core.deadlines import Deadlines
from scheduler.core.events import CallId, Now
from scheduler.core.fair_share import Shares
from scheduler.core.history import History
from scheduler.core.model.ids import JobId
from scheduler.core.policy import Policy
from scheduler.core.queue import Queue
from scheduler.core.reconcile import Reconciliation
from scheduler.core.records import Record, RecordKey
from scheduler.core.state import State

ROUNDING_S = 0.001
"""Who is woken at a wall time must not find, by the last digit of a float, that it is still to
come: waking and waiting again would never end."""


class Desk:
    """`connected` follows Subscribed and Disconnected. `rolling`, `unplanned` and `touched` are
    jobs with something to do in this or a later step. `random` is seeded once a term."""

    def __init__(self, policy: Policy, term: int, seed: int, state: State) -> None:
        self.policy = policy
        self.state = state
        self.queue = Queue()
        self.shares = Shares()
        self.history = History()
        self.deadlines = Deadlines()
        self.reconciliation = Reconciliation(policy.reconcile, term)
        self.random = Random(seed)
        self.connected = False
        self.store_refusing = ""
        self.now = Now(0.0, 0.0)
        self.rolling: dict[JobId, None] = {}
        self.unplanned: dict[JobId, None] = {}
        self.resuming: set[JobId] = set()
        """Jobs of which some instances were loaded and have not been looked at since."""
        self.touched: dict[JobId, None] = {}
        """Jobs whose instances changed in this step: they may have ended."""
        self._calls = 0
        self.step = self.open_step()

    def open_step(self) -> StepBuilder:
        self.step = StepBuilder(self._next_call)
        return self.step

    def store(self, record: Record) -> None:
        self.state.apply(record)
        self.step.put(record)

    def remove(self, key: RecordKey) -> None:
        self.state.remove(key)
        self.step.remove(key)

    def plan_all(self, job_id: JobId) -> None:
        """Plan every instance of a job, over as many steps as it takes; those first that wait."""
        job = self.state.jobs[job_id]
        job.todo.clear()
        job.todo.extend(job.lacking_first())
        self.unplanned[job_id] = None
        self.rolling[job_id] = None

    def mono_of(self, wall: float) -> float:
        """When a stored wall time has surely come, on the clock of the deadlines."""
        return self.now.mono + max(0.0, wall - self.now.wall) + ROUNDING_S

    def jittered(self, seconds: float, share: float) -> float:
        return seconds * (1.0 + share * (2.0 * self.random.random() - 1.0))

    def _next_call(self) -> CallId:
        self._calls += 1
        return CallId(self._calls)
