"""Fixtures of the tests that need a real Mesos; they skip, saying why, where it cannot be built."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster

TEST_DEADLINE_S = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps fixtures of tests marked `real_mesos` out of the tests' own time limit.

    The first test to ask for the build waits for it, on a fresh machine for packages too; every
    step of a build and of a start has a deadline of its own.
    """
    for item in items:
        if item.get_closest_marker("real_mesos") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_DEADLINE_S, func_only=True))


@pytest.fixture(scope="session")
def mesos_build() -> Path:
    """The folder with the built programs; skips the test where they cannot be built."""
    try:
        return ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")


@pytest.fixture
def real_cluster(mesos_build: Path, tmp_path: Path) -> Iterator[Callable[[], RealCluster]]:
    """Makes clusters: `real_cluster().start(agents=2, auth=True)`; all are stopped at the end."""
    with ExitStack() as made:
        count = 0

        def make() -> RealCluster:
            nonlocal count
            count += 1
            return made.enter_context(RealCluster(mesos_build, tmp_path / f"cluster-{count}"))

        yield make
