"""The judge: finds in the evidence what must never happen. Stands outside of offerd.

Each check gives sentences, one a violation; none means that the rule held for all that was seen.
It asks nothing and waits for nothing, so each check is tested with made-up evidence.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from tests.faults.evidence import Answered, Evidence, Outcome, Request, Said, Wish
from tests.faults.history import History, Stored, Term, stage

LATE_S: Final = 0.5
"""Bytes may lie in a busy proxy's queue for so long after they were sent."""
_ASKED: Final = frozenset({"", "scaled_down", "job_stopped", "job_deleted"})
_STAGE_OF: Final = {"TASK_STARTING": 1, "TASK_RUNNING": 2, "TASK_KILLING": 2}
_ENDED: Final = frozenset(
    {
        "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED",
        "TASK_GONE",
    }
)  # fmt: skip


def violations_on_the_wire(evidence: Evidence) -> list[str]:
    """Those that show without a history of what was stored."""
    no_history = History(evidence.prefix, ())
    return [*launched_twice(evidence), *two_lives(evidence, no_history), *unfinished(evidence)]


def violations(evidence: Evidence) -> list[str]:
    """All of them, in words."""
    history = History(evidence.prefix, evidence.changes)
    known = _Known(history, evidence.answered)
    return [
        *launched_twice(evidence),
        *two_lives(evidence, history),
        *ended_unasked(history),
        *written_after_its_term(history),
        *said_before_it_was_stored(evidence, history, known),
        *said_after_its_office(evidence, history),
        *claimed_after_its_office(evidence, history),
        *lost_requests(evidence, history),
        *unfinished(evidence),
    ]


# ---- tasks ----------------------------------------------------------------------------------


def launched_twice(evidence: Evidence) -> Iterator[str]:
    """A task id is used once: in one ACCEPT on the wire, and for one task on the agents."""
    launches = Counter(
        task for said in evidence.said if said.kind == "ACCEPT" for task in said.tasks
    )
    for task, count in launches.items():
        if count > 1:
            yield f"{task} was launched by {count} calls"
    for life in evidence.lives:
        if life.begun > 1:
            yield f"{life.task} was started {life.begun} times"
        if life.task not in launches:
            yield f"{life.task} lives, and nobody was seen to launch it"


def two_lives(evidence: Evidence, history: History) -> Iterator[str]:
    """No two tasks of one instance live at a time, but where the first could not be reached."""
    by_instance = defaultdict(list)
    for life in evidence.lives:
        job, index, _, _ = life.task.rsplit(".", 3)
        by_instance[job, index].append(life)
    for lives in by_instance.values():
        lives.sort(key=lambda life: life.begins)
        for position, later in enumerate(lives):
            for earlier in lives[:position]:
                overlap = earlier.ended is None or earlier.ended > later.begins
                if overlap and not _was_away(history, earlier.task, later.task):
                    yield f"{earlier.task} lived when {later.task} began"


def ended_unasked(history: History) -> Iterator[str]:
    """Users here only scale, stop and delete: nothing else is a reason to end a task."""
    for task, stored in history.attempts.items():
        reasons = {one.end for one in stored} - _ASKED
        if reasons:
            yield f"{task} was told to end for {', '.join(sorted(reasons))}"


def unfinished(evidence: Evidence) -> Iterator[str]:
    """Each instance of each batch has ended well, once all is said to be done."""
    done = defaultdict(set)
    for task in evidence.finished:
        job, index, _, _ = task.rsplit(".", 3)
        done[job].add(int(index))
    for job, instances in evidence.batches.items():
        missing = set(range(instances)) - done[job.replace("/", ".")]
        if missing:
            yield f"{job} has ended, and no task of the instances {sorted(missing)} finished"


def _was_away(history: History, earlier: str, later: str) -> bool:
    made = history.attempts.get(later)
    if not made:
        return False
    return any(
        stored.state == "unreachable" and stored.revision <= made[0].revision
        for stored in history.attempts.get(earlier, ())
    )


# ---- terms ----------------------------------------------------------------------------------


def written_after_its_term(history: History) -> Iterator[str]:
    """Each record changes together with the mark of a term that is in office at that revision."""
    for revision, keys in history.records.items():
        if revision not in history.marks:
            yield f"revision {revision} changed {keys} without the mark of a term"
    for revision, numbers in history.marks.items():
        for number in numbers:
            term = history.term_of(number)
            if term is None:
                yield f"revision {revision} was written by {number}, which is no term"
            elif revision < number or (term.ended is not None and revision >= term.ended):
                yield (
                    f"revision {revision} was written by the term {number} ({term.daemon}), "
                    f"which ended at {term.ended}"
                )


def said_after_its_office(evidence: Evidence, history: History) -> Iterator[str]:
    """Once a successor knows that it was elected, the one before says nothing more."""
    offices = _Offices(_elected(history, evidence.answered))
    for said in evidence.said:
        if another := offices.of_another(said.daemon, said.at):
            yield f"{said.daemon} made the call {said.kind} {another}"


def claimed_after_its_office(evidence: Evidence, history: History) -> Iterator[str]:
    """Nor does it answer as if it still led."""
    offices = _Offices(_elected(history, evidence.answered))
    for claim in evidence.claims:
        if another := offices.of_another(claim.daemon, claim.at):
            yield f"{claim.daemon} said that it leads {another}"


