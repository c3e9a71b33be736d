"""Sentences about what was not placed."""

import pytest

from scheduler.core.model.job import Constraint, Operator
from scheduler.core.placement.reasons import Cause, Reason, Shortfall, sentence

RACK = Constraint("rack", Operator.IS, "r1")


@pytest.mark.parametrize(
    ("shortfall", "text"),
    [
        (Shortfall(1, 0, (Cause(Reason.NO_OFFERS, 0),)), "no offers"),
        (
            Shortfall(
                3,
                12,
                (Cause(Reason.CONSTRAINT, 4, constraint=RACK), Cause(Reason.CPUS, 8, 8, 500)),
            ),
            "12 offers: 8 lack cpus (the best by 0.5), 4 fail `rack is r1`",
        ),
        (Shortfall(1, 1, (Cause(Reason.MEM, 1, 1, 512_000),)), "1 offer: 1 lacks mem (by 512 MiB)"),
        (
            Shortfall(1, 2, (Cause(Reason.PORTS, 1, 1, 2), Cause(Reason.FIXED_PORT, 1, port=80))),
            "2 offers: 1 lacks ports (by 2), 1 lacks port 80",
        ),
        (
            Shortfall(1, 3, (Cause(Reason.HOST_TAKEN, 2), Cause(Reason.GPUS, 1, 0, 1000))),
            "3 offers: 2 are on hosts that the job has a task on, 1 lacks gpus (by 1)",
        ),
    ],
)
def test_a_shortfall_reads_as_a_sentence(shortfall: Shortfall, text: str) -> None:
    assert sentence(shortfall) == text


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    cause = Cause(reason, 2, 1, 1500, RACK, 80)

    assert sentence(Shortfall(1, 2, (cause,))).startswith("2 offers: ")
