"""What every endpoint of one emulated master needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.emulator.http.pulse import Pulse
from scheduler.emulator.http.requests import Refused
from scheduler.emulator.model.master import Master
from scheduler.emulator.model.world import World


@dataclass(slots=True)
class Place:
    """Credentials are principal → secret; None switches authentication off. `leader` is
    `host:port` of the leading master where this one is a standby."""

    world: World
    pulse: Pulse
    framework_credentials: Mapping[str, str] | None = None
    operator_credentials: Mapping[str, str] | None = None
    leader: str | None = None

    def leading(self, path: str = "/master/api/v1/scheduler") -> Master:
        """The leading master. Raises 307 on a standby, 503 while a new master recovers."""
        if self.leader is not None:
            raise Refused(307, "", {"Location": f"//{self.leader}{path}"})
        if self.world.master is None:
            raise Refused(503, "Master is recovering")
        return self.world.master
