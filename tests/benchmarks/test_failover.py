"""A small round: two daemons take over from each other, and each launches what waited."""

import pytest

from benchmarks import failover
from benchmarks.values import Load
from tests.support.etcd_cluster import ensure_etcd


@pytest.mark.slow
@pytest.mark.timeout(240, func_only=True)
def test_a_small_round_tells_how_long_a_takeover_takes() -> None:
    ensure_etcd()
    figures = failover.run(Load(agents=10, tasks=100), takeovers=1).values
    assert 0.0 < figures[failover.RESIGNED] < figures[failover.KILLED]
