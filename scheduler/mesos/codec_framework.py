"""What the master is told of us: FrameworkInfo, rendered whole each time.

SUBSCRIBE and UPDATE_FRAMEWORK replace roles, suppressed roles and capabilities as sets, so both
are made here from the same two values: the settings, which stay, and `Wanted`, which changes.
"""

import msgspec

from scheduler.core.effects import Wanted
from scheduler.core.model.ids import FrameworkId
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2

_Capability = wire.FrameworkInfo.Capability


class FrameworkSettings(msgspec.Struct, frozen=True):
    """Who we are. Mesos never takes a changed `principal`, and ignores a changed `user` or
    `checkpoint` in a SUBSCRIBE. `user` is the Unix user that tasks run as by default."""

    user: str
    name: str
    principal: str | None = None
    checkpoint: bool = True
    hostname: str = ""
    webui_url: str = ""
    labels: tuple[tuple[str, str], ...] = ()


def encode_subscribe(
    settings: FrameworkSettings, framework_id: FrameworkId | None, wanted: Wanted
) -> bytes:
    """The SUBSCRIBE call; without an id it registers a new framework."""
    call = scheduler_pb2.Call(type=scheduler_pb2.Call.SUBSCRIBE)
    if framework_id is not None:
        call.framework_id.value = framework_id
    call.subscribe.framework_info.CopyFrom(framework_info(settings, framework_id, wanted))
    call.subscribe.suppressed_roles.extend(wanted.suppressed)
    return call.SerializeToString()


def framework_info(
    settings: FrameworkSettings, framework_id: FrameworkId | None, wanted: Wanted
) -> wire.FrameworkInfo:
    """PARTITION_AWARE tells apart how a task was lost; TASK_KILLING_STATE shows a kill under way;
    RESERVATION_REFINEMENT is the current format of reservations; GPU_RESOURCES only when gpus are
    asked for, because it draws offers of scarce agents that others could use."""
    info = wire.FrameworkInfo(
        user=settings.user,
        name=settings.name,
        failover_timeout=wanted.failover_timeout_s,
        checkpoint=settings.checkpoint,
        roles=wanted.roles,
    )
    if framework_id is not None:
        info.id.value = framework_id
    if settings.principal is not None:
        info.principal = settings.principal
    if settings.hostname:
        info.hostname = settings.hostname
    if settings.webui_url:
        info.webui_url = settings.webui_url
    for key, value in settings.labels:
        info.labels.labels.add(key=key, value=value)
    capabilities = [
        _Capability.MULTI_ROLE,
        _Capability.PARTITION_AWARE,
        _Capability.TASK_KILLING_STATE,
        _Capability.RESERVATION_REFINEMENT,
    ]
    if wanted.gpus:
        capabilities.append(_Capability.GPU_RESOURCES)
    for capability in capabilities:
        info.capabilities.add(type=capability)
    return info
