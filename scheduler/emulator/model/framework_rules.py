"""What makes a FrameworkInfo acceptable, as functions over messages."""

import math
from collections.abc import Sequence

from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo

DURATION_S_MAX = (2**63 - 1) / 1e9


def problem(info: FrameworkInfo, suppressed_roles: Sequence[str]) -> str | None:
    """Why a subscription or an update with this info is refused, or None."""
    multi_role = _multi_role(info)
    if multi_role and info.HasField("role"):
        return "'FrameworkInfo.role' must not be set with the capability MULTI_ROLE"
    if not multi_role and info.roles:
        return "'FrameworkInfo.roles' needs the capability MULTI_ROLE"
    if len(set(info.roles)) != len(info.roles):
        return "'FrameworkInfo.roles' holds a role twice"
    roles = tuple(info.roles) if multi_role else (info.role,)
    for role in roles:
        if not good_role(role):
            return f"role '{role}' is not a valid name"
    if not set(suppressed_roles) <= set(roles):
        return "'suppressed_roles' holds a role that the framework has not"
    if info.HasField("id") and not good_id(info.id.value):
        return "'FrameworkInfo.id' is not a valid id"
    timeout_s = info.failover_timeout
    if not math.isfinite(timeout_s) or abs(timeout_s) > DURATION_S_MAX:
        return "'FrameworkInfo.failover_timeout' is not a duration"
    return _filters_problem(info)


def immutable_change(old: FrameworkInfo, new: FrameworkInfo) -> str | None:
    """Which field an UPDATE_FRAMEWORK may not change, or None."""
    for name in ("user", "checkpoint", "principal"):
        if getattr(old, name) != getattr(new, name):
            return f"'FrameworkInfo.{name}' cannot be changed"
    return None


def merge(old: FrameworkInfo, new: FrameworkInfo) -> FrameworkInfo:
    """The info after a re-subscription: "new value of user, checkpoint silently ignored"."""
    merged = FrameworkInfo()
    merged.CopyFrom(new)
    merged.user = old.user
    merged.checkpoint = old.checkpoint
    merged.id.CopyFrom(old.id)
    if old.HasField("principal"):
        merged.principal = old.principal
    return merged


def good_role(role: str) -> bool:
    if role == "*":
        return True
    if not role or role.startswith(("-", "/")) or role.endswith("/"):
        return False
    if any(one.isspace() or one == "\x7f" for one in role):
        return False
    return all(
        part not in ("", ".", "..", "*") and not part.startswith("-") for part in role.split("/")
    )


def good_id(value: str) -> bool:
    """The rule of task, executor and framework ids."""
    if not value or len(value.encode()) > 255 or value in (".", ".."):
        return False
    return not any(one in "/\\" or ord(one) < 32 or ord(one) == 127 for one in value)


def _multi_role(info: FrameworkInfo) -> bool:
    return any(one.type == FrameworkInfo.Capability.MULTI_ROLE for one in info.capabilities)


def _filters_problem(info: FrameworkInfo) -> str | None:
    """A filter for a role that the framework has not passes: a real 1.11.0 lets it."""
    for role, wanted in info.offer_filters.items():
        for one in wanted.min_allocatable_resources.quantities:
            amounts = [amount.value for amount in one.quantities.values()]
            if not amounts or any(not math.isfinite(a) or a < 0 for a in amounts):
                return f"'offer_filters' of role '{role}': quantities empty, negative or not finite"
    return None
