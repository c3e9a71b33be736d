"""One task of an executor: a child process, its kill, its completion time and its checks."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from tests.real_mesos.launcher.agent_link import AgentLink
from tests.real_mesos.launcher.checks import DELAY_S, INTERVAL_S, HealthRule, look
from tests.real_mesos.launcher.commands import command_arguments, command_environment

KILL_GRACE_S = 3.0
NANOSECONDS = 1e9


class Task:
    """Runs a TaskInfo's command and reports its life; `on_end(task, went_well)` comes last."""

    def __init__(
        self,
        info: dict[str, Any],
        link: AgentLink,
        tells_killing: bool,
        on_end: Callable[["Task", bool], None],
    ) -> None:
        self.id: str = info["task_id"]["value"]
        # The process has ended; then: its terminal update is on the way.
        self.over = threading.Event()
        self.reported = threading.Event()
        self._info = info
        self._link = link
        self._tells_killing = tells_killing
        self._on_end = on_end
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._completion_time_is_over = False
        # The latest health and check result, which every later update carries too.
        self._observed: dict[str, Any] = {}

    def start(self) -> None:
        """Runs the task in a thread of its own."""
        threading.Thread(target=self._run, daemon=True).start()

    def kill(self, grace_s: float | None = None) -> None:
        """SIGTERM to the process group and SIGKILL after the grace; a second kill is ignored."""
        with self._lock:
            if self._killed:
                return
            self._killed = True
            process = self._process
        if process is None or self.over.is_set():
            return
        if self._tells_killing:
            self._link.update(self.id, "TASK_KILLING", **self._observed)
        self._end(process, self._kill_grace_s() if grace_s is None else grace_s)

    def _run(self) -> None:
        self._link.update(self.id, "TASK_STARTING")
        command = self._info.get("command", {})
        try:
            process, killed_early = self._launch(command)
        except (OSError, KeyError) as error:
            reason = "REASON_CONTAINER_LAUNCH_FAILED"
            self._finish("TASK_FAILED", f"Failed to launch: {error}", reason=reason)
            return
        if "check" in self._info:
            kind = self._info["check"]["type"]
            self._observed["check_status"] = {"type": kind, kind.lower(): {}}
        self._link.update(self.id, "TASK_RUNNING", **self._observed)
        self._watch(process)
        if killed_early:
            self._end(process, self._kill_grace_s())
        self._report_end(process.wait())

    def _launch(self, command: dict[str, Any]) -> tuple[subprocess.Popen[bytes], bool]:
        """The process, and whether a kill came too early to find it."""
        process = subprocess.Popen(
            command_arguments(command),
            executable=None if command.get("shell", True) else command["value"],
            env=command_environment(command, os.environ),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        with self._lock:
            self._process = process
            return process, self._killed

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        if "health_check" in self._info:
            threading.Thread(target=self._check_health, args=(process,), daemon=True).start()
        if "check" in self._info:
            threading.Thread(target=self._check, daemon=True).start()
        if "max_completion_time" in self._info:
            limit_s = self._info["max_completion_time"]["nanoseconds"] / NANOSECONDS
            threading.Thread(target=self._limit, args=(process, limit_s), daemon=True).start()

    def _report_end(self, code: int) -> None:
        if code >= 0:
            message = f"Command exited with status {code}"
        else:
            message = f"Command terminated with signal {signal.strsignal(-code) or -code}"
        if self._completion_time_is_over:
            reason = "REASON_MAX_COMPLETION_TIME_REACHED"
            self._finish("TASK_FAILED", message, reason=reason)
        elif self._killed:
            self._finish("TASK_KILLED", message)
        else:
            self._finish("TASK_FINISHED" if code == 0 else "TASK_FAILED", message)

    def _finish(self, state: str, message: str, **fields: Any) -> None:
        self.over.set()
        self._link.update(self.id, state, message=message, **self._observed, **fields)
        self.reported.set()
        self._on_end(self, state == "TASK_FINISHED")

    def _kill_grace_s(self) -> float:
        period = self._info.get("kill_policy", {}).get("grace_period", {})
        nanoseconds: float = period.get("nanoseconds", KILL_GRACE_S * NANOSECONDS)
        return nanoseconds / NANOSECONDS

    def _end(self, process: subprocess.Popen[bytes], grace_s: float) -> None:
        _signal_group(process, signal.SIGTERM)

        def escalate() -> None:
            if not self.over.wait(grace_s):
                _signal_group(process, signal.SIGKILL)

        threading.Thread(target=escalate, daemon=True).start()

    def _limit(self, process: subprocess.Popen[bytes], limit_s: float) -> None:
        if not self.over.wait(limit_s):
            self._completion_time_is_over = True
            _signal_group(process, signal.SIGKILL)

    def _check_health(self, process: subprocess.Popen[bytes]) -> None:
        check = self._info["health_check"]
        environment = command_environment(self._info.get("command", {}), os.environ)
        rule = HealthRule(check)
        wait_s = check.get("delay_seconds", DELAY_S)
        while not self.over.wait(wait_s):
            seen = look(check, environment)
            if self.over.is_set() or self._killed:
                return
            if rule.reports(seen.healthy):
                self._observed["healthy"] = seen.healthy
                reason = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
                self._link.update(self.id, "TASK_RUNNING", reason=reason, **self._observed)
            if rule.gives_up():
                self.kill()
                return
            wait_s = check.get("interval_seconds", INTERVAL_S)

    def _check(self) -> None:
        check = self._info["check"]
        kind: str = check["type"]
        environment = command_environment(self._info.get("command", {}), os.environ)
        wait_s = check.get("delay_seconds", DELAY_S)
        while not self.over.wait(wait_s):
            status = {"type": kind, kind.lower(): look(check, environment).result}
            if self.over.is_set() or self._killed:
                return
            if status != self._observed["check_status"]:
                self._observed["check_status"] = status
                reason = "REASON_TASK_CHECK_STATUS_UPDATED"
                self._link.update(self.id, "TASK_RUNNING", reason=reason, **self._observed)
            wait_s = check.get("interval_seconds", INTERVAL_S)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
