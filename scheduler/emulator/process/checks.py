"""Health checks and checks of a task: one look, and the rule that turns looks into news.

COMMAND runs beside the task in its sandbox; HTTP and TCP go to the loopback address, where the
host's network is. It reports nothing itself and kills nothing: `task` does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from scheduler.mesos.proto.mesos_v1_pb2 import (
    CheckInfo,
    CheckStatusInfo,
    CommandInfo,
    HealthCheck,
    NetworkInfo,
)

UNLIMITED_S: Final = 3600.0
"""What "timeout_seconds: 0 = none" means here: every wait ends some day."""
REDIRECTS_MAX: Final = 20
IPV4: Final = "127.0.0.1"
IPV6: Final = "::1"

RunCommand = Callable[[CommandInfo], Awaitable[int]]
"""Runs a command beside the task and returns its exit code, negative for a signal; a cancelled
wait ends the command."""


@dataclass(frozen=True, slots=True)
class Look:
    """One result: whether it counts as healthy, and what a CheckStatusInfo says of it. "absent =
    no result yet / check could not be done"."""

    healthy: bool
    result: CheckStatusInfo


class Prober:
    """Performs checks once, each within its own timeout."""

    def __init__(self, http: aiohttp.ClientSession, run_command: RunCommand) -> None:
        self._http = http
        self._run_command = run_command

    async def health(self, check: HealthCheck) -> Look:
        match check.type:
            case HealthCheck.COMMAND:
                looking = self._command(check.command)
            case HealthCheck.HTTP:
                host = _host(check.http.protocol)
                url = _url(check.http.scheme or "http", host, check.http.port, check.http.path)
                looking = self._get(url)
            case _:
                looking = self._connect(_host(check.tcp.protocol), check.tcp.port)
        return await _within(check.timeout_seconds, looking, CheckStatusInfo())

    async def check(self, check: CheckInfo) -> Look:
        match check.type:
            case CheckInfo.COMMAND:
                looking = self._command(check.command.command)
            case CheckInfo.HTTP:
                looking = self._get(_url("http", IPV4, check.http.port, check.http.path))
            case _:
                looking = self._connect(IPV4, check.tcp.port)
        return await _within(check.timeout_seconds, looking, no_result(check))

    async def _command(self, command: CommandInfo) -> Look:
        code = await self._run_command(command)
        result = CheckStatusInfo(type=CheckInfo.COMMAND, command=CheckStatusInfo.Command())
        if code >= 0:
            result.command.exit_code = code
        return Look(code == 0, result)

    async def _get(self, url: str) -> Look:
        """ "Done with curl: redirects are followed, certificates not verified"."""
        result = CheckStatusInfo(type=CheckInfo.HTTP, http=CheckStatusInfo.Http())
        try:
            async with self._http.get(URL(url), max_redirects=REDIRECTS_MAX, ssl=False) as response:
                result.http.status_code = response.status
        except (aiohttp.ClientError, OSError, ValueError):  # ValueError: no such url
            return Look(False, result)
        return Look(200 <= response.status < 400, result)

    async def _connect(self, host: str, port: int) -> Look:
        result = CheckStatusInfo(type=CheckInfo.TCP, tcp=CheckStatusInfo.Tcp(succeeded=True))
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
        except (OSError, OverflowError):  # OverflowError: no such port
            result.tcp.succeeded = False
        return Look(result.tcp.succeeded, result)


def no_result(check: CheckInfo) -> CheckStatusInfo:
    """ "Its member is present even before the first result (then empty)"."""
    match check.type:
        case CheckInfo.COMMAND:
            return CheckStatusInfo(type=check.type, command=CheckStatusInfo.Command())
        case CheckInfo.HTTP:
            return CheckStatusInfo(type=check.type, http=CheckStatusInfo.Http())
        case _:
            return CheckStatusInfo(type=check.type, tcp=CheckStatusInfo.Tcp())


def seconds(asked: float) -> float:
    """A time that can be waited for; what is below zero or no number is zero."""
    return max(0.0, asked)


async def _within(timeout_s: float, looking: Awaitable[Look], nothing: CheckStatusInfo) -> Look:
    try:
        async with asyncio.timeout(seconds(timeout_s) or UNLIMITED_S):
            return await looking
    except TimeoutError:
        return Look(False, nothing)


def _host(protocol: NetworkInfo.Protocol) -> str:
    return IPV6 if protocol == NetworkInfo.Protocol.IPv6 else IPV4


def _url(scheme: str, host: str, port: int, path: str) -> str:
    authority = f"[{host}]" if ":" in host else host
    return f"{scheme}://{authority}:{port}/{path.removeprefix('/')}"


class HealthRule:
    """Which looks of a health check are reported, and when the task is to be killed.

    Reported are "the first success, success after failure, and every counted failure". "Failures
    within grace_period_seconds of the launch do not count, until the first success ends the
    grace". Times are in seconds of one clock; `launched_at` is the start of the task.
    """

    def __init__(self, check: HealthCheck, launched_at: float) -> None:
        self._grace_ends = launched_at + check.grace_period_seconds
        self._failures_max = check.consecutive_failures
        self._failures = 0
        self._last: bool | None = None

    def reports(self, healthy: bool, now: float) -> bool:
        """Takes one look into account; True if it is news."""
        if not healthy and self._last is None and now < self._grace_ends:
            return False
        news = not healthy or self._last is not True
        self._failures = 0 if healthy else self._failures + 1
        self._last = healthy
        return news

    def gives_up(self) -> bool:
        """Whether too many failures came in a row."""
        return 0 < self._failures_max <= self._failures
