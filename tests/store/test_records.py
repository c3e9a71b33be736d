"""How records look at rest: round trips, damage, and values of this release kept for the next."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.model.ids import InstanceKey, JobId
from scheduler.core.model.instance import Instance
from scheduler.core.records import (
    FRAMEWORK,
    AgentRecord,
    FrameworkRecord,
    JobRecord,
    Put,
    Record,
    RecordKey,
    Remove,
    key_of,
)
from scheduler.errors import StoreUnreadable
from scheduler.store.records import SCHEMA, decode, encode, key_from_path, path_of, row_of
from tests.store import samples

SCHEMA_1: dict[str, tuple[Record, str]] = {
    "framework": (
        samples.framework(),
        "0183ac6672616d65776f726b5f6964a9366432612d30303031a561726d6564c3ad73756273637269"
        "6265645f6174cb408f440000000000",
    ),
    "jobs": (
        samples.job(),
        "0189a47370656389a36a6f62a87465616d2f776562a46b696e64a773657276696365a9696e737461"
        "6e63657303a874656d706c6174658ca4726f6c65a470726f64a7636f6d6d616e6482a474797065a5"
        "7368656c6ca46c696e65a7736c6565702031a7616d6f756e747394cd01f4cd7d000000a9636f6e74"
        "61696e6572c0a475736572c0a5706f72747390a3656e7690a961727469666163747390ab636f6e73"
        "747261696e747390a66865616c7468c0ac6b696c6c5f67726163655f73cb4008000000000000ad6d"
        "61785f72756e74696d655f73c0a87072696f7269747932a66c6162656c7390a77265737461727485"
        "a6706f6c696379a6616c77617973b16261636b6f66665f696e697469616c5f73cb3ff00000000000"
        "00ae6261636b6f66665f666163746f72cb4000000000000000ad6261636b6f66665f735f6d6178cb"
        "4072c00000000000a8617474656d70747300ab756e726561636861626c6582af7265706c6163655f"
        "61667465725f73cb4072c00000000000a96f6e5f72657475726ea86b6565705f6e6577a675706461"
        "746581ad6d696e5f6865616c7468795f73cb4024000000000000a3756964a86b336a3468356736a7"
        "76657273696f6e01b074656d706c6174655f76657273696f6e01a764657369726564a372756eaa63"
        "7265617465645f6174cb408f400000000000aa6368616e6765645f6174cb408f480000000000ab72"
        "756e5f76657273696f6e01a8656e6465645f6174c0",
    ),
    "tasks": (
        samples.instance(3),
        "0184a36a6f62a87465616d2f776562a5696e64657803a8617474656d70747301a46c69766591de00"
        "0aa77461736b5f6964b57465616d2e7765622e332e312e6b336a3468356736a66e756d62657201a7"
        "76657273696f6e01a57374617465a772756e6e696e67a86167656e745f6964d92830623566396333"
        "652d393361312d346231662d386630652d3266376231613363346435652d533132a8686f73746e61"
        "6d65af6e6f64652d31322e6578616d706c65a573696e6365cb408f520000000000ab6c61756e6368"
        "65645f6174cb408f4a0000000000a96167656e745f75726cbb687474703a2f2f6e6f64652d31322e"
        "6578616d706c653a35303531a5706f72747392cd7918cd7919",
    ),
}
"""What the first release wrote; to be read as long as schema 1 is."""


def damage_is_named_or_harmless(path: str, value: bytes) -> None:
    refusal, record = "", None
    try:
        record = decode(path, value)
    except StoreUnreadable as error:
        refusal = str(error)
    if record is None:
        assert path in refusal
    else:
        assert isinstance(record, FrameworkRecord | JobRecord | Instance | AgentRecord)
        assert path_of(key_of(record)) == path


@given(samples.records)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(path_of(key_of(record)), encode(record)) == record


@given(samples.records, st.data())
def test_a_value_cut_anywhere_is_unreadable(record: Record, data: st.DataObject) -> None:
    value = encode(record)
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    path = path_of(key_of(record))
    with pytest.raises(StoreUnreadable) as refusal:
        decode(path, cut)
    assert path in str(refusal.value)


@given(samples.records, st.data())
def test_a_changed_byte_gives_no_other_error(record: Record, data: st.DataObject) -> None:
    value = bytearray(encode(record))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    damage_is_named_or_harmless(path_of(key_of(record)), bytes(value))


@pytest.mark.parametrize("record", [samples.framework(), samples.job(), samples.instance(3)])
def test_each_value_of_each_byte_gives_no_other_error(record: Record) -> None:
    value, path = encode(record), path_of(key_of(record))
    for at in range(len(value)):
        for byte in (0x00, 0x80, 0x9F, 0xC1, 0xC6, 0xDD, 0xDF, 0xFF, value[at] ^ 1):
            damage_is_named_or_harmless(path, value[:at] + bytes([byte]) + value[at + 1 :])


@given(st.binary(max_size=200), samples.keys)
def test_garbage_gives_no_other_error(value: bytes, key: RecordKey) -> None:
    damage_is_named_or_harmless(path_of(key), value)
    damage_is_named_or_harmless(path_of(key), bytes([SCHEMA]) + value)


def test_deep_nesting_gives_no_other_error() -> None:
    damage_is_named_or_harmless("jobs/a", bytes([SCHEMA]) + b"\x81\xa1x" + b"\x91" * 100_000)


@given(samples.keys)
def test_a_path_leads_back_to_its_key(key: RecordKey) -> None:
    assert key_from_path(path_of(key)) == key


def test_paths_are_those_of_the_design() -> None:
    assert path_of(FRAMEWORK) == "framework"
    assert path_of(JobId("team/web")) == "jobs/team.web"
    assert path_of(InstanceKey(JobId("team/web"), 12)) == "tasks/team.web/12"
    assert key_from_path("framework") == FRAMEWORK


@pytest.mark.parametrize(
    "path",
    ["", "jobs", "jobs/", "jobs/a/b", "tasks/a", "tasks/a/x", "tasks//1", "nodes/a", "tasks/a/²"],
)
def test_a_path_that_is_none_of_ours_is_named(path: str) -> None:
    with pytest.raises(StoreUnreadable, match="cannot be read"):
        key_from_path(path)


def test_a_value_under_another_key_is_refused() -> None:
    with pytest.raises(StoreUnreadable, match=r"tasks/team\.web/4.*tasks/team\.web/3"):
        decode("tasks/team.web/4", encode(samples.instance(3)))


def test_a_schema_from_the_future_says_so() -> None:
    value = bytes([SCHEMA + 1]) + encode(samples.job())[1:]
    with pytest.raises(StoreUnreadable, match="newer offerd"):
        decode("jobs/team.web", value)


def test_a_schema_that_was_never_written_is_refused() -> None:
    with pytest.raises(StoreUnreadable, match="schema 0 is not known"):
        decode("jobs/team.web", b"\x00" + encode(samples.job())[1:])


def test_a_field_that_is_not_known_is_passed_over() -> None:
    fields = msgspec.msgpack.decode(encode(samples.job())[1:]) | {"colour": "blue"}
    value = bytes([SCHEMA]) + msgspec.msgpack.encode(fields)
    assert decode("jobs/team.web", value) == samples.job()


@pytest.mark.parametrize("kind", sorted(SCHEMA_1))
def test_values_written_with_schema_1_are_read(kind: str) -> None:
    record, value = SCHEMA_1[kind]
    assert decode(path_of(key_of(record)), bytes.fromhex(value)) == record


def test_a_write_becomes_a_row() -> None:
    record = samples.instance(3)
    assert row_of(Put(record)) == ("tasks/team.web/3", encode(record))
    assert row_of(Remove(record.key)) == ("tasks/team.web/3", None)
