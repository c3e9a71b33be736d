"""Commit lanes over a network that loses answers, delays copies and delivers them again, with
leaders that come and go: no write is lost, none lands over a newer one, none after its term."""

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler.errors import TermEnded
from scheduler.store.lanes import LANES, Found, Lanes, Transaction

KEYS = [f"tasks/web/{number}".encode() for number in range(9)]


class Lost(NamedTuple):
    """A copy that is still on its way, and of which nobody hears any more."""

    term: int
    transaction: Transaction


class Etcd:
    """Leader key, lanes' keys and records, with their revisions; and every change to a record."""

    def __init__(self) -> None:
        self.revision = 1
        self.leader = 0
        self.marks = [(b"", 0)] * LANES
        self.records: dict[bytes, int] = {}
        self.history: list[tuple[int, bytes, int]] = []

    def transact(self, term: int, transaction: Transaction) -> int | Found:
        """The revision of what was done, or what the failed compare found."""
        mark, revision = self.marks[transaction.lane]
        if self.leader != term or revision != transaction.expects:
            return Found(self.leader, mark, revision)
        self.revision += 1
        self.marks[transaction.lane] = (transaction.mark, self.revision)
        for key, value in transaction.rows:
            number = int(value) if value is not None else 0
            self.records[key] = number
            self.history.append((term, key, number))
        return self.revision


class Writer:
    """The one who leads, or still believes so. Each write of a key has the next number."""

    def __init__(self, term: int, etcd: Etcd) -> None:
        self.term = term
        self.lanes = Lanes(term, [revision for _, revision in etcd.marks])
        self.numbers: dict[bytes, int] = {}
        self.submitted: list[dict[bytes, int]] = []
        self.released: list[int] = []
        self.ended = False

    def submit(self, keys: list[int], launches: bool, first: int) -> None:
        numbers = {KEYS[index]: first + place for place, index in enumerate(keys)}
        self.numbers |= numbers
        name = len(self.submitted)
        self.submitted.append(numbers)
        self.lanes.submit(
            [(key, str(number).encode()) for key, number in numbers.items()],
            lambda: self.released.append(name),
            launches=launches,
        )


class LanesUnderFaults(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.etcd = Etcd()
        self.numbers = 0
        self.writers: list[Writer] = []
        self.sent: dict[tuple[int, int], Transaction] = {}
        self.lost: list[Lost] = []
        self.ended_at: dict[int, int] = {}
        self.lead()

    def lead(self) -> None:
        self.etcd.revision += 1
        self.etcd.leader = self.etcd.revision
        self.writers.append(Writer(self.etcd.leader, self.etcd))

    @rule(
        who=st.integers(0, 1),
        keys=st.lists(st.integers(0, len(KEYS) - 1), max_size=5, unique=True),
        launches=st.booleans(),
    )
    def submit(self, who: int, keys: list[int], launches: bool) -> None:
        self.writer(who).submit(keys, launches, self.numbers + 1)
        self.numbers += len(keys)

    @rule(who=st.integers(0, 1), lane=st.integers(0, LANES - 1))
    def answered(self, who: int, lane: int) -> None:
        """A lane's transaction arrives and its answer comes back."""
        writer = self.writer(who)
        transaction = self.transaction(writer, lane)
        if transaction is not None:
            self.settle(writer, transaction, self.etcd.transact(writer.term, transaction))

    @rule(who=st.integers(0, 1), lane=st.integers(0, LANES - 1))
    def answer_lost(self, who: int, lane: int) -> None:
        """A lane's transaction arrives, but its answer never does."""
        writer = self.writer(who)
        transaction = self.transaction(writer, lane)
        if transaction is not None:
            self.etcd.transact(writer.term, transaction)

    @rule(who=st.integers(0, 1), lane=st.integers(0, LANES - 1))
    def delayed(self, who: int, lane: int) -> None:
        """A lane's transaction hangs in a member; it may arrive much later, or never."""
        writer = self.writer(who)
        transaction = self.transaction(writer, lane)
        if transaction is not None:
            self.lost.append(Lost(writer.term, transaction))

    @rule(data=st.data())
    def late(self, data: st.DataObject) -> None:
        if self.lost:
            copy = self.lost.pop(data.draw(st.integers(0, len(self.lost) - 1)))
            self.etcd.transact(*copy)

    @rule()
    def another_leads(self) -> None:
        self.lead()

    @rule()
    def nobody_leads(self) -> None:
        self.etcd.leader = 0

    def writer(self, who: int) -> Writer:
        """The newest, or the one before, which may not know that it is over."""
        return self.writers[max(0, len(self.writers) - 1 - who)]

    def transaction(self, writer: Writer, lane: int) -> Transaction | None:
        """The one in flight, to be sent again, or a new one."""
        if writer.ended:
            return None
        place = (writer.term, lane)
        if place not in self.sent:
            transaction = writer.lanes.next(lane)
            if transaction is None:
                return None
            self.sent[place] = transaction
        return self.sent[place]

    def settle(self, writer: Writer, transaction: Transaction, outcome: int | Found) -> None:
        lane = transaction.lane
        del self.sent[writer.term, lane]
        try:
            match outcome:
                case Found():
                    writer.lanes.compare_failed(lane, outcome)
                case int():
                    writer.lanes.committed(lane, outcome)
        except TermEnded:
            writer.ended = True
            assert writer.term != self.etcd.leader, "a term ended that goes on"
        self.release(writer)

    def release(self, writer: Writer) -> None:
        for done in writer.lanes.released():
            done()
        assert len(writer.released) == len(set(writer.released)), "it was released twice"
        if writer.term == self.etcd.leader:
            for name in writer.released:
                for key, number in writer.submitted[name].items():
                    assert self.etcd.records[key] >= number, "it was released, but is not stored"

    @invariant()
    def every_key_only_goes_forward_and_no_ended_term_writes(self) -> None:
        newest: dict[tuple[int, bytes], int] = {}
        last_term = 0
        for term, key, number in self.etcd.history:
            assert term >= last_term, "a write of an ended term was applied"
            assert number > newest.get((term, key), 0), "an older value landed over a newer one"
            newest[term, key] = number
            last_term = term

    def teardown(self) -> None:
        """When the faults are over, the one who leads gets everything through."""
        if not hasattr(self, "etcd"):
            return
        writer = self.writers[-1]
        if writer.term != self.etcd.leader:
            return
        for copy in self.lost:
            self.etcd.transact(*copy)
        for _ in range(10_000):
            waiting = [lane for lane in range(LANES) if self.transaction(writer, lane)]
            if not waiting:
                break
            for lane in waiting:
                self.answered(0, lane)
        self.release(writer)
        assert len(writer.released) == len(writer.submitted)
        assert writer.lanes.pending == 0
        assert writer.numbers.items() <= self.etcd.records.items()


LanesUnderFaults.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None
)
TestLanesUnderFaults = LanesUnderFaults.TestCase
