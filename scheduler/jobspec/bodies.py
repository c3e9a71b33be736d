"""Strict pydantic models for documents, and their refusals in words that name the remedy.

A `Body` is a mapping of a document: frozen, no unknown keys, no conversions. A `Checked` is the
one way a value is judged: a function that returns it or raises `Wrong`. `read_body` gives the model
or every finding at once. Neighbours: `schema` and `settings` declare bodies; `problems` shows what
is found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from scheduler.jobspec.problems import (
    NOT_CARRIED_OUT,
    At,
    Finding,
    KeyPath,
    Wrong,
    kind_of,
    quoted,
    shown,
    unknown,
)


class Body(BaseModel):
    """A mapping of a document. `later` names keys of the vocabulary that this version refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    later: ClassVar[frozenset[str]] = frozenset()


BodyT = TypeVar("BodyT", bound=Body)


def refusal(text: str, inner: KeyPath = ()) -> PydanticCustomError:
    """What a validator raises for pydantic to collect."""
    return PydanticCustomError("wrong", "{text}", {"text": text, "inner": inner})


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Annotates a field with the function that judges it and with its JSON schema."""

    parse: Callable[[object], object]
    schema: Mapping[str, Any]

    def _run(self, value: object) -> object:
        try:
            return self.parse(value)
        except Wrong as error:
            raise refusal(str(error), error.path) from error

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._run)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def parse_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, not {_named(value)}")
    return value


def parse_text(value: object) -> str:
    """Text that is not empty. A number or a truth value is most often text without its quotes."""
    if isinstance(value, bool | int | float):
        raise Wrong(f"must be text, not {kind_of(value)} (quote it)")
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {kind_of(value)}")
    if not value:
        raise Wrong("must not be empty")
    return value


def parse_choice(value: object, choices: tuple[str, ...], later: tuple[str, ...] = ()) -> str:
    if isinstance(value, str) and value in choices:
        return value
    if isinstance(value, str) and value in later:
        raise Wrong(f"{quoted(value)} {NOT_CARRIED_OUT} ({', '.join(choices)})")
    raise Wrong(f"must be {' or '.join(choices)}, not {_named(value)}")


def _named(value: object) -> str:
    return quoted(value) if isinstance(value, str | int | float) else kind_of(value)


def read_body(model: type[BodyT], value: object) -> tuple[BodyT | None, list[Finding]]:
    """The model, or everything that is wrong with the value."""
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_finding(model, detail) for detail in details[: FINDINGS_MAX + 1]]


def _finding(model: type[Body], detail: ErrorDetails) -> Finding:
    path: KeyPath = detail["loc"]
    value = detail["input"]
    match detail["type"]:
        case "missing":
            field = field_at(model, path)
            meaning = field.description if field is not None else None
            return Finding(path, f"is missing ({meaning})" if meaning else "is missing")
        case "extra_forbidden":
            return _unknown_key(model, path)
        case "model_type" | "dict_type":
            return Finding(path, f"must be a mapping, not {kind_of(value)}")
        case "list_type":
            return Finding(path, f"must be a list, not {kind_of(value)}")
        case "too_long":
            most = detail.get("ctx", {}).get("max_length")
            return Finding(path, f"has too many items (at most {most})")
        case _ if len(path) > 1 and path[-1] == "[key]":
            return Finding(path[:-1], detail["msg"], At.KEY)
        case _:
            return Finding((*path, *detail.get("ctx", {}).get("inner", ())), detail["msg"])


def _unknown_key(model: type[Body], path: KeyPath) -> Finding:
    body = body_at(model, path[:-1]) or model
    key = str(path[-1])
    if key in body.later:
        return Finding(path, NOT_CARRIED_OUT, At.KEY)
    return Finding(path, f"is unknown {unknown(key, keys_of(body))}", At.KEY)


def keys_of(body: type[Body]) -> dict[str, FieldInfo]:
    """The keys of a body as documents write them."""
    return {field.alias or name: field for name, field in body.model_fields.items()}


def field_at(model: type[Body], path: KeyPath) -> FieldInfo | None:
    """The field that a path leads to; positions in lists do not count."""
    keys = [step for step in path if isinstance(step, str)]
    body = body_at(model, tuple(keys[:-1]))
    return keys_of(body).get(keys[-1]) if body is not None and keys else None


def body_at(model: type[Body], path: KeyPath) -> type[Body] | None:
    """The body that a path leads to, None where there is none."""
    body: type[Body] | None = model
    for step in path:
        if isinstance(step, int):
            continue
        field = keys_of(body).get(step) if body is not None else None
        body = body_in(field.annotation) if field is not None else None
    return body


def body_in(annotation: object) -> type[Body] | None:
    """The body inside `Body`, `Body | None` or `list[Body]`."""
    if isinstance(annotation, type) and issubclass(annotation, Body):
        return annotation
    return next((body for part in get_args(annotation) if (body := body_in(part))), None)


TRAPS_DEPTH_MAX = 64


def traps(value: object, path: KeyPath = ()) -> list[Finding]:
    """What no document may hold anywhere: nothing as a value, and text that no process can take."""
    match value:
        case None if path:
            return [Finding(path, "has no value (give one, or leave the key out)")]
        case str():
            return [Finding(path, refused)] if (refused := _refused_text(value)) else []
        case dict() if len(path) < TRAPS_DEPTH_MAX:
            found = [
                Finding(path, f"the key {quoted(str(key))} is not usable text")
                for key in value
                if not isinstance(key, str) or _refused_text(key)
            ]
            for key, inner in value.items():
                found += traps(inner, (*path, key if isinstance(key, str) else shown(str(key))))
            return found
        case list() if len(path) < TRAPS_DEPTH_MAX:
            return [
                found for index, inner in enumerate(value) for found in traps(inner, (*path, index))
            ]
        case dict() | list():
            return [Finding(path, "is nested too deeply")]
        case _:
            return []


def _refused_text(text: str) -> str:
    if "\0" in text:
        return "holds the character U+0000 (no program can take it)"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "holds half of a surrogate pair (whole characters only)"
    return ""


FINDINGS_MAX = 100
"""Findings told of one document: nobody reads more, and a hostile one could have thousands."""


def once_a_path(*groups: list[Finding]) -> list[Finding]:
    """All findings, up to the limit; of what an earlier group has spoken, later ones do not."""
    spoken: set[KeyPath] = set()
    kept: list[Finding] = []
    for group in groups:
        kept += [finding for finding in group if finding.path not in spoken]
        spoken.update(finding.path for finding in group)
    if len(kept) > FINDINGS_MAX:
        return [*kept[:FINDINGS_MAX], Finding((), "has more problems than are shown")]
    return kept
