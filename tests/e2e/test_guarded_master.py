"""A real master behind TLS whose operator API asks for credentials of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import Document, service
from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import RealCluster
from tests.real_mesos.nodes import FRAMEWORK_CREDENTIAL, OPERATOR_CREDENTIAL
from tests.support.cluster_state import FrameworkState
from tests.support.daemon import DaemonProcess
from tests.support.waiting import stays, wait_until

pytestmark = pytest.mark.real_mesos


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    try:
        build = ensure_built()
    except CannotBuild as error:
        pytest.skip(f"real Mesos cannot be built here: {error.reason}")
    with RealCluster(build, tmp_path_factory.mktemp("guarded")) as cluster:
        yield cluster.start(agents=1, auth=True, auth_http=True, tls=True)


def settings_for(cluster: RealCluster, folder: Path, operator_secret: str) -> Document:
    secrets = {"framework": FRAMEWORK_CREDENTIAL.secret, "operator": operator_secret}
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
    return {
        "master": cluster.master_url,
        "master_tls": {"ca_file": str(cluster.ca_file)},
        "framework": {
            "name": "guarded",
            "principal": FRAMEWORK_CREDENTIAL.principal,
            "secret_file": str(folder / "framework"),
        },
        "operator": {
            "principal": OPERATOR_CREDENTIAL.principal,
            "secret_file": str(folder / "operator"),
            "agents_interval": "1s",
        },
    }


def test_jobs_run_over_tls_and_agents_are_listed_with_their_totals(
    cluster: RealCluster, tmp_path: Path
) -> None:
    settings = settings_for(cluster, tmp_path, OPERATOR_CREDENTIAL.secret)
    with DaemonProcess(tmp_path / "daemon", settings).start() as daemon:
        framework_id = daemon.wait_until_connected()
        daemon.api.apply(service("web", 2))

        def runs() -> bool:
            return len(FrameworkState(cluster.state(), framework_id).running("web")) == 2

        wait_until(runs, "the service to run")
        (agent,) = daemon.api.get("/v1/agents")["items"]
        assert agent["total"]["cpus"] == 4
        assert agent["attributes"] == {"rack": "r0", "zone": "z0"}
        assert daemon.api.status()["agents_hidden"] == ""
        wait_until(lambda: daemon.api.status()["other_frameworks"] == [], "nobody else to be there")
        assert daemon.api.status()["frameworks_hidden"] == ""


def test_where_the_operator_api_is_forbidden_jobs_run_and_status_says_so(
    cluster: RealCluster, tmp_path: Path
) -> None:
    settings = settings_for(cluster, tmp_path, "guessed")
    with DaemonProcess(tmp_path / "daemon", settings).start() as daemon:
        framework_id = daemon.wait_until_connected()
        daemon.api.apply(service("web", 1))

        def runs() -> bool:
            return len(FrameworkState(cluster.state(), framework_id).running("web")) == 1

        wait_until(runs, "the service to run")
        wait_until(lambda: daemon.api.status()["agents_hidden"], "a word about the agents")
        wait_until(lambda: daemon.api.status()["frameworks_hidden"], "a word about frameworks")
        assert daemon.api.status()["other_frameworks"] is None
        # Known from offers alone.
        (agent,) = daemon.api.get("/v1/agents")["items"]
        assert agent["total"] is None
        daemon.api.apply(service("big", 1, resources={"cpus": 100, "mem": "16MiB"}))

        def explained() -> bool:
            view = daemon.api.get("/v1/jobs/big/explain")
            assert view["agents_hidden"]
            return [one["reason"] for one in view["reasons"]] == ["cpus"]

        wait_until(explained, "the offers that came to be known")
        assert "guessed" not in daemon.log_tail()


def test_a_master_whose_certificate_is_not_trusted_is_not_spoken_to(
    cluster: RealCluster, tmp_path: Path
) -> None:
    settings = settings_for(cluster, tmp_path, OPERATOR_CREDENTIAL.secret)
    settings.pop("master_tls")
    with DaemonProcess(tmp_path / "daemon", settings).start() as daemon:
        stays(lambda: not daemon.api.status()["connected"] and daemon.alive(), "waiting", 2.0)
        assert not any(one["connected"] for one in cluster.state()["frameworks"])
