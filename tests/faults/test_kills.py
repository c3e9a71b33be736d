"""The leader is killed again and again at random moments, under load.

`make faults KILLS=100` plays it with so many kills, and prints what it measured.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.faults.evidence import Evidence
from tests.faults.masters import Emulated, WitnessedMaster, elected_masters
from tests.faults.settings import KILLS
from tests.faults.stage import Stage

SEED: Final = 1
NETWORK: Final = "127.77.53"
IN_OFFICE_S_MAX: Final = 3.0
A_KILL_S_MAX: Final = 30.0
END_S_MAX: Final = 600.0

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not KILLS, reason="make faults KILLS=n")
@pytest.mark.timeout(KILLS * A_KILL_S_MAX + END_S_MAX)
@pytest.mark.parametrize(
    "make_master",
    [
        pytest.param(Emulated, id="emulated"),
        pytest.param(elected_masters, id="real", marks=pytest.mark.real_mesos),
    ],
)
def test_the_leader_may_be_killed_at_any_moment(
    make_master: Callable[[Path], WitnessedMaster],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    random = Random(SEED)
    kills: list[float] = []
    with Stage(tmp_path, NETWORK, make_master) as stage:
        with stage.load(SEED) as load:
            load.await_work()
            office = stage.await_office()
            for _ in range(KILLS):
                time.sleep(random.uniform(0.0, IN_OFFICE_S_MAX))
                office = stage.await_office(at_least=office.term)
                office.instance.kill()
                kills.append(time.monotonic())
                office.instance.start()
                office = stage.await_office(at_least=office.term + 1)
            stage.heal()
        evidence = stage.settle(load)
    with capsys.disabled():
        print(_report(kills, evidence, load.done))


def _report(kills: Sequence[float], evidence: Evidence, done: int) -> str:
    launched = sum(len(said.tasks) for said in evidence.said if said.kind == "ACCEPT")
    lines = [
        "",
        f"kills {len(kills)}, requests answered with success {done}, "
        f"tasks launched {launched}, etcd revisions {evidence.changes[-1].revision}, violations 0",
    ]
    ends = [*kills[1:], math.inf]
    for kind in ("SUBSCRIBE", "ACCEPT"):
        first = [_first(evidence, kind, *time) for time in zip(kills, ends, strict=True)]
        times = [time for time in first if time is not None]
        lines.append(f"from kill to the first {kind}: {_spread(times)}")
    return "\n".join(lines)


def _first(evidence: Evidence, kind: str, after: float, before: float) -> float | None:
    """Seconds until anybody made such a call; None where the next kill came first."""
    return next(
        (
            said.at - after
            for said in evidence.said
            if after < said.at < before and said.kind == kind
        ),
        None,
    )


def _spread(times: Sequence[float]) -> str:
    if len(times) < 2:
        return f"{len(times)} seen"
    cuts = statistics.quantiles(times, n=10)
    return (
        f"median {statistics.median(times):.2f} s, p10 {cuts[0]:.2f}, p90 {cuts[-1]:.2f}, "
        f"least {min(times):.2f}, most {max(times):.2f} (of {len(times)})"
    )
