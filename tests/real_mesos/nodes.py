"""The command lines of a cluster's nodes: what a master and an agent are started with.

Pure functions from a `ClusterOptions` to argument lists and environments; `cluster` starts them.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.real_mesos.build import NODE, NODE_ZK
from tests.real_mesos.ports import Endpoint, PortBlock
from tests.real_mesos.tls import tls_environment

Flags = Mapping[str, str | int | float | bool]

PROJECT_ROOT = Path(__file__).resolve().parents[2]
# The name under which the agent looks for a program → our module that stands in for it.
LAUNCHER_PROGRAMS = {
    "mesos-containerizer": "tests.real_mesos.launcher.containerizer",
    "mesos-executor": "tests.real_mesos.launcher.executor",
    "mesos-default-executor": "tests.real_mesos.launcher.executor",
    "mesos-fetcher": "tests.real_mesos.launcher.fetcher",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A principal and its secret, as basic authentication sends them."""

    principal: str
    secret: str


FRAMEWORK_CREDENTIAL = Credential("fw", "secret")
OPERATOR_CREDENTIAL = Credential("ops", "opsecret")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What a cluster was asked to be; mem and disk in megabytes for each agent."""

    agents: int
    masters: int
    zk: bool
    auth: bool
    auth_http: bool
    tls: bool
    master_flags: Flags
    agent_flags: Flags
    cpus: float
    mem: float
    disk: float


@dataclass(frozen=True, slots=True)
class Node:
    """How to start one node."""

    name: str
    command: list[str]
    environment: dict[str, str]


def master_node(
    build: Path, run_dir: Path, ports: PortBlock, options: ClusterOptions, index: int
) -> Node:
    """Master `index`: its flags go by environment, the program's own way of reading them."""
    endpoint = ports.master(index)
    flags: dict[str, str | int | float | bool] = {
        "hostname": endpoint.address,
        "cluster": "real",
        # A replicated log on disk: what was registered survives a kill -9.
        "registry": "replicated_log",
        # An agent that fell silent is unreachable after 5 s, not after 75.
        "agent_ping_timeout": "1secs",
        "max_agent_ping_timeouts": 5,
        "allocation_interval": "200ms",
    }
    if options.auth or options.auth_http:
        flags["credentials"] = str(run_dir / "credentials.json")
    if options.auth:
        flags["authenticate_frameworks"] = True
        flags["authenticate_http_frameworks"] = True
        flags["http_framework_authenticators"] = "basic"
    if options.auth_http:
        flags["authenticate_http_readwrite"] = True
        flags["authenticate_http_readonly"] = True
    environment = {
        f"MESOS_{name.upper()}": _text(value)
        for name, value in {**flags, **options.master_flags}.items()
    }
    program = NODE_ZK if options.zk else NODE
    name = f"master-{index}"
    command = [str(build / program), "master", f"--work_dir={run_dir / name}"]
    environment |= _node_environment(ports, endpoint)
    if options.tls:
        environment |= tls_environment(run_dir, also_plain=False)
    return Node(name, command, environment)


def agent_node(
    build: Path, run_dir: Path, ports: PortBlock, options: ClusterOptions, index: int
) -> Node:
    """Agent `index`: attributes rack:r<index> and zone:z<index mod 2>, task ports of its own."""
    endpoint = ports.agent(index)
    name = f"agent-{index}"
    first_port, last_port = ports.task_ports(index, options.agents)
    master = zookeeper_url(ports) if options.zk else str(ports.master(0))
    flags: dict[str, str | int | float | bool] = {
        "master": master,
        "hostname": endpoint.address,
        "hostname_lookup": False,
        "work_dir": str(run_dir / name / "work"),
        "runtime_dir": str(run_dir / name / "runtime"),
        "fetcher_cache_dir": str(run_dir / name / "fetch"),
        "launcher": "posix",
        "launcher_dir": str(run_dir / "launcher"),
        "isolation": "posix/cpu,posix/mem,filesystem/posix",
        "systemd_enable_support": False,
        "switch_user": False,
        "resources": f"cpus:{options.cpus:g};mem:{options.mem:g};disk:{options.disk:g};"
        f"ports:[{first_port}-{last_port}]",
        "attributes": f"rack:r{index};zone:z{index % 2}",
        "registration_backoff_factor": "100ms",
        "executor_reregistration_timeout": "2secs",
        # Executors of checkpointing frameworks give up after this, should the tests be killed.
        "recovery_timeout": "2mins",
    }
    arguments = [_argument(name, value) for name, value in {**flags, **options.agent_flags}.items()]
    command = [str(build / NODE), "agent", *arguments]
    environment = _node_environment(ports, endpoint)
    if options.tls:
        # Plain too, for our executors, which speak no TLS.
        environment |= tls_environment(run_dir, also_plain=True)
    return Node(name, command, environment)


def zookeeper_url(ports: PortBlock) -> str:
    """Where masters are elected, and where frameworks and agents find the leader."""
    return f"zk://{ports.zookeeper()}/mesos"


def write_shared_files(run_dir: Path) -> None:
    """The credentials file, and the launcher folder that agents start programs from."""
    credentials = [
        {"principal": known.principal, "secret": known.secret}
        for known in (FRAMEWORK_CREDENTIAL, OPERATOR_CREDENTIAL)
    ]
    credentials_file = run_dir / "credentials.json"
    credentials_file.touch(mode=0o600)
    credentials_file.write_text(json.dumps({"credentials": credentials}))
    launcher_dir = run_dir / "launcher"
    launcher_dir.mkdir(exist_ok=True)
    for name, module in LAUNCHER_PROGRAMS.items():
        program = launcher_dir / name
        program.write_text(_launcher_script(module))
        program.chmod(0o755)


def _launcher_script(module: str) -> str:
    """A shell script that runs one of our modules with this interpreter, whatever the PATH."""
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(PROJECT_ROOT)!r}); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S -c {shlex.quote(code)} "$@"\n'


def _node_environment(ports: PortBlock, endpoint: Endpoint) -> dict[str, str]:
    return {
        "LIBPROCESS_IP": endpoint.address,
        "LIBPROCESS_PORT": str(endpoint.port),
        "NODE_ZK": zookeeper_url(ports),
    }


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _argument(name: str, value: str | int | float | bool) -> str:
    if value is True:
        return f"--{name}"
    if value is False:
        return f"--no-{name}"
    return f"--{name}={value}"
