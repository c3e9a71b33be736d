r"""Conditions on agents as documents write them: `hostname unique`, `rack like r[12]`, and mappings
of `all`, `any` and `not` that hold more of them; affinities are conditions with a weight.

Neighbours: `schema` has the fields, `expressions` bounds what a regular expression may cost, and
`core/placement/constraints.py` has the meaning of each word and the way back to text.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from scheduler.core.model.job import (
    INSTANCES_MAX,
    Affinity,
    Combined,
    Condition,
    Constraint,
    Junction,
    Operator,
)
from scheduler.core.placement.constraints import JOB, compared, text_of
from scheduler.jobspec.expressions import check_expression
from scheduler.jobspec.problems import KeyPath, Wrong, kind_of, quoted, unknown

ATTRIBUTE_PATTERN: Final = r"(hostname|@agent|@region|@zone|@job|[A-Za-z0-9_][A-Za-z0-9_.-]*)"
_OPERATION_PATTERN: Final = (
    r"((is|like|unlike|cluster)\s+\S.*|in\s+\[.*\S.*\]|(<|<=|>|>=)\s+[-v]?[0-9].*"
    r"|unique|cluster|group_by|(group_by|max_per)\s+[1-9][0-9]*)"
)
CONSTRAINT_PATTERN: Final = rf"^\s*{ATTRIBUTE_PATTERN}\s+{_OPERATION_PATTERN}\s*$"
WEIGHED_PATTERN: Final = (
    rf"^\s*{ATTRIBUTE_PATTERN}\s+{_OPERATION_PATTERN}(\s+weight\s+-?[0-9]+)?\s*$"
)
FORMS: Final = "rack is r1, zone group_by 3, hostname unique; or a mapping of all, any or not"
VALUES_MAX: Final = 100
GROUPS_MAX: Final = 1_000
NESTED_MAX: Final = 5
SINGLES_MAX: Final = 50
"""How deep conditions may hold others, and how many single ones may be in one."""
WEIGHT_MAX: Final = 100
WEIGHT_DEFAULT: Final = 50

_INNER: Final = {"type": ["string", "object"]}
_INNERS: Final = {"type": "array", "minItems": 1, "items": _INNER}
_COMBINATIONS: Final = {"all": _INNERS, "any": _INNERS, "not": {"anyOf": [_INNER, _INNERS]}}


def _schema(pattern: str, **further: object) -> Mapping[str, Any]:
    """What editors see: text, or a mapping with one combination, whose inside is left to us."""
    combined = {
        "type": "object",
        "properties": {**_COMBINATIONS, **further},
        "additionalProperties": False,
        "oneOf": [{"required": [key]} for key in _COMBINATIONS],
    }
    return {"anyOf": [{"type": "string", "pattern": pattern}, combined]}


_WEIGHT_SCHEMA: Final = {"type": "integer", "minimum": -WEIGHT_MAX, "maximum": WEIGHT_MAX}
CONDITION_SCHEMA: Final = _schema(CONSTRAINT_PATTERN)
AFFINITY_SCHEMA: Final = _schema(WEIGHED_PATTERN, weight=_WEIGHT_SCHEMA)

_ATTRIBUTE: Final = re.compile(ATTRIBUTE_PATTERN)
_WEIGHT: Final = re.compile(r"(.*\S)\s+weight\s+(-?[0-9]{1,9})", re.DOTALL)


# --- single constraints --------------------------------------------------------------------------


def parse_constraint(value: object) -> Constraint:
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {kind_of(value)} ({FORMS})")
    words = value.split(maxsplit=2)
    if len(words) < 2:
        raise Wrong(f"{quoted(value)} is not a constraint ({FORMS})")
    attribute, word, rest = words[0], words[1], "".join(words[2:]).strip()
    parse_attribute(attribute)
    try:
        operator = Operator(word)
    except ValueError:
        raise Wrong(f"{quoted(word)} is no operator {unknown(word, list(Operator))}") from None
    if attribute == JOB and operator not in _OF_JOBS:
        raise Wrong(f"@job takes no {operator.value} (is, in, like or unlike)")
    return _READERS[operator](attribute, operator, rest)


def parse_attribute(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {kind_of(value)}")
    if _ATTRIBUTE.fullmatch(value) is None:
        raise Wrong(
            f"{quoted(value)} is no attribute (hostname, @agent, @region, @zone, or a name)"
        )
    return value


def parse_spread_attribute(value: object) -> str:
    if value == JOB:
        raise Wrong("@job has no value of its own for each task (another attribute)")
    return parse_attribute(value)


def _alone(attribute: str, operator: Operator, rest: str) -> Constraint:
    if rest:
        raise Wrong(
            f"{operator.value} takes no value, not {quoted(rest)} ({attribute} {operator.value})"
        )
    return Constraint(attribute, operator)


def _with_value(attribute: str, operator: Operator, rest: str) -> Constraint:
    if not rest:
        raise Wrong(f"{operator.value} has no value ({attribute} {operator.value} VALUE)")
    return Constraint(attribute, operator, rest)


def _with_expression(attribute: str, operator: Operator, rest: str) -> Constraint:
    constraint = _with_value(attribute, operator, rest)
    check_expression(rest)
    return constraint


def _with_bound(attribute: str, operator: Operator, rest: str) -> Constraint:
    constraint = _with_value(attribute, operator, rest)
    if compared(rest, rest) is None:
        raise Wrong(f"{quoted(rest)} is neither a number nor a version (8, 2.5, 5.10.1)")
    return constraint


def _with_values(attribute: str, operator: Operator, rest: str) -> Constraint:
    if not (rest.startswith("[") and rest.endswith("]")):
        raise Wrong(f"{quoted(rest)} is no list ({attribute} in [one, other])")
    values = tuple(value.strip() for value in rest[1:-1].split(","))
    if not all(values):
        raise Wrong(f"{quoted(rest)} has an empty value ({attribute} in [one, other])")
    if len(values) > VALUES_MAX:
        raise Wrong(f"has {len(values)} values (at most {VALUES_MAX})")
    return Constraint(attribute, operator, values=values)


def _with_cluster(attribute: str, operator: Operator, rest: str) -> Constraint:
    """With a value it says the same as `is`."""
    return Constraint(attribute, Operator.IS, rest) if rest else Constraint(attribute, operator)


def _with_limit(attribute: str, operator: Operator, rest: str) -> Constraint:
    return Constraint(attribute, operator, count=_whole(rest, attribute, operator, INSTANCES_MAX))


def _with_groups(attribute: str, operator: Operator, rest: str) -> Constraint:
    count = _whole(rest, attribute, operator, GROUPS_MAX) if rest else 0
    return Constraint(attribute, operator, count=count)


def _whole(text: str, attribute: str, operator: Operator, most: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise Wrong(f"{quoted(text)} is no number of 1 to {most} ({attribute} {operator.value} 3)")
    return number


_READERS: Final[Mapping[Operator, Callable[[str, Operator, str], Constraint]]] = {
    Operator.IS: _with_value,
    Operator.IN: _with_values,
    Operator.LIKE: _with_expression,
    Operator.UNLIKE: _with_expression,
    Operator.LESS: _with_bound,
    Operator.AT_MOST: _with_bound,
    Operator.MORE: _with_bound,
    Operator.AT_LEAST: _with_bound,
    Operator.UNIQUE: _alone,
    Operator.MAX_PER: _with_limit,
    Operator.CLUSTER: _with_cluster,
    Operator.GROUP_BY: _with_groups,
}
_OF_JOBS: Final = (Operator.IS, Operator.IN, Operator.LIKE, Operator.UNLIKE)


# --- more than one -------------------------------------------------------------------------------


def parse_condition(value: object) -> Condition:
    condition = _condition(value, (), counted=True)
    if _singles(condition) > SINGLES_MAX:
        raise Wrong(f"holds {_singles(condition)} constraints (at most {SINGLES_MAX})")
    return condition


def _condition(value: object, path: KeyPath, *, counted: bool) -> Condition:
    """`counted`: constraints that count the job's own tasks may stand here."""
    if isinstance(value, Mapping):
        return _combined(value, path)
    try:
        constraint = parse_constraint(value)
    except Wrong as error:
        raise Wrong(str(error), path) from error
    if constraint.operator.counted and not counted:
        raise Wrong(f"{constraint.operator.value} stands for itself only, not in here", path)
    return constraint


