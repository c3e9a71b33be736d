"""Records into core events: what Mesos says is kept exactly; what is unknown does no harm."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.events import (
    AgentFailed,
    OfferRescinded,
    OffersMade,
    StatusUpdated,
    TaskState,
)
from scheduler.core.model.ids import AgentId, OfferId, TaskId
from scheduler.core.model.offer import Offer
from scheduler.core.model.resources import PortRange
from scheduler.errors import MesosError
from scheduler.mesos.codec import (
    EventDecoder,
    ManyOffers,
    PassedOver,
    StreamError,
    StreamOpened,
    UnreadableStatus,
)
from scheduler.mesos.codec_events import OFFERS_AT_ONCE_MAX
from scheduler.mesos.proto import mesos_v1_pb2 as wire
from scheduler.mesos.proto import scheduler_pb2
from tests.mesos import wires

Event = scheduler_pb2.Event


def decode(event: Event) -> object:
    return EventDecoder().decode(event.SerializePartialToString())


def decode_offer(offer: wire.Offer, decoder: EventDecoder | None = None) -> Offer:
    event = Event(type=Event.OFFERS)
    event.offers.offers.add().CopyFrom(offer)
    made = (decoder or EventDecoder()).decode(event.SerializeToString())
    assert isinstance(made, OffersMade)
    return made.offers[0]


def a_status(state: int = wire.TASK_RUNNING) -> Event:
    event = Event(type=Event.UPDATE)
    status = event.update.status
    status.task_id.value = "web.0.1.abc"
    status.agent_id.value = "M-S0"
    status.timestamp = 1700000000.25
    status.MergeFromString(bytes([0x10, state]))  # also numbers that the enum does not have
    return event


# --- offers --------------------------------------------------------------------------------------


@given(wires.offers())
def test_an_offer_keeps_its_amounts_and_the_identity_of_each_entry(offer: wire.Offer) -> None:
    decoded = decode_offer(offer)

    assert decoded.offer_id == offer.id.value
    assert decoded.role == offer.allocation_info.role
    assert len(decoded.resources) == len(offer.resources)
    for entry, resource in zip(decoded.resources, offer.resources, strict=True):
        revocable_cpus = resource.name == "cpus" and resource.HasField("revocable")
        assert entry.name == ("revocable_cpus" if revocable_cpus else resource.name)
        assert entry.scalar == round(resource.scalar.value * 1000)
        assert entry.ranges == tuple(PortRange(one.begin, one.end) for one in resource.ranges.range)
        assert wire.Resource.FromString(entry.identity) == wires.without_value(resource)
        assert entry.reserved == bool(resource.reservations)


@given(wires.offers())
def test_plain_entries_are_usable_and_cpus_that_may_be_revoked(offer: wire.Offer) -> None:
    for entry, resource in zip(decode_offer(offer).resources, offer.resources, strict=True):
        odd = (
            (resource.HasField("revocable") and resource.name != "cpus")
            or resource.HasField("shared")
            or resource.disk.HasField("persistence")
            or resource.disk.HasField("source")
            or resource.type == wire.Value.SET
        )
        assert entry.usable == (not odd)


def test_what_an_agent_itself_calls_revocable_cpus_is_none() -> None:
    offer = wires.an_offer("O1")
    odd = offer.resources.add(name="revocable_cpus", type=wire.Value.SCALAR)
    odd.scalar.value = 8.0
    assert [entry.usable for entry in decode_offer(offer).resources] == [True, True, True, False]


@given(wires.offers(), wires.offers())
def test_what_a_decoder_has_seen_before_changes_nothing(
    first: wire.Offer, second: wire.Offer
) -> None:
    decoder = EventDecoder()
    decode_offer(first, decoder)
    assert decode_offer(second, decoder) == decode_offer(second)
    assert decode_offer(first, decoder) == decode_offer(first)


def test_equal_identities_and_agents_are_one_object() -> None:
    decoder = EventDecoder()
    first = decode_offer(wires.an_offer("O1", cpus=4), decoder)
    second = decode_offer(wires.an_offer("O2", cpus=3), decoder)
    assert first.agent is second.agent
    assert first.resources[0].identity is second.resources[0].identity
    assert first.resources[0].scalar != second.resources[0].scalar


def test_a_changed_attribute_of_an_agent_is_seen() -> None:
    decoder = EventDecoder()
    offer = wires.an_offer("O1")
    assert dict(decode_offer(offer, decoder).agent.attributes)["rack"] == "r1"
    offer.attributes[0].text.value = "r2"
    assert dict(decode_offer(offer, decoder).agent.attributes)["rack"] == "r2"


def test_an_agent_is_described_in_full() -> None:
    offer = wires.an_offer("O1")
    offer.attributes.add(name="cores", type=wire.Value.SCALAR).scalar.value = 8
    offer.attributes.add(name="ghz", type=wire.Value.SCALAR).scalar.value = 2.5
    ranges = offer.attributes.add(name="vlans", type=wire.Value.RANGES).ranges
    ranges.range.add(begin=1, end=2)
    ranges.range.add(begin=7, end=7)
    offer.attributes.add(name="tags", type=wire.Value.SET).set.item.extend(["a", "b"])
    offer.domain.fault_domain.region.name = "eu"
    offer.domain.fault_domain.zone.name = "eu-1"
    offer.unavailability.start.nanoseconds = 1_700_000_000_500_000_000

    decoded = decode_offer(offer)

    assert decoded.agent.attributes == (
        ("rack", "r1"),
        ("cores", "8"),
        ("ghz", "2.5"),
        ("vlans", "[1-2,7-7]"),
        ("tags", "{a,b}"),
    )
    assert (decoded.agent.region, decoded.agent.zone) == ("eu", "eu-1")
    assert (decoded.agent.hostname, decoded.agent.url) == ("a1", "http://10.0.0.9:5051")
    assert decoded.unavailable_from == 1_700_000_000.5


def test_a_resource_of_an_unknown_type_is_not_usable() -> None:
    offer = wires.an_offer("O1")
    event = Event(type=Event.OFFERS)
    event.offers.offers.add().CopyFrom(offer)
    record = event.SerializeToString().replace(b"cpus\x10\x00", b"cpus\x10\x63")
    made = EventDecoder().decode(record)
    assert isinstance(made, OffersMade)
    assert [entry.usable for entry in made.offers[0].resources] == [False, True, True]


def test_a_large_event_comes_in_parts_and_loses_no_offer() -> None:
    event = Event(type=Event.OFFERS)
    names = [f"O{number}" for number in range(2 * OFFERS_AT_ONCE_MAX + 1)]
    for name in names:
        event.offers.offers.add().CopyFrom(wires.an_offer(name))
    many = decode(event)
    assert isinstance(many, ManyOffers)
    parts = list(many.parts())
    assert [len(part.offers) for part in parts] == [OFFERS_AT_ONCE_MAX, OFFERS_AT_ONCE_MAX, 1]
    assert [offer.offer_id for part in parts for offer in part.offers] == names


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), float("-inf"), 1e300, -1e300])
def test_an_amount_that_is_no_number_is_nothing(amount: float) -> None:
    assert decode_offer(wires.an_offer("O1", cpus=amount)).resources[0].scalar == 0


# --- statuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(TaskState))
def test_every_task_state_has_its_value(state: TaskState) -> None:
    decoded = decode(a_status(wire.TaskState.Value(state.value)))
    assert isinstance(decoded, StatusUpdated)
    assert decoded.state is state


def test_the_core_knows_every_state_of_the_wire() -> None:
    assert set(wire.TaskState.keys()) == {state.value for state in TaskState}


def test_a_status_is_read_with_all_that_the_core_wants() -> None:
    event = a_status(wire.TASK_UNREACHABLE)
    status = event.update.status
    status.uuid = b"0123456789abcdef"
    status.source = wire.TaskStatus.SOURCE_MASTER
    status.reason = wire.TaskStatus.REASON_AGENT_REMOVED
    status.message = "gone quiet"
    status.healthy = False
    status.data = b"x" * 100_000

    assert decode(event) == StatusUpdated(
        task_id=TaskId("web.0.1.abc"),
        state=TaskState.UNREACHABLE,
        agent_id=AgentId("M-S0"),
        timestamp=1700000000.25,
        uuid=b"0123456789abcdef",
        source="master",
        reason="agent_removed",
        message="gone quiet",
        healthy=False,
    )


def test_what_a_status_does_not_say_stays_open() -> None:
    decoded = decode(a_status())
    assert isinstance(decoded, StatusUpdated)
    assert (decoded.uuid, decoded.source, decoded.reason) == (b"", "", "")
    assert (decoded.message, decoded.healthy) == ("", None)


@given(st.text(min_size=0, max_size=6000))
def test_a_message_is_cut_to_four_kilobytes_of_whole_characters(message: str) -> None:
    event = a_status()
    event.update.status.message = message
    decoded = decode(event)
    assert isinstance(decoded, StatusUpdated)
    assert message.startswith(decoded.message)
    size, whole = len(decoded.message.encode()), len(message.encode())
    assert size == whole if whole <= 4096 else 4093 <= size <= 4096


def test_a_message_that_is_not_utf8_does_not_end_the_stream() -> None:
    event = a_status()
    event.update.status.message = "abcdef"
    record = event.SerializeToString().replace(b"abcdef", b"ab\xff\xfeef")
    decoded = EventDecoder().decode(record)
    assert isinstance(decoded, StatusUpdated)
    assert decoded.message == "ab\ufffd\ufffdef"


def test_a_reason_of_the_future_is_left_out() -> None:
    event = a_status()
    event.update.status.MergeFromString(b"\x50\x7f")
    decoded = decode(event)
    assert isinstance(decoded, StatusUpdated)
    assert decoded.reason == ""


def test_a_state_of_the_future_is_named_for_its_acknowledgement() -> None:
    event = a_status(99)
    event.update.status.uuid = b"0123456789abcdef"
    assert decode(event) == UnreadableStatus(
        TaskId("web.0.1.abc"), AgentId("M-S0"), b"0123456789abcdef"
    )


# --- the others ----------------------------------------------------------------------------------


def test_subscribed_tells_who_we_are_and_how_often_to_expect_a_word() -> None:
    event = Event(type=Event.SUBSCRIBED)
    event.subscribed.framework_id.value = "M-0001"
    event.subscribed.heartbeat_interval_seconds = 15.0
    event.subscribed.master_info.id = "M"
    event.subscribed.master_info.version = "1.11.0"
    opened = decode(event)
    assert isinstance(opened, StreamOpened)
    assert (opened.framework_id, opened.master_id) == ("M-0001", "M")
    assert (opened.master_version, opened.heartbeat_interval_s) == ("1.11.0", 15.0)


def test_a_subscription_without_an_id_is_an_error() -> None:
    with pytest.raises(MesosError):
        decode(Event(type=Event.SUBSCRIBED))


def test_rescind_error_and_the_failure_of_an_agent() -> None:
    rescind = Event(type=Event.RESCIND)
    rescind.rescind.offer_id.value = "O1"
    failure = Event(type=Event.FAILURE)
    failure.failure.agent_id.value = "M-S0"
    said = Event(type=Event.ERROR, error=Event.Error(message="Framework failed over"))
    assert decode(rescind) == OfferRescinded(OfferId("O1"))
    assert decode(failure) == AgentFailed(AgentId("M-S0"))
    assert decode(said) == StreamError("Framework failed over")


def test_the_failure_of_an_executor_is_passed_over() -> None:
    failure = Event(type=Event.FAILURE)
    failure.failure.agent_id.value = "M-S0"
    failure.failure.executor_id.value = "e"
    assert decode(failure) == PassedOver("FAILURE")


@pytest.mark.parametrize(
    "name",
    [
        *("HEARTBEAT", "MESSAGE", "INVERSE_OFFERS", "RESCIND_INVERSE_OFFER"),
        *("UPDATE_OPERATION_STATUS", "UNKNOWN"),
    ],
)
def test_what_the_core_has_no_use_for_is_passed_over_by_name(name: str) -> None:
    assert decode(Event(type=name)) == PassedOver(name)


def test_a_type_of_the_future_is_passed_over() -> None:
    assert EventDecoder().decode(b"\x08\x63") == PassedOver("UNKNOWN")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_mesos_error(record: bytes) -> None:
    with contextlib.suppress(MesosError):
        EventDecoder().decode(record)
