"""Health checks and checks of a task: one look, and the rule that turns looks into news.

COMMAND runs beside the task, with its environment; HTTP and TCP go to 127.0.0.1. No nested
containers, no other network namespaces, no TLS verification.
"""

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.real_mesos.launcher.commands import command_arguments, command_environment

HOST = "127.0.0.1"
# The defaults of HealthCheck and CheckInfo, in seconds.
DELAY_S, INTERVAL_S, TIMEOUT_S, GRACE_S = 15.0, 10.0, 20.0, 10.0
CONSECUTIVE_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Look:
    """One result: whether it counts as healthy, and what a CheckStatusInfo says of it."""

    healthy: bool
    result: dict[str, Any]


def look(check: Mapping[str, Any], environment: Mapping[str, str]) -> Look:
    """Performs a check once, within its own timeout (`timeout_seconds`, 0 = none)."""
    timeout_s = check.get("timeout_seconds", TIMEOUT_S) or None
    match check["type"]:
        case "COMMAND":
            return _look_by_command(check["command"], environment, timeout_s)
        case "TCP":
            return _look_by_tcp(check["tcp"]["port"], timeout_s)
        case "HTTP":
            return _look_by_http(check["http"], timeout_s)
        case other:
            raise ValueError(f"unknown kind of check: {other}")


def _look_by_command(
    command: Mapping[str, Any], environment: Mapping[str, str], timeout_s: float | None
) -> Look:
    # A CheckInfo holds the CommandInfo one level deeper than a HealthCheck.
    command = command.get("command", command)
    try:
        ended = subprocess.run(
            command_arguments(command),
            env=command_environment(command, environment),
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Look(False, {})
    return Look(ended.returncode == 0, {"exit_code": ended.returncode})


def _look_by_tcp(port: int, timeout_s: float | None) -> Look:
    try:
        socket.create_connection((HOST, port), timeout_s).close()
    except OSError:
        return Look(False, {"succeeded": False})
    return Look(True, {"succeeded": True})


def _look_by_http(check: Mapping[str, Any], timeout_s: float | None) -> Look:
    connection = http.client.HTTPConnection(HOST, check["port"], timeout=timeout_s)
    if check.get("scheme") == "https":
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            HOST, check["port"], timeout=timeout_s, context=unverified
        )
    with contextlib.closing(connection):
        try:
            connection.request("GET", check.get("path", "/"))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return Look(False, {})
    return Look(200 <= status < 400, {"status_code": status})


class HealthRule:
    """Which looks of a health check are reported, and when the task is to be killed.

    Mesos reports the first success, a success after a failure, and every counted failure.
    Failures within the grace period do not count until the first success ends it.
    """

    def __init__(self, check: Mapping[str, Any], clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._grace_ends = clock() + check.get("grace_period_seconds", GRACE_S)
        self._failures_max: int = check.get("consecutive_failures", CONSECUTIVE_FAILURES)
        self._failures = 0
        self._last: bool | None = None

    def reports(self, healthy: bool) -> bool:
        """Takes one look into account; True if it is news."""
        if not healthy and self._last is None and self._clock() < self._grace_ends:
            return False
        news = not healthy or self._last is not True
        self._failures = 0 if healthy else self._failures + 1
        self._last = healthy
        return news

    def gives_up(self) -> bool:
        """Whether too many failures came in a row."""
        return 0 < self._failures_max <= self._failures
