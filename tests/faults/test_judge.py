"""The judge catches each violation, shown one at a time in evidence that is otherwise in order."""

import json
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest

from tests.faults.evidence import (
    Answered,
    Change,
    Claim,
    Evidence,
    Life,
    Outcome,
    Request,
    Said,
    Update,
    Wish,
)
from tests.faults.judge import violations

PREFIX: Final = "/offerd/t/"
TASK: Final = "web.0.1.u"
OTHER: Final = "web.0.2.u"
FIRST, SECOND = "daemon-0", "daemon-1"


def leader(revision: int, daemon: str) -> Change:
    value = json.dumps({"instance": daemon}).encode()
    return Change(revision, f"{PREFIX}leader", value, revision)


def no_leader(revision: int) -> Change:
    return Change(revision, f"{PREFIX}leader", None)


def mark(revision: int, term: int) -> Change:
    return Change(revision, f"{PREFIX}commit/0", b"%d.x.1" % term)


def record(revision: int, path: str, document: dict[str, Any] | None) -> Change:
    value = None if document is None else b"\x01" + msgspec.msgpack.encode(document)
    return Change(revision, PREFIX + path, value)


def job(revision: int, instances: int, desired: str = "run") -> Change:
    return record(revision, "jobs/web", {"desired": desired, "spec": {"instances": instances}})


def instance(revision: int, *attempts: tuple[str, str], end: str = "") -> Change:
    """Task ids and states; those that have ended come after the live ones."""
    documents: list[dict[str, Any]] = [
        {"task_id": task, "state": state, **({"end": {"reason": end}} if end else {})}
        for task, state in attempts
    ]
    ended = [one for one in documents if one["state"] in ("finished", "killed", "failed")]
    live = [one for one in documents if one not in ended]
    return record(revision, "tasks/web/0", {"live": live, "ended": ended})


ORDERLY: Final = Evidence(
    PREFIX,
    changes=[
        leader(10, FIRST),
        *(mark(11, 10), job(11, 1)),
        *(mark(12, 10), instance(12, (TASK, "launching"))),
        *(mark(13, 10), instance(13, (TASK, "running"))),
        no_leader(14),
        leader(15, SECOND),
        *(mark(16, 15), instance(16, (TASK, "running"), end="scaled_down")),
        *(mark(17, 15), instance(17, (TASK, "killed"))),
        *(mark(18, 15), instance(18, (OTHER, "launching"), (TASK, "killed"))),
        *(mark(19, 15), instance(19, (OTHER, "running"), (TASK, "killed"))),
    ],
    answered=[
        *(Answered(float(revision), FIRST, revision) for revision in (10, 11, 12, 13)),
        *(Answered(float(revision), SECOND, revision) for revision in (15, 16, 17, 18, 19)),
    ],
    said=[
        Said(11.5, FIRST, "SUBSCRIBE"),
        Said(12.5, FIRST, "ACCEPT", (TASK,)),
        Said(13.5, FIRST, "ACKNOWLEDGE", (TASK,), b"1"),
        Said(15.5, SECOND, "SUBSCRIBE"),
        Said(16.5, SECOND, "KILL", (TASK,)),
        Said(17.5, SECOND, "ACKNOWLEDGE", (TASK,), b"2"),
        Said(18.5, SECOND, "ACCEPT", (OTHER,)),
        Said(19.5, SECOND, "ACKNOWLEDGE", (OTHER,), b"3"),
    ],
    updates=[
        Update(13.4, TASK, b"1", "TASK_RUNNING"),
        Update(16.9, TASK, b"2", "TASK_KILLED"),
        Update(18.9, OTHER, b"3", "TASK_RUNNING"),
    ],
    lives=[Life(TASK, 12.6, 17.0), Life(OTHER, 18.6, None)],
    requests={"web": [Request("web", Wish("run", 1), 10.5, 11.2, Outcome.DONE)]},
)


def with_changes(*changes: Change, instead_of: int = 0) -> Evidence:
    """The orderly evidence with other changes at one revision, or further ones."""
    kept = [change for change in ORDERLY.changes if change.revision != instead_of]
    return replace(ORDERLY, changes=sorted([*kept, *changes], key=lambda one: one.revision))


def said_at(at: float, was: float) -> Evidence:
    """One call leaves at another time."""
    said = [one._replace(at=at) if one.at == was else one for one in ORDERLY.said]
    return replace(ORDERLY, said=sorted(said))


def asked(*requests: tuple[Wish, float, Outcome]) -> Evidence:
    made = [Request("web", wish, at - 0.5, at, outcome) for wish, at, outcome in requests]
    return replace(ORDERLY, requests={"web": made})


RUN, STOP, DONE, UNKNOWN = Wish("run", 1), Wish("stop"), Outcome.DONE, Outcome.UNKNOWN


