"""Faults under load, each judged from outside.

`make faults SEEDS=n` runs every fault under n seeds, `make test` two runs of some of them, one
after another. A seed is in the test's id: `pytest -k leader_paused-7` runs that one again.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.faults import faults
from tests.faults.masters import Emulated, WitnessedMaster, elected_masters
from tests.faults.settings import LEAN_SEEDS, SEEDS
from tests.faults.stage import Stage
from tests.support.private_host import ensure_private_hosts

NETWORK: Final = "127.77.51"
DEADLINE_S: Final = 300.0
WORK_S: Final = 1.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(DEADLINE_S)]


@pytest.mark.parametrize("seed", range(SEEDS or LEAN_SEEDS))
def test_nothing_is_lost_or_doubled_under_some_faults_after_each_other(
    seed: int, tmp_path: Path
) -> None:
    random = Random(seed)
    first = [faults.leader_killed, faults.leader_paused][seed % 2]
    others = [fault for fault in faults.QUICK if fault is not first]
    _play([first, *random.sample(others, 2)], random, tmp_path, seed)


@pytest.mark.skipif(not SEEDS, reason="make faults SEEDS=n")
@pytest.mark.parametrize(("name", "seed"), [*itertools.product(faults.ALL, range(SEEDS or 1))])
def test_nothing_is_lost_or_doubled_under(name: str, seed: int, tmp_path: Path) -> None:
    options = faults.ETCD_OPTIONS.get(name, [])
    _play([faults.ALL[name]], Random(f"{name}-{seed}"), tmp_path, seed, etcd_options=options)


@pytest.mark.skipif(not SEEDS, reason="make faults SEEDS=n")
@pytest.mark.parametrize(("name", "seed"), [*itertools.product(faults.APART, range(SEEDS or 1))])
def test_nothing_is_lost_or_doubled_on_hosts_apart_under(
    name: str, seed: int, tmp_path: Path
) -> None:
    ensure_private_hosts()
    _play([faults.APART[name]], Random(f"{name}-{seed}"), tmp_path, seed, apart=True)


@pytest.mark.real_mesos
@pytest.mark.skipif(not SEEDS, reason="make faults SEEDS=n")
@pytest.mark.parametrize(
    ("name", "seed"), [*itertools.product(faults.ON_REAL_MESOS, range(SEEDS or 1))]
)
def test_nothing_is_lost_or_doubled_on_real_mesos_under(
    name: str, seed: int, tmp_path: Path
) -> None:
    random = Random(f"real-{name}-{seed}")
    _play([faults.ON_REAL_MESOS[name]], random, tmp_path, seed, elected_masters)


def _play(
    scenes: list[faults.Fault],
    random: Random,
    folder: Path,
    seed: int,
    make_master: Callable[[Path], WitnessedMaster] = Emulated,
    etcd_options: Sequence[str] = (),
    apart: bool = False,
) -> None:
    with Stage(folder, NETWORK, make_master, etcd_options=etcd_options, apart=apart) as stage:
        with stage.load(seed) as load:
            for scene in scenes:
                load.await_work()
                time.sleep(random.uniform(0.0, WORK_S))
                scene(stage, random)
            stage.heal()
        stage.settle(load)
