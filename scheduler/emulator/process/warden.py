"""The warden: a small process that forks, reaps and ends the processes of all emulated tasks.

It runs this file as a script, apart from the emulator, with the standard library only; `keeping`
starts it and talks to it. It exists because only a parent can end what it started for certain:

- it is the subreaper of all its descendants, so none of them can leave it by losing its parent;
- it notices the emulator's end, kill -9 included, by the end of its stdin, and then ends them all;
- it signals only what it has not reaped yet, so a process id is never another's by now;
- forking from it is cheap and never blocks the emulator's event loop.

Orders come in on stdin and news go out on stdout, one JSON object a line:

    {"start": {an Order}}   →   {"started": id, "pid": n} or {"failed": id, "error": text};
                                after "started": {"ended": id, "code": n}, -n for a signal n
    {"signal": id, "number": n}

Each order's process leads a session of its own. Processes that left that session are still found:
by their ancestors, or by MESOS_DIRECTORY in their environment once these are gone.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

STOP_GRACE_S = 2.0
"""From the end of the emulator to SIGKILL."""
STOP_POLL_S = 0.02
STDIN, STDOUT = 0, 1
READ_BYTES = 1 << 16
MARK = b"MESOS_DIRECTORY="

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Order:
    """One process to start. `program` is looked up in the PATH of `environment`; `stdout` and
    `stderr` are files to append to. `directory` is where it starts, and its mark."""

    id: int
    program: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str
    stdout: str
    stderr: str


# -- what /proc says; a process may be gone at any time, which reads as nothing


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def tree_of(pids: Iterable[int]) -> set[int]:
    """These processes and all their descendants."""
    found: set[int] = set()
    open_ends = list(pids)
    while open_ends:
        pid = open_ends.pop()
        if pid not in found:
            found.add(pid)
            open_ends += children_of(pid)
    return found


def directory_of(pid: int) -> str | None:
    """The sandbox in whose name a process runs."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return None
    marks = [one[len(MARK) :] for one in variables if one.startswith(MARK)]
    return os.fsdecode(marks[0]) if marks else None


def end_marked(root: str) -> None:
    """Kills every process that runs in the name of a sandbox under `root`; for the emulator,
    should the warden itself have been killed."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (directory_of(int(name)) or "").startswith(f"{root}/"):
            send([int(name)], signal.SIGKILL)


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def send_to_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


# -- the child's side of a fork


def fork(order: Order) -> int:
    """Starts a process and returns its id once it has become the program; raises OSError."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as said:
        try:
            pid = os.fork()
            if pid == 0:
                _become(order, write_end)
        finally:
            os.close(write_end)
        # The end of this pipe is the exec (its write end closes itself) or the child's exit.
        problem = said.read()
    if problem:
        os.waitpid(pid, 0)
        raise OSError(problem.decode(errors="replace"))
    return pid


def _become(order: Order, write_end: int) -> NoReturn:
    try:
        os.setsid()
        # Should the warden be killed, at least the leaders go with it.
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # What Python or a shell's `&` ignores, a program must not inherit as ignored.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(order.directory)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(order.stdout, append, 0o644), 1)
        os.dup2(os.open(order.stderr, append, 0o644), 2)
        os.execvpe(order.program, order.arguments, order.environment)
    except OSError as error:
        os.write(write_end, (error.strerror or str(error)).encode())
    except ValueError as error:  # a NUL byte in an argument
        os.write(write_end, str(error).encode())
    finally:
        os._exit(127)