def test_what_is_in_order_passes() -> None:
    assert violations(ORDERLY) == []


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        pytest.param(
            replace(ORDERLY, said=[*ORDERLY.said, Said(19.9, SECOND, "ACCEPT", (OTHER,))]),
            "launched by 2 calls",
            id="a task id in two calls",
        ),
        pytest.param(
            replace(ORDERLY, lives=[ORDERLY.lives[0], Life(OTHER, 18.6, None, begun=2)]),
            "was started 2 times",
            id="a task that agents started twice",
        ),
        pytest.param(
            replace(ORDERLY, lives=[*ORDERLY.lives, Life("web.1.1.u", 18.0, None)]),
            "nobody was seen to launch it",
            id="a task from nowhere",
        ),
        pytest.param(
            replace(ORDERLY, lives=[Life(TASK, 12.6, 18.7), ORDERLY.lives[1]]),
            f"{TASK} lived when {OTHER} began",
            id="two live attempts for a moment",
        ),
        pytest.param(
            replace(ORDERLY, lives=[Life(TASK, 12.6, None), ORDERLY.lives[1]]),
            f"{TASK} lived when {OTHER} began",
            id="two live attempts for ever",
        ),
        pytest.param(
            with_changes(
                mark(16, 15), instance(16, (TASK, "running"), end="superseded"), instead_of=16
            ),
            f"{TASK} was told to end for superseded",
            id="a task that was ended and nobody wished it",
        ),
        pytest.param(
            replace(ORDERLY, batches={"count": 2}, finished={"count.0.1.u"}),
            "no task of the instances [1] finished",
            id="a batch that was given up",
        ),
        pytest.param(
            with_changes(mark(20, 10), instance(20, (OTHER, "running"))),
            "which ended at 14",
            id="a write of an ended term",
        ),
        pytest.param(
            with_changes(instance(20, (OTHER, "running"))),
            "without the mark of a term",
            id="a write without a mark",
        ),
        pytest.param(
            with_changes(mark(20, 17), instance(20, (OTHER, "running"))),
            "which is no term",
            id="a write of a term that never was",
        ),
        pytest.param(
            said_at(17.9, 18.5), "ACCEPT for web.0.2.u before revision 18", id="an early ACCEPT"
        ),
        pytest.param(
            said_at(12.9, 13.5),
            "ACKNOWLEDGE for web.0.1.u before revision 13",
            id="an early ACKNOWLEDGE",
        ),
        pytest.param(
            said_at(15.9, 16.5), "KILL for web.0.1.u before revision 16", id="an early KILL"
        ),
        pytest.param(
            with_changes(mark(18, 15), instead_of=18),
            "ACCEPT for web.0.2.u before revision 19",
            id="an ACCEPT of what was stored with its first status only",
        ),
        pytest.param(
            with_changes(mark(17, 15), instance(17, (TASK, "running")), instead_of=17),
            "ACKNOWLEDGE for web.0.1.u before revision 18",
            id="an ACKNOWLEDGE of an end that was stored as less",
        ),
        pytest.param(
            replace(ORDERLY, said=[*ORDERLY.said, Said(20.0, FIRST, "RECONCILE")]),
            "after daemon-1 was elected",
            id="a call of the old leader",
        ),
        pytest.param(
            replace(ORDERLY, said=[*ORDERLY.said, Said(16.2, FIRST, "SUBSCRIBE")]),
            "daemon-0 made the call SUBSCRIBE",
            id="the old leader subscribes",
        ),
        pytest.param(
            replace(ORDERLY, claims=[Claim(14.0, FIRST), Claim(15.6, FIRST)]),
            "daemon-0 said that it leads 0.600 s after daemon-1 was elected",
            id="the old leader says that it leads",
        ),
        pytest.param(
            asked((RUN, 11.2, DONE), (STOP, 19.0, DONE)),
            "stop', instances=0) was answered with success and is not stored",
            id="a request that was lost",
        ),
        pytest.param(
            asked((RUN, 10.9, DONE)), "before revision 11 was durable", id="an early answer"
        ),
        pytest.param(
            replace(
                with_changes(mark(20, 15), job(20, 2), mark(21, 15), job(21, 1)),
                requests=asked((RUN, 11.2, DONE), (Wish("run", 2), 20.0, DONE)).requests,
                answered=[*ORDERLY.answered, Answered(19.9, SECOND, 20)],
            ),
            "was the last to be answered with success",
            id="a request that was undone",
        ),
        pytest.param(
            replace(
                with_changes(
                    *(mark(20, 15), job(20, 2), mark(21, 15), job(21, 1)),
                    *(mark(22, 15), job(22, 3)),
                ),
                requests=asked(
                    (RUN, 11.2, DONE), (Wish("run", 2), 20.5, DONE), (Wish("run", 3), 22.5, DONE)
                ).requests,
                answered=[
                    *ORDERLY.answered,
                    *(Answered(float(revision), SECOND, revision) for revision in (20, 21, 22)),
                ],
            ),
            "was undone by Wish(desired='run', instances=1) at revision 21",
            id="a request that was undone for a while",
        ),
    ],
)
def test_each_violation_is_caught(evidence: Evidence, said: str) -> None:
    found = violations(evidence)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(
            replace(ORDERLY, said=sorted([*ORDERLY.said, Said(15.2, FIRST, "RECONCILE")])),
            id="a call that lay in a queue for a moment",
        ),
        pytest.param(
            replace(ORDERLY, claims=[Claim(14.9, FIRST), Claim(15.2, FIRST), Claim(15.9, SECOND)]),
            id="an answer that was on its way while another was elected",
        ),
        pytest.param(
            replace(
                with_changes(mark(20, 15), job(20, 1, "stop")),
                requests=asked((RUN, 11.2, DONE), (STOP, 21.0, UNKNOWN)).requests,
            ),
            id="a request of unknown outcome that was done",
        ),
        pytest.param(
            asked((RUN, 11.2, DONE), (STOP, 21.0, UNKNOWN)),
            id="a request of unknown outcome that was not done",
        ),
        pytest.param(
            replace(
                with_changes(mark(17, 15), instance(17, (TASK, "unreachable")), instead_of=17),
                said=[one for one in ORDERLY.said if one.uuid != b"2"],
                lives=[Life(TASK, 12.6, None), ORDERLY.lives[1]],
            ),
            id="an unreachable task that was replaced",
        ),
    ],
)
def test_what_only_looks_odd_passes(evidence: Evidence) -> None:
    assert violations(evidence) == []
