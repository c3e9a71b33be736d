"""Telling systemd how we are (sd_notify): one datagram to the socket it names, if any."""

import os
import socket

import structlog

log = structlog.get_logger()


def notify(state: str) -> None:
    """`state` as in sd_notify(3), e.g. `READY=1`. Without systemd it does nothing.

    A systemd that does not listen is no reason to end, and none to wait: what it makes of the
    silence is its own decision.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as notifier:
        try:
            notifier.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd.not_told", state=state, error=str(error))


def watchdog_interval_s() -> float | None:
    """Half of what systemd allows between two signs of life; None when it asks for none."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / 2_000_000 or None
