"""The master's own mapping between protobuf messages and JSON, both ways.

It is not protobuf's: names stay snake_case, 64-bit integers are numbers, optional scalars with a
declared default are printed, infinite doubles are a bare `Infinity`; on input a lone value stands
for a list of one, and numbers may be quoted. Knows messages by their descriptors only.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

# The stubs know two descriptor classes without a common base.
Field = Any

_FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_WHITE_SPACE = re.compile(r"\s+")


class JsonProblem(ValueError):
    """The text is not JSON, or does not fit the message."""


def dumps(message: Message) -> bytes:
    return json.dumps(to_json(message), separators=(",", ":"), ensure_ascii=False).encode()


def loads(body: bytes, kind: type[M]) -> M:
    """Raises `JsonProblem`; a missing required field is one too."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise JsonProblem(f"not JSON: {error}") from error
    message = kind()
    _read_message(message, value)
    if not message.IsInitialized():
        raise JsonProblem("a required field is missing")
    return message


def to_json(message: Message) -> dict[str, Any]:
    return dict(_members(message))


def _members(message: Message) -> Iterator[tuple[str, Any]]:
    field: Field
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            values = getattr(message, field.name)
            if not values:
                continue
            if _is_map(field):
                item = field.message_type.fields_by_name["value"]
                yield field.name, {_key(k): _value(item, values[k]) for k in values}
            else:
                yield field.name, [_value(field, value) for value in values]
        elif message.HasField(field.name) or _printed_unset(field):
            yield field.name, _value(field, getattr(message, field.name))


def _printed_unset(field: Field) -> bool:
    """ "Optional scalars with an explicit default are printed with it, unless deprecated" """
    plain = field.has_default_value and field.containing_oneof is None
    return plain and not field.GetOptions().deprecated


def _is_map(field: Field) -> bool:
    entry = field.message_type
    return entry is not None and bool(entry.GetOptions().map_entry)


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _value(field: Field, value: Any) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return to_json(value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named is not None else value
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    return value


def _read_message(message: Message, value: Any) -> None:
    if not isinstance(value, dict):
        raise JsonProblem(f"{message.DESCRIPTOR.name}: an object is expected")
    fields = message.DESCRIPTOR.fields_by_name
    for name, member in value.items():
        field = fields.get(name)
        if field is None or member is None:
            continue
        if field.is_repeated and _is_map(field):
            _read_map(message, field, member)
        elif field.is_repeated:
            for one in member if isinstance(member, list) else [member]:
                _read_item(message, field, one)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            child = getattr(message, name)
            child.SetInParent()
            _read_message(child, member)
        else:
            scalar = _scalar(field, member)
            if scalar is not None:
                setattr(message, name, scalar)


def _read_map(message: Message, field: Field, value: Any) -> None:
    if not isinstance(value, dict):
        raise JsonProblem(f"{field.name}: an object is expected")
    item = field.message_type.fields_by_name["value"]
    target = getattr(message, field.name)
    for key, one in value.items():
        if item.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            _read_message(target[key], one)
        else:
            target[key] = _scalar(item, one)


def _read_item(message: Message, field: Field, value: Any) -> None:
    target = getattr(message, field.name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        _read_message(target.add(), value)
        return
    scalar = _scalar(field, value)
    if scalar is not None:
        target.append(scalar)


def _scalar(field: Field, value: Any) -> Any:
    """The member's value; None for an enum name that is not known where that is allowed."""
    try:
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            return _enum(field, value)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _bytes(value)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return value if isinstance(value, str) else _refuse(field, value)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            words = {"true": True, "false": False}
            return value if isinstance(value, bool) else words[value]
        if isinstance(value, bool):
            return _refuse(field, value)
        if field.cpp_type in _FLOATS:
            return _float(value)
        if field.cpp_type in _INTEGERS:
            return _integer(value)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise JsonProblem(f"{field.name}: a wrong type or value") from error
    return _refuse(field, value)


def _enum(field: Field, value: Any) -> int | None:
    if not isinstance(value, str):
        _refuse(field, value)
    known = field.enum_type.values_by_name.get(value)
    if known is not None:
        return int(known.number)
    return _refuse(field, value) if field.is_required else None


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    text = _WHITE_SPACE.sub("", value).rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _float(value: Any) -> float:
    if isinstance(value, str) and value.strip() != value:
        raise ValueError
    number = float(value)
    if isinstance(value, str) and number != number:
        raise ValueError
    return number


def _integer(value: Any) -> int:
    number = float(value) if not isinstance(value, int) else value
    if number != int(number):
        raise ValueError
    return int(number)


def _refuse(field: Field, value: Any) -> NoReturn:
    raise JsonProblem(f"{field.name}: {type(value).__name__} is not expected here")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} outside of quotes")
