"""`python -m tests.real_mesos up`: a real Mesos cluster by hand, until Ctrl-C."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.real_mesos.build import CannotBuild, ensure_built
from tests.real_mesos.cluster import ClusterError, RealCluster

LIFE_CHECK_S = 1


def main() -> int:
    """Exit codes: 0 ended by a signal, 1 the cluster failed, 3 it cannot be built here."""
    arguments = _arguments()
    try:
        build = ensure_built()
    except CannotBuild as error:
        print(f"real Mesos cannot be built here: {error.reason}", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix="real-mesos-") as folder:
        run_dir = arguments.run_dir or Path(folder)
        with RealCluster(build, run_dir) as cluster:
            try:
                cluster.start(
                    arguments.agents, arguments.masters, zk=arguments.zk, auth=arguments.auth
                )
                _print_cluster(cluster)
                _wait_for_the_end(cluster)
            except ClusterError as error:
                print(error, file=sys.stderr)
                return 1
    return 0


def _wait_for_the_end(cluster: RealCluster) -> None:
    """Returns at SIGINT or SIGTERM; raises ClusterError when a node ends by itself."""
    # Blocked only now: children inherit the mask, and a task must be able to get SIGTERM.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    while signal.sigtimedwait(ends, LIFE_CHECK_S) is None:
        cluster.check_alive()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.real_mesos", description=__doc__)
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="start a cluster and run it until Ctrl-C")
    up.add_argument("--agents", type=int, default=3)
    up.add_argument("--masters", type=int, default=1)
    up.add_argument("--zk", action="store_true", help="elect masters through ZooKeeper")
    up.add_argument("--auth", action="store_true", help="frameworks must authenticate")
    up.add_argument("--run-dir", type=Path, help="keep logs and sandboxes in this folder")
    return parser.parse_args()


def _print_cluster(cluster: RealCluster) -> None:
    print(f"master    {cluster.master_url}")
    for agent in sorted(cluster.state()["slaves"], key=lambda agent: str(agent["attributes"])):
        print(f"agent     {agent['hostname']}  {agent['attributes']}")
    print(f"run dir   {cluster.run_dir}")
    print("Ctrl-C ends it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
