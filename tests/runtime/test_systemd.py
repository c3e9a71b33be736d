"""What the daemon tells systemd: that it is ready, that it lives, that it stops.

A socket of the test's stands for systemd's; the daemon is a real process.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from scheduler.runtime import systemd
from tests.support.daemon import OFFERD, PROJECT_ROOT, free_port

HOST: Final = "127.77.33.1"
DEADLINE_S: Final = 20.0
WATCHDOG_S: Final = 0.4


@pytest.fixture(params=["path", "abstract"])
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The value of NOTIFY_SOCKET, and the socket that it names."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.settimeout(DEADLINE_S)
        if request.param == "path":
            name = str(tmp_path / "notify")
            listening.bind(name)
        else:
            name = f"@offerd-test-{os.getpid()}"
            listening.bind("\0" + name[1:])
        yield name, listening


def started(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A daemon whose master is nowhere."""
    settings = folder / "offerd.yaml"
    settings.write_text(
        f"master: http://{HOST}:1\nstore: 'memory:'\nlisten: {HOST}:{free_port(HOST)}\n"
    )
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OFFERD_")}
    return subprocess.Popen(
        [*OFFERD, "run", "-c", str(settings)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT_ROOT,
        env={**inherited, **environment},
    )


def test_the_daemon_is_ready_once_lives_often_and_stops_with_a_word(
    named: tuple[str, socket.socket], tmp_path: Path
) -> None:
    name, listening = named
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000))}
    with started(tmp_path, environment) as daemon:
        try:
            assert listening.recv(100) == b"READY=1"
            # Each sign has to come within the time after which systemd would kill it.
            for _ in range(3):
                assert listening.recv(100) == b"WATCHDOG=1"
            daemon.send_signal(signal.SIGTERM)
            while (told := listening.recv(100)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"
            assert daemon.wait(DEADLINE_S) == 0
        finally:
            daemon.kill()


def test_a_frozen_loop_gives_no_sign_of_life(
    named: tuple[str, socket.socket], tmp_path: Path
) -> None:
    """So systemd sees it, and starts another one."""
    name, listening = named
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000))}
    with started(tmp_path, environment) as daemon:
        try:
            assert listening.recv(100) == b"READY=1"
            assert listening.recv(100) == b"WATCHDOG=1"
            daemon.send_signal(signal.SIGSTOP)
            listening.settimeout(WATCHDOG_S)
            with pytest.raises(TimeoutError):
                for _ in range(3):  # one or two may have been on their way
                    listening.recv(100)
        finally:
            daemon.kill()


@pytest.mark.parametrize("name", ["", "/nowhere/at/all"])
def test_without_a_socket_nothing_is_told_and_nothing_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    systemd.notify("READY=1")


@pytest.mark.parametrize(
    ("variables", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_told_twice_in_its_time(
    variables: dict[str, str], interval_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert systemd.watchdog_interval_s() == interval_s
