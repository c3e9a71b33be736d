"""What the agent tells an executor by environment variables."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

UNIT_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}
SHUTDOWN_GRACE_S = 5.0
RECOVERY_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The executor's ids, where its agent is, and how long it may take; times in seconds."""

    framework_id: str
    executor_id: str
    agent_name: str
    agent_host: str
    agent_port: int
    token: str | None
    shutdown_grace_s: float
    checkpoint: bool
    recovery_timeout_s: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the variables that Mesos documents for executors."""
        get = environment.get
        name, _, address = environment["MESOS_SLAVE_PID"].partition("@")
        host, _, port = address.rpartition(":")
        return cls(
            framework_id=environment["MESOS_FRAMEWORK_ID"],
            executor_id=environment["MESOS_EXECUTOR_ID"],
            agent_name=name,
            agent_host=host,
            agent_port=int(port),
            token=get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
            shutdown_grace_s=duration_s(
                get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), SHUTDOWN_GRACE_S
            ),
            checkpoint=get("MESOS_CHECKPOINT") == "1",
            recovery_timeout_s=duration_s(get("MESOS_RECOVERY_TIMEOUT"), RECOVERY_TIMEOUT_S),
        )


def duration_s(text: str | None, default_s: float) -> float:
    """Mesos' text form of a duration (`15mins`, `250ms`) in seconds."""
    parts = re.fullmatch(r"([\d.]+)(ns|us|ms|secs|mins|hrs|days|weeks)", text or "")
    return default_s if parts is None else float(parts[1]) * UNIT_S[parts[2]]
