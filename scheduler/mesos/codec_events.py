"""From a record of the event stream to what happened: scheduler.Event in, core events out.

This is the hot path in: attribute access costs more than parsing, so only what the core needs is
read. It keeps no state but caches, and never decides what an event means. Event types that we do
not use, and those of masters newer than we, are passed over by name (the framework guide: ignore
unknown event types, enum values and fields). `codec_calls` is the way out.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from scheduler.core.events import (
    AgentFailed,
    OfferRescinded,
    OffersMade,
    StatusUpdated,
    TaskState,
)
from scheduler.core.model.ids import AgentId, FrameworkId, MasterId, OfferId, Role, TaskId
from scheduler.core.model.offer import Offer
from scheduler.errors import MesosError
from scheduler.mesos.codec_resources import AgentReader, ResourceReader, text
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2

MESSAGE_BYTES_MAX: Final = 4096
# Some milliseconds of decoding; an allocation run may offer ten thousand agents in one event.
OFFERS_AT_ONCE_MAX: Final = 500

_Event: Final = scheduler_pb2.Event
_STATES: Final = {wire.TaskState.Value(state.value): state for state in TaskState}
_REASONS: Final = {
    number: name.removeprefix("REASON_").lower() for name, number in wire.TaskStatus.Reason.items()
}
_SOURCES: Final = {
    number: name.removeprefix("SOURCE_").lower() for name, number in wire.TaskStatus.Source.items()
}
_NOT_OF_AGENT: Final = ("id", "framework_id", "executor_ids", "unavailability", "allocation_info")


class StreamOpened(msgspec.Struct, frozen=True):
    """SUBSCRIBED, as far as the wire knows it; the session adds where the master is."""

    framework_id: FrameworkId
    master_id: MasterId
    master_version: str
    heartbeat_interval_s: float


class StreamError(msgspec.Struct, frozen=True):
    """ERROR: the master closes the stream after it."""

    message: str


class PassedOver(msgspec.Struct, frozen=True):
    """Nothing for the core; `name` is the event's type, for counting."""

    name: str


class UnreadableStatus(msgspec.Struct, frozen=True):
    """A status in a state that we have no name for; `uuid` may be empty.

    The core cannot store what it has no value for. Left unacknowledged it would block every later
    update of its task, the terminal one included, so the session acknowledges it in the order of
    the other calls; should it have been the last, reconciliation tells what became of the task.
    """

    task_id: TaskId
    agent_id: AgentId
    uuid: bytes


class ManyOffers:
    """OFFERS too large to be decoded in one go: the reader lets others run between its parts."""

    def __init__(self, decoder: "EventDecoder", offers: Sequence[wire.Offer]) -> None:
        self._decoder = decoder
        self._offers = offers

    def parts(self) -> Iterator[OffersMade]:
        """Decodes the next offers with each step; to be taken once."""
        for begin in range(0, len(self._offers), OFFERS_AT_ONCE_MAX):
            yield self._decoder.decode_offers(self._offers[begin : begin + OFFERS_AT_ONCE_MAX])


Decoded = (
    OffersMade
    | ManyOffers
    | OfferRescinded
    | StatusUpdated
    | AgentFailed
    | StreamOpened
    | StreamError
    | PassedOver
    | UnreadableStatus
)


class EventDecoder:
    """Decodes the records of a stream, one after the other. Its caches may outlive the stream."""

    def __init__(self) -> None:
        self._resources = ResourceReader()
        self._agents = AgentReader()

    def decode(self, record: bytes) -> Decoded:
        """Raises `MesosError` for bytes that are no Event: the stream cannot be trusted then."""
        try:
            event = _Event.FromString(record)
        except DecodeError as error:
            raise MesosError(f"a record of {len(record)} bytes is no event: {error}") from error
        match event.type:
            case _Event.UPDATE:
                return _decode_status(event.update.status)
            case _Event.OFFERS:
                offers = event.offers.offers
                if len(offers) > OFFERS_AT_ONCE_MAX:
                    return ManyOffers(self, offers)
                return self.decode_offers(offers)
            case _Event.RESCIND:
                return OfferRescinded(OfferId(event.rescind.offer_id.value))
            case _Event.FAILURE if not event.failure.HasField("executor_id"):
                return AgentFailed(AgentId(event.failure.agent_id.value))
            case _Event.SUBSCRIBED:
                return _decode_subscribed(event.subscribed)
            case _Event.ERROR:
                return StreamError(text(event.error.message)[:MESSAGE_BYTES_MAX])
            case number:
                # An unknown number is kept aside by protobuf and reads as UNKNOWN.
                return PassedOver(_Event.Type.Name(number))

    def decode_offers(self, offers: Sequence[wire.Offer]) -> OffersMade:
        """Takes the offers apart; they are not to be read again."""
        return OffersMade(tuple([self._decode_offer(offer) for offer in offers]))

    def _decode_offer(self, offer: wire.Offer) -> Offer:
        """Takes the offer apart: what is left at the end is the description of the agent."""
        offer_id = OfferId(offer.id.value)
        role = Role(offer.allocation_info.role)
        read = self._resources.read
        resources = tuple([read(resource) for resource in offer.resources])
        unavailable_from = None
        if offer.HasField("unavailability"):
            unavailable_from = offer.unavailability.start.nanoseconds / 1e9
        offer.ClearField("resources")
        for name in _NOT_OF_AGENT:
            offer.ClearField(name)
        return Offer(offer_id, role, self._agents.read(offer), resources, unavailable_from)


def _decode_status(status: wire.TaskStatus) -> StatusUpdated | UnreadableStatus | PassedOver:
    task_id = TaskId(status.task_id.value)
    agent_id = AgentId(status.agent_id.value)
    if not task_id:
        return PassedOver("UPDATE_WITHOUT_TASK")
    # TaskState is required: an unset one is a number that we do not know.
    if not status.HasField("state"):
        return UnreadableStatus(task_id, agent_id, status.uuid)
    return StatusUpdated(
        task_id=task_id,
        state=_STATES[status.state],
        agent_id=agent_id,
        timestamp=status.timestamp,
        uuid=status.uuid,
        source=_SOURCES[status.source] if status.HasField("source") else "",
        reason=_REASONS[status.reason] if status.HasField("reason") else "",
        message=_cut(status.message) if status.HasField("message") else "",
        healthy=status.healthy if status.HasField("healthy") else None,
    )


def _decode_subscribed(subscribed: scheduler_pb2.Event.Subscribed) -> StreamOpened:
    framework_id = FrameworkId(subscribed.framework_id.value)
    if not framework_id:
        raise MesosError("SUBSCRIBED without a framework id")
    master = subscribed.master_info
    return StreamOpened(
        framework_id,
        MasterId(master.id),
        text(master.version),
        subscribed.heartbeat_interval_seconds,
    )


def _cut(message: str | bytes) -> str:
    """At most `MESSAGE_BYTES_MAX` bytes of UTF-8: the message is stored with the task."""
    if len(message) * 4 <= MESSAGE_BYTES_MAX:
        return text(message)
    return text(message).encode()[:MESSAGE_BYTES_MAX].decode("utf-8", "ignore")
