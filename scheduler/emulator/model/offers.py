"""Outstanding offers, and who holds how much of which agent.

An offer is used up by the first ACCEPT or DECLINE that names it, or ends by a rescind, a
disconnect or its time. This room keeps each agent's free resources and each framework's shares; it
does not decide who gets an offer (``allocator``).
"""

from scheduler.emulator.model import statuses
from scheduler.emulator.model.bundle import Bundle, to_resources
from scheduler.emulator.model.records import (
    AgentEntry,
    Capability,
    Filter,
    Framework,
    Offer,
    Tables,
    Task,
    scalars_of,
)
from scheduler.mesos.proto import mesos_v1_pb2 as mesos

REFUSE_S_DEFAULT = 5.0
REFUSE_S_MAX = 365 * 86400.0
RESOURCE_CACHE_MAX = 4096


class Offers:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # Untouched agents of one kind offer the same resources: their messages are made once.
        self._resources: dict[tuple[Bundle, str | None, bool], list[mesos.Resource]] = {}

    def create(
        self, framework: Framework, role: str, agent: AgentEntry, amounts: Bundle
    ) -> mesos.Offer:
        """Offers these amounts, which are free on the agent."""
        tables = self._tables
        offer_id = f"{tables.info.id}-O{tables.next_number('offers')}"
        offer = Offer(offer_id, framework.framework_id, agent.agent_id, role, amounts)
        self.hold(framework, role, agent, offer.bundle)
        tables.offers[offer_id] = offer
        framework.offer_ids.add(offer_id)
        agent.offer_ids.add(offer_id)
        framework.counts["offers/sent"] += 1
        framework.offers_made[role] += 1
        if tables.options.offer_timeout_s is not None:
            timeout_s = tables.options.offer_timeout_s
            offer.timer = tables.timeline.after(timeout_s, lambda: self._expire(offer_id))
        return self._message(framework, offer, agent)

    def take(self, offer: Offer) -> None:
        """The offer is no more; its resources are held on, for the caller to place or free."""
        self._tables.offers.pop(offer.offer_id, None)
        if offer.timer is not None:
            offer.timer.cancel()
        framework = self._tables.frameworks.get(offer.framework_id)
        if framework is not None:
            framework.offer_ids.discard(offer.offer_id)
        agent = self._tables.agents.get(offer.agent_id)
        if agent is not None:
            agent.offer_ids.discard(offer.offer_id)

    def discard(self, offer: Offer) -> None:
        """Takes the offer back without a word and without a filter."""
        self.take(offer)
        framework = self._tables.frameworks.get(offer.framework_id)
        agent = self._tables.agents.get(offer.agent_id)
        self.free(framework, offer.role, agent, offer.bundle)

    def rescind(self, offer: Offer) -> None:
        framework = self._tables.frameworks.get(offer.framework_id)
        self.discard(offer)
        if framework is not None:
            framework.counts["offers/rescinded"] += 1
            framework.send(statuses.rescind(offer.offer_id))

    def discard_all(self, framework: Framework) -> None:
        for offer_id in list(framework.offer_ids):
            self.discard(self._tables.offers[offer_id])

    def rescind_agent(self, agent: AgentEntry) -> None:
        for offer_id in list(agent.offer_ids):
            self.rescind(self._tables.offers[offer_id])

    def hold(self, framework: Framework, role: str, agent: AgentEntry, amounts: Bundle) -> None:
        agent.free = agent.free - amounts
        self.share(framework, role, amounts)

    def share(self, framework: Framework, role: str, amounts: Bundle) -> None:
        held = framework.allocated.setdefault(role, scalars_of(()))
        held.update(scalars_of([amounts]))

    def free(
        self, framework: Framework | None, role: str, agent: AgentEntry | None, amounts: Bundle
    ) -> None:
        if agent is not None:
            agent.free = agent.free + amounts
        if framework is not None and role in framework.allocated:
            framework.allocated[role].subtract(scalars_of([amounts]))

    def release(self, framework: Framework | None, task: Task) -> None:
        """Frees what a task held; "resources are released at once" at its terminal state."""
        if not task.released:
            task.released = True
            self.free(framework, task.role, self._tables.agents.get(task.agent_id), task.bundle)

    def refuse(
        self,
        framework: Framework,
        role: str,
        agent_id: str,
        refused: Bundle,
        filters: mesos.Filters,
    ) -> None:
        """Makes the filter of a DECLINE, or of what an ACCEPT left over (absent: 5 s)."""
        seconds = filters.refuse_seconds
        if not seconds >= 0:  # negative or NaN
            seconds = REFUSE_S_DEFAULT
        if seconds == 0 or not refused:
            return
        seconds = max(min(seconds, REFUSE_S_MAX), self._tables.options.allocation_interval_s)
        now = self._tables.timeline.now
        key = role, agent_id
        live = [one for one in framework.filters.get(key, ()) if one.until > now]
        framework.filters[key] = [*live, Filter(refused, now + seconds)]

    def _expire(self, offer_id: str) -> None:
        offer = self._tables.offers.get(offer_id)
        if offer is not None and not self._tables.retired:
            self.rescind(offer)

    def _message(self, framework: Framework, offer: Offer, agent: AgentEntry) -> mesos.Offer:
        role = offer.role if framework.can(Capability.MULTI_ROLE) else None
        refined = framework.can(Capability.RESERVATION_REFINEMENT)
        key = offer.bundle, role, refined
        resources = self._resources.get(key)
        if resources is None:
            if len(self._resources) >= RESOURCE_CACHE_MAX:
                self._resources.clear()
            resources = to_resources(offer.bundle, role, refined=refined)
            self._resources[key] = resources
        description = agent.link.description
        message = mesos.Offer(hostname=description.hostname, resources=resources)
        message.id.value = offer.offer_id
        message.framework_id.value = offer.framework_id
        message.agent_id.value = offer.agent_id
        message.attributes.extend(agent.info.attributes)
        message.url.scheme = "http"
        message.url.address.hostname = description.hostname
        message.url.address.ip = description.ip
        message.url.address.port = description.port
        message.url.path = "/slave(1)"
        if role is not None:
            message.allocation_info.role = role
        return message
