"""A single ZooKeeper server for a cluster whose masters are elected.

Started from Debian's `zookeeper` package with a Java runtime, where they are installed.
"""

import shutil
from pathlib import Path

from tests.real_mesos.nodes import Node
from tests.real_mesos.ports import Endpoint

JARS = Path("/usr/share/java")
JAR_PATTERNS = (
    "zookeeper.jar", "zookeeper-jute.jar", "slf4j-*.jar", "netty*.jar", "log4j-1.2.jar",
    "reload4j.jar", "snappy-java.jar", "metrics-core.jar", "commons-*.jar", "logback-*.jar",
)  # fmt: skip


def zookeeper_missing() -> str | None:
    """Why ZooKeeper cannot be started here, in a few words; None if it can."""
    if shutil.which("java") is None:
        return "there is no Java runtime"
    if not (JARS / "zookeeper.jar").exists():
        return "the package zookeeper is not installed"
    return None


def zookeeper_node(run_dir: Path, endpoint: Endpoint) -> Node:
    """How to start the server; its data are kept under `run_dir`."""
    folder = run_dir / "zookeeper"
    folder.mkdir(exist_ok=True)
    configuration = folder / "zoo.cfg"
    configuration.write_text(
        "tickTime=1000\n"
        f"dataDir={folder / 'data'}\n"
        f"clientPort={endpoint.port}\n"
        f"clientPortAddress={endpoint.address}\n"
        "admin.enableServer=false\n"
        "maxClientCnxns=0\n"
    )
    jars = [str(jar) for pattern in JAR_PATTERNS for jar in sorted(JARS.glob(pattern))]
    class_path = ":".join(["/etc/zookeeper/conf", *jars])
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    command = ["java", "-Xmx128m", "-cp", class_path, main, str(configuration)]
    return Node("zookeeper", command, {})
