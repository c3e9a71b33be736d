"""Fixtures of the tests that need a real Mesos; they skip, saying why, where it cannot be built."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster

# The first test to ask for the build waits for it, on a fresh machine for its packages too.
FIRST_BUILD_DEADLINE_S = 420.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives tests marked `real_mesos` the time that the first build may take."""
    for item in items:
        if item.get_closest_marker("real_mesos") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(FIRST_BUILD_DEADLINE_S))


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
