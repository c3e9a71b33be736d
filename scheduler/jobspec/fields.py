"""The types of fields: a Python type, the function that judges a value, and its JSON schema.

Neighbours: `words`, `quantities` and `constraints` hold the functions; `schema` and `settings`
declare their keys with these types.
"""

from functools import partial
from typing import Annotated

from scheduler.jobspec.bodies import Checked, parse_choice, parse_flag, parse_text
from scheduler.jobspec.problems import NOT_CARRIED_OUT, Wrong, quoted
from scheduler.jobspec.quantities import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    parse_duration,
    parse_whole,
)
from scheduler.jobspec.words import (
    ENV_NAME_PATTERN,
    JOB_NAME_BYTES_MAX,
    JOB_NAME_PATTERN,
    PORT_NAME_PATTERN,
    ROLE_PATTERN,
    USER_PATTERN,
    parse_env_name,
    parse_job_name,
    parse_port_name,
    parse_role,
    parse_user,
)

NEVER = "never"

TEXT = {"type": "string", "minLength": 1}
DURATION = {"type": "string", "pattern": DURATION_PATTERN}
SIZE = {"anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"const": 0}]}
SIZE_ABOVE_ZERO = {"type": "string", "pattern": SIZE_PATTERN}

Text = Annotated[str, Checked(parse_text, TEXT)]
Flag = Annotated[bool, Checked(parse_flag, {"type": "boolean"})]
Duration = Annotated[float, Checked(parse_duration, DURATION)]
Interval = Annotated[
    float,
    Checked(
        partial(parse_duration, above_zero=True),
        {**DURATION, "allOf": [{"pattern": "[1-9]"}]},
    ),
]


def whole(least: int, most: int) -> Checked:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Checked(partial(parse_whole, least=least, most=most), schema)


def choice(*choices: str, later: tuple[str, ...] = ()) -> Checked:
    words = tuple(map(str, choices))
    return Checked(partial(parse_choice, choices=words, later=later), {"enum": list(words)})


JobName = Annotated[
    str,
    Checked(
        parse_job_name,
        {"type": "string", "pattern": JOB_NAME_PATTERN, "maxLength": JOB_NAME_BYTES_MAX},
    ),
]
PortName = Annotated[
    str, Checked(parse_port_name, {"type": "string", "pattern": PORT_NAME_PATTERN})
]
EnvName = Annotated[str, Checked(parse_env_name, {"type": "string", "pattern": ENV_NAME_PATTERN})]
RoleName = Annotated[str, Checked(parse_role, {"type": "string", "pattern": ROLE_PATTERN})]
UserName = Annotated[str, Checked(parse_user, {"type": "string", "pattern": USER_PATTERN})]
LabelKey = Annotated[str, Checked(parse_text, TEXT)]


def _parse_env_value(value: object) -> str:
    if isinstance(value, dict) and "secret" in value:
        raise Wrong(f"a secret {NOT_CARRIED_OUT} (text)")
    return _parse_maybe_empty(value)


def _parse_maybe_empty(value: object) -> str:
    return value if isinstance(value, str) else parse_text(value)


_WRITTEN = {"anyOf": [{"type": "string"}, {"type": "number"}]}
EnvValue = Annotated[str, Checked(_parse_env_value, _WRITTEN)]
LabelValue = Annotated[str, Checked(_parse_maybe_empty, _WRITTEN)]


def _parse_piece(index: int, value: object) -> str:
    try:
        return _parse_maybe_empty(value) if index else parse_text(value)
    except Wrong as error:
        raise Wrong(f"its item {index} {error}") from error


def _parse_command(value: object) -> str | list[str]:
    match value:
        case str():
            return parse_text(value)
        case []:
            raise Wrong("must not be empty (a program and its arguments)")
        case [*pieces]:
            return [_parse_piece(index, piece) for index, piece in enumerate(pieces)]
        case _:
            raise Wrong(f"must be text for the shell or a list of text, not {quoted(value)}")


Command = Annotated[
    str | list[str],
    Checked(
        _parse_command,
        {
            "anyOf": [
                TEXT,
                {
                    "type": "array",
                    "minItems": 1,
                    "prefixItems": [{"minLength": 1}],
                    "items": {"type": ["string", "number"]},
                },
            ]
        },
    ),
]


def parse_replace_after(value: object) -> float | None:
    return None if value == NEVER else parse_duration(value, above_zero=False)


def _parse_carried_out(value: object, only: object) -> object:
    """A key of the vocabulary of which this version carries out one value alone."""
    if value != only or isinstance(value, bool):
        raise Wrong(f"{quoted(value)} {NOT_CARRIED_OUT} (only {only})")
    return value


def only(value: object) -> Checked:
    return Checked(partial(_parse_carried_out, only=value), {"const": value})
