"""The image, really built and run: who it runs as, what it answers, how it ends."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.image import END_DEADLINE_S, CannotBuildImage, Image, descendants
from tests.support.daemon import free_port
from tests.support.masters import EmulatedMaster
from tests.support.rest import RestClient
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120, func_only=True),
    pytest.mark.xdist_group("image"),  # building it takes a minute: in one process only
]

HOST: Final = "127.77.32.1"
USER: Final = "65532"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built once; skips these tests where it cannot be."""
    with Image(Path(tempfile.mkdtemp(prefix="offerd-image-"))) as image:
        try:
            image.build()
        except CannotBuildImage as error:
            pytest.skip(f"images cannot be built here: {error}")
        yield image


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedMaster]:
    started = EmulatedMaster(tmp_path_factory.mktemp("emulated"), {"frameworks": None})
    yield started
    started.stop()


class RunningImage:
    """The image's own entry point and command in a container."""

    def __init__(self, image: Image, settings: Path) -> None:
        config = image.config()
        self.container = image.container()
        mount = f"--volume={settings}:/etc/offerd/offerd.yaml:ro"
        command = [*config["Entrypoint"], *config["Cmd"]]
        self.log = settings.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                image.command(self.container, command, mount),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=image.environment,
            )

    def lives(self) -> bool:
        """Raises RuntimeError with what it said when it has ended: no use to wait any longer."""
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended: {self.log.read_text()[-2000:]}")
        return True

    def daemon(self) -> int:
        """The daemon's process: the last of those that lead to it. Raises AssertionError."""
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        found = [
            pid
            for pid in descendants(self.process.pid)
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:3]
            == [b"/opt/offerd/bin/offerd", b"run"]
            and b"python" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        ]
        assert len(found) == 1
        return found[0]

    def end(self) -> None:
        """What is still there is killed, the daemon first: it outlives what started it."""
        if self.process.poll() is None:
            for pid in list(descendants(self.process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(END_DEADLINE_S)


def test_the_image_says_how_it_is_run(image: Image) -> None:
    config = image.config()
    assert config["User"] == f"{USER}:{USER}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.title"] == "offerd"
    assert list(config["Volumes"]) == ["/var/lib/offerd"]


def test_nothing_that_builds_is_left_in_it(image: Image) -> None:
    container = image.container()
    found = image.run(container, ["sh", "-c", "ls /opt/offerd/bin; ls -d /src /build; id -u"])
    assert "offerd" in found.stdout.split()
    assert not {"pip", "pip3", "hatchling", "/src", "/build"} & set(found.stdout.split())
    assert found.stdout.split()[-1] == USER
    version = image.run(container, ["offerd", "--version"])
    assert version.stdout.startswith("offerd ")


def test_the_daemon_runs_answers_and_ends_in_the_container(
    image: Image, master: EmulatedMaster, tmp_path: Path
) -> None:
    port = free_port(HOST)
    settings = tmp_path / "offerd.yaml"
    settings.write_text(json.dumps({"master": master.url, "listen": f"{HOST}:{port}"}))
    settings.chmod(0o644)
    healthcheck = image.config()["Healthcheck"]["Test"][1:]
    server = f"--env=OFFERD_SERVER=http://{HOST}:{port}"
    api = RestClient(HOST, port)
    running = RunningImage(image, settings)
    try:
        assert image.run(
            running.container, healthcheck, "--env=OFFERD_SERVER=http://[::1]:1"
        ).returncode
        wait_until(lambda: running.lives() and api.get("/healthz"), "the daemon to answer", 60.0)
        wait_until(lambda: api.status()["connected"], "the daemon to be connected", 20.0)
        healthy = image.run(running.container, healthcheck, server)
        assert healthy.returncode == 0, healthy.stderr
        pid = wait_until(running.daemon, "the daemon's process")
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in status
        assert "CapEff:\t0000000000000000" in status
        os.kill(pid, signal.SIGTERM)
        assert running.process.wait(END_DEADLINE_S) == 0, running.log.read_text()[-2000:]
    finally:
        running.end()