class Warden:
    """The one loop: orders in, news out, and no child left unreaped."""

    def __init__(self) -> None:
        self._leaders: dict[int, Order] = {}  # by process id
        self._pids: dict[int, int] = {}  # by order id
        self._stopped = False

    def run(self) -> None:
        """Works until stdin ends, stdout breaks or SIGTERM comes; then ends all descendants."""
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        alarm, bell = socket.socketpair()
        with alarm, bell:
            alarm.setblocking(False)
            bell.setblocking(False)
            signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            signal.signal(signal.SIGTERM, self._stop)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                with contextlib.suppress(BrokenPipeError):
                    for line in self._lines(alarm):
                        self._obey(json.loads(line))
            finally:
                signal.set_wakeup_fd(-1)
                self._end_all()

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def _lines(self, alarm: socket.socket) -> Iterator[bytes]:
        """The orders, one by one; reaps in between."""
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(alarm, selectors.EVENT_READ)
            selector.register(STDIN, selectors.EVENT_READ)
            while not self._stopped:
                for key, _ in selector.select():
                    if key.fileobj is alarm:
                        alarm.recv(READ_BYTES)
                        continue
                    piece = os.read(STDIN, READ_BYTES)
                    if not piece:
                        return
                    *lines, rest = (rest + piece).split(b"\n")
                    yield from lines
                self._reap()

    def _obey(self, order: Mapping[str, Any]) -> None:
        if "start" in order:
            self._start(Order(**order["start"]))
        elif order["signal"] in self._pids:
            self._signal(self._pids[order["signal"]], order["number"])

    def _start(self, order: Order) -> None:
        try:
            pid = fork(order)
        except OSError as error:
            _say({"failed": order.id, "error": str(error)})
            return
        self._leaders[pid] = order
        self._pids[order.id] = pid
        _say({"started": order.id, "pid": pid})

    def _signal(self, leader: int, number: int) -> None:
        """To the group at once, and to each process that left it. Of two leaders in one sandbox
        the first is the task and has what went astray; the others are its checks."""
        directory = self._leaders[leader].directory
        beside = (pid for pid, order in self._leaders.items() if order.directory == directory)
        roots = [leader]
        if next(beside) == leader:
            roots += [pid for pid in self._adopted() if directory_of(pid) == directory]
        tree = tree_of(roots)
        send_to_group(leader, number)
        send((pid for pid in tree if _group_of(pid) not in (leader, None)), number)

    def _reap(self) -> None:
        """Reaps what has ended. A group is ended before its leader is reaped, as long as the
        leader's id can't be another's."""
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                order = self._leaders.pop(ended.si_pid, None)
                if order is not None:
                    send_to_group(ended.si_pid, signal.SIGKILL)
                _, status = os.waitpid(ended.si_pid, 0)
                if order is not None:
                    del self._pids[order.id]
                    _say({"ended": order.id, "code": os.waitstatus_to_exitcode(status)})
        self._end_astray()

    def _end_astray(self) -> None:
        """Ends adopted processes whose task is over: a container ends with its task. One that
        bears no mark may be any task's, and lives until the last of them ends."""
        adopted = self._adopted()
        if not adopted:
            return
        live = {order.directory for order in self._leaders.values()}
        marks = {pid: directory_of(pid) for pid in adopted}
        over = [pid for pid, mark in marks.items() if mark not in live and (mark or not live)]
        send(tree_of(over), signal.SIGKILL)

    def _adopted(self) -> list[int]:
        return [pid for pid in children_of(os.getpid()) if pid not in self._leaders]

    def _end_all(self) -> None:
        """SIGTERM to all descendants, SIGKILL to what is left after the grace, until none is."""
        send(tree_of(children_of(os.getpid())), signal.SIGTERM)
        kill_at = time.monotonic() + STOP_GRACE_S
        with contextlib.suppress(ChildProcessError):
            while True:
                if os.waitpid(-1, os.WNOHANG)[0]:
                    continue
                if time.monotonic() >= kill_at:
                    send(tree_of(children_of(os.getpid())), signal.SIGKILL)
                time.sleep(STOP_POLL_S)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _say(news: Mapping[str, object]) -> None:
    line = memoryview(json.dumps(news).encode() + b"\n")
    while line:
        line = line[os.write(STDOUT, line) :]


if __name__ == "__main__":
    Warden().run()
    sys.exit(0)
