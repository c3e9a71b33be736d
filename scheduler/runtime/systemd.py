"""Telling systemd how we are (sd_notify): one datagram to the socket it names, if any."""

import os
import socket


def notify(state: str) -> None:
    """`state` as in sd_notify(3), e.g. `READY=1`. Without systemd it does nothing."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.sendto(state.encode(), address)


def watchdog_interval_s() -> float | None:
    """Half of what systemd allows between two signs of life; None when it asks for none."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / 2_000_000