class _Offices:
    """`elected`: when each term's daemon was told of its election, in order."""

    def __init__(self, elected: Sequence[tuple[float, Term]]) -> None:
        self._elected = elected

    def of_another(self, daemon: str, at: float) -> str | None:
        """That the office was surely another's then, in words; None where it was not."""
        office = [(since, term) for since, term in self._elected if since <= at - LATE_S]
        if not office:
            return None
        since, term = office[-1]
        soon = any(
            since < later_at <= at + LATE_S and later.daemon == daemon
            for later_at, later in self._elected
        )
        if term.daemon == daemon or soon:
            return None
        return f"{at - since:.3f} s after {term.daemon} was elected"


def _elected(history: History, answered: Sequence[Answered]) -> list[tuple[float, Term]]:
    """When each term's daemon was told of its election, in order."""
    told = {(one.daemon, one.revision): one.at for one in reversed(answered)}
    times = [(told.get((term.daemon, term.number)), term) for term in history.terms]
    return sorted((at, term) for at, term in times if at is not None)


# ---- durable before visible -----------------------------------------------------------------


class _Known:
    """Up to which revision each daemon had been told at a time that its writes are durable."""

    def __init__(self, history: History, answered: Sequence[Answered]) -> None:
        self._first: dict[tuple[str, int], float] = {}
        for one in answered:
            key = one.daemon, one.revision
            self._first[key] = min(one.at, self._first.get(key, one.at))
        self._elected: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for at, term in _elected(history, answered):
            self._elected[term.daemon].append((at, term.number))

    def knows(self, daemon: str, at: float, revision: int) -> bool:
        """Also what was stored before the term began: a leader has seen all of that."""
        told = self._first.get((daemon, revision))
        if told is not None and told <= at:
            return True
        terms = self._elected[daemon]
        index = bisect_right(terms, at, key=lambda term: term[0])
        return index > 0 and revision <= terms[index - 1][1]


def said_before_it_was_stored(
    evidence: Evidence, history: History, known: "_Known"
) -> Iterator[str]:
    """ACCEPT waits for its attempts, KILL for the wanted end, ACKNOWLEDGE for the status."""
    states = {(update.task, update.uuid): update.state for update in evidence.updates}
    for said in evidence.said:
        for task in said.tasks:
            stored = history.attempts.get(task, ())
            match said.kind:
                case "ACCEPT":
                    revisions = [stored[0].revision] if stored else []
                case "KILL":
                    revisions = [one.revision for one in stored if one.end]
                case "ACKNOWLEDGE":
                    wanted = _stage_wanted(states.get((task, said.uuid)))
                    revisions = [
                        one.revision for one in stored if (stage(one.state) or 0) >= wanted
                    ]
                case _:
                    continue
            if not any(known.knows(said.daemon, said.at, revision) for revision in revisions):
                state = states.get((task, said.uuid), "")
                yield _too_early(said, task, state, revisions, stored)


def _stage_wanted(state: str | None) -> int:
    """How far the stored attempt must be before this status may be acknowledged."""
    if state is None:
        return _STAGE_OF["TASK_STARTING"]
    return 3 if state in _ENDED else _STAGE_OF.get(state, 0)


def _too_early(
    said: Said, task: str, state: str, revisions: Sequence[int], stored: Sequence[Stored]
) -> str:
    why = f"before revision {revisions[0]} was answered" if revisions else "and it was never stored"
    states = [f"{one.state} at {one.revision}" for one in stored]
    return f"{said.daemon} made the call {said.kind} for {task} {why} ({state}; stored: {states})"


# ---- what users were answered ----------------------------------------------------------------


def lost_requests(evidence: Evidence, history: History) -> Iterator[str]:
    """Each request answered with success is in the history, in order, durable when it was
    answered, and stands until the next one: what a user asked for before does not come back."""
    newest = _Newest(evidence.answered)
    for job, requests in evidence.requests.items():
        stored = history.jobs.get(job, [])
        position, before = 0, None
        for request in requests:
            if request.outcome is not Outcome.DONE:
                continue
            found = _find(stored, position, request.wish)
            if found is None:
                yield f"{job}: {request.wish} was answered with success and is not stored"
                break
            for revision, wish in stored[position:found]:
                if wish not in (before, request.wish):
                    yield f"{job}: {before} was undone by {wish} at revision {revision}"
            position, before = found, request.wish
            revision = stored[found][0]
            if not newest.reached(revision, request.answered):
                yield f"{job}: {request.wish} was answered before revision {revision} was durable"
        yield from _last_stands(job, requests, stored[-1][1] if stored else None)


class _Newest:
    """Up to which revision anybody had been told at a time."""

    def __init__(self, answered: Sequence[Answered]) -> None:
        self._times: list[float] = []
        self._revisions: list[int] = []
        newest = 0
        for one in sorted(answered):
            newest = max(newest, one.revision)
            self._times.append(one.at)
            self._revisions.append(newest)

    def reached(self, revision: int, at: float) -> bool:
        index = bisect_right(self._times, at)
        return index > 0 and self._revisions[index - 1] >= revision


def _find(stored: Sequence[tuple[int, Wish]], position: int, wish: Wish) -> int | None:
    for index in range(position, len(stored)):
        if stored[index][1] == wish:
            return index
    return None


def _last_stands(job: str, requests: Sequence[Request], stored: Wish | None) -> Iterator[str]:
    done = [request for request in requests if request.outcome is Outcome.DONE]
    if not done:
        return
    last = done[-1]
    may_be = {last.wish}
    may_be |= {
        request.wish
        for request in requests
        if request.outcome is Outcome.UNKNOWN and request.sent >= last.sent
    }
    if stored not in may_be:
        yield f"{job}: {last.wish} was the last to be answered with success, {stored} is stored"
