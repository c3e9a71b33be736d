"""How frameworks come, come back, change, and go.

One stream a framework: a subscription with the id of a connected one throws the old stream out.
"""

from collections.abc import Sequence

from scheduler.emulator.model import constraints, framework_rules, statuses
from scheduler.emulator.model.allocator import Allocator
from scheduler.emulator.model.offers import Offers
from scheduler.emulator.model.records import (
    COMPLETED_FRAMEWORKS_MAX,
    TERMINAL,
    EventSink,
    Framework,
    Tables,
)
from scheduler.emulator.model.tasks import Tasks
from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo, TaskStatus
from scheduler.mesos.proto.scheduler_pb2 import Call, Event, OfferConstraints


class Subscriptions:
    def __init__(self, tables: Tables, offers: Offers, allocator: Allocator, tasks: Tasks) -> None:
        self._tables = tables
        self._offers = offers
        self._allocator = allocator
        self._tasks = tasks

    def subscribe(self, call: Call.Subscribe, sink: EventSink, principal: str | None) -> None:
        """SUBSCRIBED and HEARTBEAT on the sink, or one ERROR and its end."""
        info = call.framework_info
        refusal = self._refusal(info, call.suppressed_roles, call.offer_constraints)
        known = self._tables.frameworks.get(info.id.value)
        if refusal is None and known is not None:
            asked = info.principal if info.HasField("principal") else principal or ""
            if known.info.principal != asked:
                refusal = "'FrameworkInfo.principal' cannot be changed"
        if refusal is not None:
            sink.send(statuses.error(refusal))
            sink.close()
            return
        if known is None:
            framework = self._add(info, principal)
        else:
            framework = known
            self._come_back(framework, info, call.suppressed_roles)
        framework.sink = sink
        framework.principal = principal
        framework.suppressed = set(call.suppressed_roles)
        limits = call.offer_constraints if call.HasField("offer_constraints") else None
        self._allocator.framework_changed(framework, limits)
        self._greet(framework)
        self._allocator.request()
        self._resend_updates(framework)

    def update(self, framework: Framework, call: Call.UpdateFramework) -> str | None:
        """UPDATE_FRAMEWORK; why it is refused, or None when it is applied."""
        info = call.framework_info
        refusal = (
            framework_rules.problem(info, call.suppressed_roles)
            or constraints.problem(call.offer_constraints)
            or framework_rules.immutable_change(framework.info, info)
        )
        if refusal is not None:
            return refusal
        before, suppressed = framework.roles, framework.suppressed
        framework.info = framework_rules.merge(framework.info, info)
        self._roles_changed(framework, before, suppressed, call.suppressed_roles)
        framework.suppressed = set(call.suppressed_roles)
        limits = call.offer_constraints if call.HasField("offer_constraints") else None
        self._allocator.framework_changed(framework, limits)
        return None

    def suppress(self, framework: Framework, roles: Sequence[str]) -> None:
        """ "One unknown role in the list → whole call ignored.\""""
        if set(roles) <= set(framework.roles):
            framework.suppressed |= set(roles or framework.roles)

    def revive(self, framework: Framework, roles: Sequence[str]) -> None:
        if not set(roles) <= set(framework.roles):
            return
        for role in roles or framework.roles:
            framework.suppressed.discard(role)
            self._forget_filters(framework, role)
        self._allocator.request()

    def disconnected(self, sink: EventSink) -> None:
        """A stream broke: offers and filters are void, and the failover timer starts."""
        for framework in self._tables.frameworks.values():
            if framework.sink is sink:
                self._disconnect(framework)
                return

    def remove(self, framework: Framework) -> None:
        """TEARDOWN or the end of failover_timeout: everything that it runs is shut down."""
        tables, framework_id = self._tables, framework.framework_id
        self._offers.discard_all(framework)
        self._stop_timers(framework)
        sink, framework.sink = framework.sink, None
        if sink is not None:
            sink.close()
        for entry in tables.agents.values():
            if any(key[0] == framework_id for key in entry.tasks):
                link = entry.link
                tables.timeline.soon(lambda link=link: link.shutdown_framework(framework_id))  # type: ignore[misc]
        for task in list(framework.tasks.values()):
            if task.state not in TERMINAL:
                killed = mesos.TASK_KILLED
                reason = TaskStatus.REASON_FRAMEWORK_REMOVED
                task.state = killed
                task.store(
                    statuses.by_master(
                        framework,
                        task.task_id,
                        task.agent_id,
                        killed,
                        reason,
                        tables.timeline.wall(),
                    )
                )
                tables.counts["tasks/TASK_KILLED"] += 1
            self._tasks.remove(framework, task)
        framework.unregistered_wall_s = tables.timeline.wall()
        self._allocator.framework_removed(framework_id)
        del tables.frameworks[framework_id]
        tables.completed[framework_id] = framework
        while len(tables.completed) > COMPLETED_FRAMEWORKS_MAX:
            tables.completed.popitem(last=False)

    # -- coming

    def _refusal(
        self, info: FrameworkInfo, suppressed: Sequence[str], wanted: OfferConstraints
    ) -> str | None:
        if info.id.value in self._tables.completed:
            return "Framework has been removed"
        return framework_rules.problem(info, suppressed) or constraints.problem(wanted)

    def _add(self, asked: FrameworkInfo, principal: str | None) -> Framework:
        tables = self._tables
        info = FrameworkInfo()
        info.CopyFrom(asked)
        if not info.id.value:
            info.id.value = f"{tables.info.id}-{tables.next_number('frameworks'):04d}"
        if principal is not None and not info.HasField("principal"):
            info.principal = principal
        framework = Framework(info, tables.timeline.wall())
        tables.frameworks[framework.framework_id] = framework
        return framework

    def _come_back(
        self, framework: Framework, info: FrameworkInfo, suppressed: Sequence[str]
    ) -> None:
        old = framework.sink
        if old is not None:
            old.send(statuses.error("Framework failed over"))
            old.close()
        framework.sink = None
        self._stop_timers(framework)
        before = framework.roles
        framework.info = framework_rules.merge(framework.info, info)
        # "Offers are taken back without RESCIND; filters of earlier declines stay."
        self._offers.discard_all(framework)
        self._roles_changed(framework, before, framework.suppressed, suppressed)
        framework.recovered = False
        framework.reregistered_wall_s = self._tables.timeline.wall()

    def _roles_changed(
        self,
        framework: Framework,
        before: Sequence[str],
        suppressed_before: set[str],
        suppressed: Sequence[str],
    ) -> None:
        """Filters end with a role that is removed or un-suppressed; its offers are rescinded."""
        removed = set(before) - set(framework.roles)
        for role in removed | (suppressed_before - set(suppressed)):
            self._forget_filters(framework, role)
        for offer_id in list(framework.offer_ids):
            offer = self._tables.offers[offer_id]
            if offer.role in removed:
                self._offers.rescind(offer)

    def _greet(self, framework: Framework) -> None:
        options = self._tables.options
        event = Event(type=Event.SUBSCRIBED)
        event.subscribed.framework_id.value = framework.framework_id
        event.subscribed.heartbeat_interval_seconds = options.heartbeat_interval_s
        event.subscribed.master_info.CopyFrom(self._tables.info)
        framework.send(event)
        self._beat(framework)

    def _beat(self, framework: Framework) -> None:
        """ "15 s after the previous one, not shifted by other events.\""""
        if self._tables.retired or framework.sink is None:
            return
        framework.send(Event(type=Event.HEARTBEAT))
        interval_s = self._tables.options.heartbeat_interval_s
        framework.heartbeat_timer = self._tables.timeline.after(
            interval_s, lambda: self._beat(framework)
        )

    def _resend_updates(self, framework: Framework) -> None:
        framework_id = framework.framework_id
        for entry in self._tables.agents.values():
            if entry.connected and any(key[0] == framework_id for key in entry.tasks):
                link = entry.link
                self._tables.timeline.soon(
                    lambda link=link: link.resend(framework_id)  # type: ignore[misc]
                )

    # -- going

    def _disconnect(self, framework: Framework) -> None:
        self._stop_timers(framework)
        framework.sink = None
        self._offers.discard_all(framework)
        framework.filters.clear()
        framework.failover_timer = self._tables.timeline.after(
            framework.info.failover_timeout, lambda: self._failover_timed_out(framework)
        )

    def _failover_timed_out(self, framework: Framework) -> None:
        known = self._tables.frameworks.get(framework.framework_id) is framework
        if known and not framework.connected and not self._tables.retired:
            self.remove(framework)

    def _stop_timers(self, framework: Framework) -> None:
        for timer in (framework.heartbeat_timer, framework.failover_timer):
            if timer is not None:
                timer.cancel()
        framework.heartbeat_timer = framework.failover_timer = None

    def _forget_filters(self, framework: Framework, role: str) -> None:
        for key in [key for key in framework.filters if key[0] == role]:
            del framework.filters[key]
