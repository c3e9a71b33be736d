"""`tasks`, `task`, `kill`, `logs`: and how a user may name a task."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from scheduler.core.events import KillTask
from scheduler.core.model.ids import TaskId
from scheduler.core.model.instance import AttemptState
from scheduler.core.views import UnknownTaskView
from tests.api.fake_front import FRAMEWORK_ID, FakeFront
from tests.cli.conftest import DaemonThread, Offerd

DEADLINE_S = 20.0
TASK = "web.0.1.u1"


@pytest.fixture(autouse=True)
def applied(run: Offerd, web_file: str) -> None:
    assert run("apply", web_file).exit_code == 0


def sandbox(task: str, stream: str = "stdout") -> str:
    return f"/frameworks/{FRAMEWORK_ID}/executors/{task}/runs/latest/{stream}"


def test_tasks_are_listed(run: Offerd, front: FakeFront) -> None:
    front.set_state("web.1.1.u1", AttemptState.FAILED, "exit\nstatus 1")
    lines = run("tasks").stdout.splitlines()
    assert lines[0].split() == ["ID", "INSTANCE", "STATE", "HOST", "PORTS", "SINCE", "WHY"]
    assert [line.split()[1] for line in lines[1:]] == ["web/0", "web/2"]
    ended = run("tasks", "--job", "web", "--ended", "--state", "failed").stdout
    assert "exit status 1" in ended
    assert "web/1" in ended
    both = run("tasks", "--ended", "--state", "failed", "--state", "running").stdout
    assert len(both.splitlines()) == 4


def test_a_state_that_does_not_exist_is_told(run: Offerd) -> None:
    result = run("tasks", "--state", "alive")
    assert result.exit_code == 1
    assert "running" in result.stderr


@pytest.mark.parametrize("name", [TASK, "web.0", "web/0"])
def test_a_task_is_found_by_id_prefix_and_address(run: Offerd, name: str) -> None:
    result = run("task", name)
    assert result.exit_code == 0, result.stderr
    assert TASK in result.stdout


def test_an_address_means_the_last_attempt(run: Offerd, front: FakeFront) -> None:
    front.set_state(TASK, AttemptState.FAILED)
    old = front.tasks_by_id[TaskId(TASK)]
    front.put_task(
        msgspec.structs.replace(
            old, id="web.0.2.u1", attempt=2, state="running", since=old.since + 1
        )
    )
    assert "web.0.2.u1" in run("task", "web/0").stdout


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("web", 2, "more than one task"),
        ("web/9", 1, "offerd tasks --job web"),
        ("none/0", 1, "there is no job none"),
        ("team/web", 1, "JOB/INSTANCE"),
        ("nothing", 1, "there is no task nothing"),
    ],
)
def test_a_name_that_means_no_one_task_is_told(
    run: Offerd, name: str, code: int, said: str
) -> None:
    result = run("task", name)
    assert result.exit_code == code
    assert said in result.stderr


def test_unknown_tasks_are_listed_and_ended_by_their_whole_id(
    run: Offerd, front: FakeFront
) -> None:
    front.unknown = [UnknownTaskView("web.0.9.old", "S1", "running", 1000.0)]
    listed = run("tasks", "--unknown").stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["ID", "STATE"], ["web.0.9.old", "running"]]
    assert run("tasks", "--unknown", "--ended").exit_code == 2
    killed = run("kill", "web.0.9.old").stdout
    assert killed == "web.0.9.old: killing (a task that is in no record of ours)\n"
    assert run("kill", "web.0.9").exit_code == 1


def test_a_task_is_killed_with_a_grace(run: Offerd, front: FakeFront) -> None:
    assert run("kill", "web/0", "--grace", "10s").stdout == f"{TASK}: killing\n"
    command = front.commands[-1]
    assert isinstance(command, KillTask)
    assert command.grace_s == 10.0
    assert run("kill", "web/1").exit_code == 0
    result = run("kill", "web/2", "--grace", "soon")
    assert result.exit_code == 1
    assert "soon" in result.stderr


def test_logs_are_printed_byte_for_byte(run: Offerd, daemon: DaemonThread) -> None:
    content = bytes(range(256)) * 1000
    daemon.agent.files[sandbox(TASK)] = content
    daemon.agent.files[sandbox(TASK, "stderr")] = b"oh\n"
    assert run("logs", "web/0").stdout_bytes == content
    assert run("logs", "web/0", "--stderr").stdout == "oh\n"


def test_logs_of_a_task_without_a_sandbox_are_a_failure(run: Offerd) -> None:
    result = run("logs", "web/0")
    assert result.exit_code == 1
    assert "no stdout" in result.stderr


class Following:
    """`offerd logs -f` as a process, with what it has printed so far."""

    def __init__(self, url: str, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scheduler.cli.main", "logs", "-f", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"OFFERD_SERVER": url},
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._printed = b""

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + DEADLINE_S
        assert self._process.stdout is not None
        while text not in self._printed:
            assert time.monotonic() < deadline, self._printed
            assert self._process.poll() is None, self._process.communicate()
            self._printed += self._process.stdout.read() or b""
            time.sleep(0.02)

    def end(self, number: int | None = None) -> tuple[int, bytes]:
        """Waits for the end, after a signal if one is given: exit code and all that it printed."""
        if number is not None:
            self._process.send_signal(number)
        rest, _ = self._process.communicate(timeout=DEADLINE_S)
        return self._process.returncode, self._printed + rest

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def following(daemon: DaemonThread) -> Iterator[Following]:
    daemon.agent.files[sandbox(TASK)] = b"one\n"
    process = Following(daemon.url, "web/0")
    yield process
    process.close()


def test_following_ends_with_the_task(following: Following, daemon: DaemonThread) -> None:
    following.wait_for(b"one\n")
    daemon.agent.files[sandbox(TASK)] += b"two\n"
    following.wait_for(b"two\n")
    daemon.agent.files[sandbox(TASK)] += b"three\n"
    daemon.front.set_state(TASK, AttemptState.FINISHED)
    assert following.end() == (0, b"one\ntwo\nthree\n")


def test_following_ends_with_ctrl_c(following: Following) -> None:
    following.wait_for(b"one\n")
    assert following.end(signal.SIGINT) == (0, b"one\n")


def test_following_outlives_a_restart_of_the_daemon(
    following: Following, daemon: DaemonThread
) -> None:
    following.wait_for(b"one\n")
    daemon.stop()
    again = DaemonThread(port=daemon.port)
    again.front.tasks_by_id = dict(daemon.front.tasks_by_id)
    again.agent.files[sandbox(TASK)] = b"one\ntwo\n"
    again.start()
    try:
        task = again.front.tasks_by_id[TaskId(TASK)]
        again.front.put_task(msgspec.structs.replace(task, agent_url=again.front.agent_url))
        following.wait_for(b"two\n")
        assert following.end(signal.SIGINT) == (0, b"one\ntwo\n")
    finally:
        again.stop()


def test_a_reader_that_goes_away_is_no_traceback(daemon: DaemonThread) -> None:
    daemon.agent.files[sandbox(TASK)] = b"line\n" * 200_000
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler.cli.main", "logs", "web/0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OFFERD_SERVER": daemon.url},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        said = process.stderr.read()
    process.wait(DEADLINE_S)
    assert said == b""


def printed_on_a_terminal(url: str, **env: str) -> bytes:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "scheduler.cli.main", "tasks"],
            stdout=theirs,
            env=os.environ | {"OFFERD_SERVER": url} | env,
            timeout=DEADLINE_S,
            check=True,
        )
        return os.read(ours, 65_536)
    finally:
        os.close(ours)
        os.close(theirs)


def test_states_have_colours_on_a_terminal_unless_told_not_to(daemon: DaemonThread) -> None:
    assert b"\x1b[32mrunning" in printed_on_a_terminal(daemon.url, NO_COLOR="")
    assert b"\x1b" not in printed_on_a_terminal(daemon.url, NO_COLOR="1")
