r"""Constraints as text: `hostname unique`, `@region is eu`, `rack like r[12]`.

The expression of `like` is matched by the core while it decides, so one that could take long is
refused here: no group repeated that itself varies, few repetitions, nothing that looks around or
back. Neighbours: `schema`, and the matcher in `core.placement`, which compiles it again.
"""

import re
from typing import Final

from scheduler.core.model.job import Constraint, Operator
from scheduler.jobspec.problems import NOT_CARRIED_OUT, Wrong, kind_of, quoted

ATTRIBUTE_PATTERN: Final = r"(hostname|@region|@zone|[A-Za-z0-9_][A-Za-z0-9_.-]*)"
CONSTRAINT_PATTERN: Final = rf"^\s*(hostname\s+unique|{ATTRIBUTE_PATTERN}\s+(is|like)\s+\S.*)\s*$"
FORMS: Final = "hostname unique, ATTRIBUTE is VALUE, ATTRIBUTE like EXPRESSION"
EXPRESSION_CHARS_MAX: Final = 200
COUNT_MAX: Final = 255
REPEATS_MAX: Final = 3
"""Open repetitions in one expression: the time to refuse a text grows with its length to this."""

_ATTRIBUTE: Final = re.compile(ATTRIBUTE_PATTERN)
_REPEAT: Final = re.compile(r"[*+?]|\{\d*,?\d*\}")
_EXACT: Final = re.compile(r"\{\d+\}")
_COUNT: Final = re.compile(r"\d+")
_TWO_MEANINGS: Final = re.compile(r"\[|--|&&|~~|\|\|")
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def parse_constraint(value: object) -> Constraint:
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {kind_of(value)} ({FORMS})")
    words = value.split(maxsplit=2)
    if len(words) < 2:
        raise Wrong(f"{quoted(value)} is not a constraint ({FORMS})")
    attribute, operator, rest = words[0], words[1], "".join(words[2:]).strip()
    if _ATTRIBUTE.fullmatch(attribute) is None:
        raise Wrong(f"{quoted(attribute)} is no attribute (hostname, @region, @zone, or a name)")
    match operator:
        case "unique":
            return _unique(attribute, rest)
        case "is" | "like" if not rest:
            raise Wrong(f"{quoted(value)} has no value ({attribute} {operator} VALUE)")
        case "is":
            return Constraint(attribute, Operator.IS, rest)
        case "like":
            check_expression(rest)
            return Constraint(attribute, Operator.LIKE, rest)
        case _:
            raise Wrong(f"operator {quoted(operator)} {NOT_CARRIED_OUT} ({FORMS})")


def _unique(attribute: str, rest: str) -> Constraint:
    if rest:
        raise Wrong(f"unique takes no value, not {quoted(rest)} (hostname unique)")
    if attribute != "hostname":
        raise Wrong(f'"{attribute} unique" {NOT_CARRIED_OUT} (hostname unique)')
    return Constraint(attribute, Operator.UNIQUE)


def constraint_text(constraint: Constraint) -> str:
    words = (constraint.attribute, constraint.operator.value, constraint.value)
    return " ".join(word for word in words if word)


def check_expression(expression: str) -> None:
    """Refuses what is not a regular expression, or could take long to match."""
    if len(expression) > EXPRESSION_CHARS_MAX:
        raise Wrong(
            f"the expression has {len(expression)} characters (at most {EXPRESSION_CHARS_MAX})"
        )
    _check_classes(expression)
    try:
        re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise Wrong(f"{quoted(expression)} is not a regular expression: {error}") from error
    _check_repeats(expression)


def _check_classes(expression: str) -> None:
    """Signs in a character class that later Pythons may read as operators on sets."""
    position = 0
    while position < len(expression):
        found = _CLASS.match(expression, position)
        if found is None and expression[position] == "[":
            raise Wrong(f"{quoted(expression)} is not a regular expression: a class does not end")
        if found is None:
            position += 2 if expression[position] == "\\" else 1
            continue
        if _TWO_MEANINGS.search(_ESCAPED.sub("", found.group()[1:-1])):
            raise Wrong(f"{quoted(expression)} has a class that reads in two ways (put \\ before)")
        position = found.end()


def _check_repeats(expression: str) -> None:
    """Walks a valid expression. A group varies when it holds an alternative or a repetition;
    repeating one that varies multiplies the ways to match, up to exponentially many."""
    varies = [False]
    closed_varies = False
    repeats = 0
    position = 0
    while position < len(expression):
        char = expression[position]
        after_group = position > 0 and expression[position - 1] == ")" and closed_varies
        step = 1
        if char == "\\":
            _check_escape(expression[position + 1])
            step = 2
        elif char == "[" and (found := _CLASS.match(expression, position)):
            step = found.end() - position
        elif char == "(":
            _check_group(expression, position)
            step = 3 if expression.startswith("(?:", position) else 1
            varies.append(False)
        elif char == ")":
            closed_varies = varies.pop()
            varies[-1] = varies[-1] or closed_varies
        elif char == "|":
            varies[-1] = True
        elif found := _REPEAT.match(expression, position):
            step = found.end() - position
            if after_group:
                raise Wrong(f"{quoted(expression)} repeats a group that itself varies (simpler)")
            varies[-1] = True
            repeats += _open_repeats(found.group())
        position += step
    if repeats > REPEATS_MAX:
        raise Wrong(f"{quoted(expression)} has {repeats} open repetitions (at most {REPEATS_MAX})")


def _open_repeats(repeat: str) -> int:
    """1 for a repetition whose length is open, 0 for an exact one."""
    if any(len(count) > 3 or int(count) > COUNT_MAX for count in _COUNT.findall(repeat)):
        raise Wrong(f"the expression repeats {repeat} times (at most {COUNT_MAX})")
    return 0 if _EXACT.fullmatch(repeat) else 1


def _check_escape(char: str) -> None:
    if char.isdigit():
        raise Wrong("the expression refers back to a group (no \\1)")


def _check_group(expression: str, position: int) -> None:
    if expression.startswith("(?", position) and not expression.startswith("(?:", position):
        raise Wrong(f"{quoted(expression)} has a special group (only (...) and (?:...))")