def _combined(value: Mapping[object, object], path: KeyPath) -> Combined:
    if len(value) != 1:
        raise Wrong(f"must have one key, not {len(value)} (all, any or not)", path)
    if len(path) >= 2 * NESTED_MAX:
        raise Wrong(f"is nested too deeply (at most {NESTED_MAX} times)", path)
    ((key, inner),) = value.items()
    try:
        junction = Junction(str(key))
    except ValueError:
        raise Wrong(f"{quoted(key)} is unknown (all, any or not)", path) from None
    path = (*path, junction.value)
    if junction is Junction.NOT and not isinstance(inner, list):
        return Combined(junction, (_condition(inner, path, counted=False),))
    if not isinstance(inner, list):
        raise Wrong(f"must be a list, not {kind_of(inner)}", path)
    if not inner:
        raise Wrong("must not be empty (conditions)", path)
    return Combined(
        junction,
        tuple(_condition(one, (*path, at), counted=False) for at, one in enumerate(inner)),
    )


def _singles(condition: Condition) -> int:
    match condition:
        case Combined():
            return sum(_singles(one) for one in condition.conditions)
        case Constraint():
            return 1


def condition_value(condition: Condition) -> object:
    """What is read as this condition again: text, or a mapping where some are combined."""
    match condition:
        case Constraint():
            return text_of(condition)
        case Combined(junction, conditions):
            values = [condition_value(one) for one in conditions]
            single = junction is Junction.NOT and len(values) == 1
            return {junction.value: values[0] if single else values}


# --- affinities ----------------------------------------------------------------------------------


def parse_affinity(value: object) -> Affinity:
    weight: object = WEIGHT_DEFAULT
    if isinstance(value, Mapping) and "weight" in value:
        weight = value["weight"]
        value = {key: inner for key, inner in value.items() if key != "weight"}
    elif isinstance(value, str) and (found := _WEIGHT.fullmatch(value.strip())):
        value, weight = found.group(1), int(found.group(2))
    if not isinstance(weight, int) or isinstance(weight, bool) or abs(weight) > WEIGHT_MAX:
        raise Wrong(f"weight must be a whole number from -{WEIGHT_MAX} to {WEIGHT_MAX}")
    condition = parse_condition(value)
    if isinstance(condition, Constraint) and condition.operator.counted:
        raise Wrong(f"{condition.operator.value} is no preference (use spread, or a constraint)")
    return Affinity(condition, weight)


def affinity_value(affinity: Affinity) -> object:
    value = condition_value(affinity.condition)
    if isinstance(value, dict):
        return {**value, "weight": affinity.weight}
    return f"{value} weight {affinity.weight}"
