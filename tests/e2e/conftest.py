"""Fixtures of the scenarios: a master of each kind for the session, a daemon for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import Scene
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.support.masters import EmulatedMaster, Master, RealMaster

TEST_DEADLINE_S = 90.0
MASTERS = [pytest.param("real", marks=pytest.mark.real_mesos), pytest.param("emulated")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A scenario's own time limit begins when its master stands: that may be built first."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_DEADLINE_S, func_only=True))


@pytest.fixture(scope="session", params=MASTERS)
def master(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Master]:
    """One master of each kind for all scenarios; each scenario brings frameworks of its own."""
    started = _start(request.param, tmp_path_factory.mktemp(request.param))
    yield started
    started.stop()


def _start(kind: str, run_dir: Path) -> Master:
    if kind == "emulated":
        return EmulatedMaster(run_dir)
    try:
        return RealMaster(ensure_built(), run_dir)
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")


@pytest.fixture
def scene(master: Master, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The master, and daemons that are gone with their frameworks when the test ends."""
    made = Scene(master, tmp_path, request.node.name)
    yield made
    made.end()


Needs = Callable[[str], None]


@pytest.fixture
def needs(master: Master) -> Needs:
    """Skips a scenario where this master lacks what it needs."""

    def check(ability: str) -> None:
        if ability in master.lacks:
            pytest.skip(f"the {master.name} master lacks: {ability}")

    return check
