"""What the master is told of us: FrameworkInfo, rendered whole each time.

SUBSCRIBE and UPDATE_FRAMEWORK replace roles, suppressed roles, capabilities, offer filters and
offer constraints as sets, so both are made here from the same two values: the settings, which stay,
and `Wanted`, which changes.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from scheduler.core.effects import Wanted
from scheduler.core.model.ids import FrameworkId
from scheduler.core.model.needs import AttributeTest, Predicate
from scheduler.core.model.resources import MILLI, Amounts
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2

_Capability = wire.FrameworkInfo.Capability
_Selector = scheduler_pb2.AttributeConstraint.Selector
_PSEUDO_ATTRIBUTES: Final = {
    "hostname": _Selector.HOSTNAME,
    "@region": _Selector.REGION,
    "@zone": _Selector.ZONE,
}


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
    fill_constraints(wanted, lambda: call.subscribe.offer_constraints)
    return call.SerializeToString()


def framework_info(
    settings: FrameworkSettings, framework_id: FrameworkId | None, wanted: Wanted
) -> wire.FrameworkInfo:
    """PARTITION_AWARE tells apart how a task was lost; TASK_KILLING_STATE shows a kill under way;
    RESERVATION_REFINEMENT is the current format of reservations; GPU_RESOURCES only when gpus are
    asked for, because it draws offers of scarce agents that others could use; REVOCABLE_RESOURCES
    only when revocable cpus are, because they would be refused again and again."""
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
    if wanted.revocable:
        capabilities.append(_Capability.REVOCABLE_RESOURCES)
    for capability in capabilities:
        info.capabilities.add(type=capability)
    for role, needs in wanted.needs:
        if needs.minimums:
            filters = info.offer_filters[role]
            _fill_minimums(filters.min_allocatable_resources, needs.minimums)
    return info


def fill_constraints(
    wanted: Wanted, constraints: Callable[[], scheduler_pb2.OfferConstraints]
) -> None:
    """`constraints` gives the message to fill, only asked for where a role has some: a role that
    is not named in it has none, and one named without a group would be refused."""
    for role, needs in wanted.needs:
        if not needs.groups:
            continue
        role_constraints = constraints().role_constraints[role]
        for tests in needs.groups:
            group = role_constraints.groups.add()
            for test in tests:
                _fill_test(group.attribute_constraints.add(), test)


def _fill_minimums(
    message: wire.OfferFilters.MinAllocatableResources, minimums: Iterable[Amounts]
) -> None:
    """Present without quantities it means: no minimum at all. A set of no quantities is refused, so
    a minimum of nothing is said that way."""
    message.SetInParent()
    each = [msgspec.structs.asdict(amounts) for amounts in minimums]
    if not all(any(amounts.values()) for amounts in each):
        return
    for amounts in each:
        quantities = message.quantities.add().quantities
        for name, amount in amounts.items():
            if amount:
                quantities[name].value = amount / MILLI


def _fill_test(message: scheduler_pb2.AttributeConstraint, test: AttributeTest) -> None:
    selector, predicate = message.selector, message.predicate
    pseudo_attribute = _PSEUDO_ATTRIBUTES.get(test.attribute)
    if pseudo_attribute is None:
        selector.attribute_name = test.attribute
    else:
        selector.pseudoattribute_type = pseudo_attribute
    match test.test:
        case Predicate.EXISTS:
            predicate.exists.SetInParent()
        case Predicate.NOT_EXISTS:
            predicate.not_exists.SetInParent()
        case Predicate.EQUALS:
            predicate.text_equals.value = test.text
        case Predicate.NOT_EQUALS:
            predicate.text_not_equals.value = test.text
        case Predicate.MATCHES:
            predicate.text_matches.regex = test.text
        case Predicate.NOT_MATCHES:
            predicate.text_not_matches.regex = test.text
