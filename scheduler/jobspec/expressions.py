"""The bound on what a regular expression may cost.

The expression of `like` is matched by the core while it decides, so one that could take long is
refused here: no group repeated that itself varies, few repetitions, nothing that looks around or
back. Neighbours: `constraints`, and the matcher in `core.placement`, which compiles it again.
"""

import math
import re
from typing import Final

from scheduler.jobspec.problems import Wrong, quoted

EXPRESSION_CHARS_MAX: Final = 200
COUNT_MAX: Final = 255
VALUE_CHARS: Final = 255
"""How long a value is taken to be: a host name has no more."""
WAYS_MAX: Final = 3_000_000
"""Ways to cut a value into the pieces of an expression, all of which a match may try: that many
take about a tenth of a second. Three repetitions without a limit are within it."""

_REPEAT: Final = re.compile(r"[*+?]|\{\d*,?\d*\}")
_EXACT: Final = re.compile(r"\{\d+\}")
_COUNT: Final = re.compile(r"\d+")
_TWO_MEANINGS: Final = re.compile(r"\[|--|&&|~~|\|\|")
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_CLASS: Final = re.compile(r"\[\^?+(?:\\.|[^\\])(?:\\.|[^\]\\])*\]", re.DOTALL)


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
    choices: list[int] = []
    position = 0
    while position < len(expression):
        char = expression[position]
        after_group = position > 0 and expression[position - 1] == ")"
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
            choices.append(2)
        elif found := _REPEAT.match(expression, position):
            step = found.end() - position
            if after_group and closed_varies:
                raise Wrong(f"{quoted(expression)} repeats a group that itself varies (simpler)")
            varies[-1] = True
            choices.append(_lengths(found.group(), group=after_group))
        position += step
    if _ways(choices) > WAYS_MAX:
        raise Wrong(f"{quoted(expression)} could take long to match (fewer of * + ? {{}} |)")


def _lengths(repeat: str, *, group: bool) -> int:
    """How many lengths a repetition can have; of a group, how often it is gone through."""
    counts = [int(count) if len(count) <= 3 else COUNT_MAX + 1 for count in _COUNT.findall(repeat)]
    if any(count > COUNT_MAX for count in counts):
        raise Wrong(f"the expression repeats {repeat} times (at most {COUNT_MAX})")
    match repeat:
        case "?":
            return 2
        case _ if _EXACT.fullmatch(repeat):
            return max(counts[0], 1) if group else 1
        case _ if len(counts) == 2:
            return counts[1] - counts[0] + 1
        case _:
            return VALUE_CHARS


def _ways(choices: list[int]) -> float:
    """Lengths that share one value leave less to each other: of n without a limit, their order
    counts once, so the product is divided by n!."""
    unlimited = sum(1 for choice in choices if choice == VALUE_CHARS)
    return math.prod(choices) / math.factorial(unlimited)


def _check_escape(char: str) -> None:
    if char.isdigit():
        raise Wrong("the expression refers back to a group (no \\1)")


def _check_group(expression: str, position: int) -> None:
    if expression.startswith("(?", position) and not expression.startswith("(?:", position):
        raise Wrong(f"{quoted(expression)} has a special group (only (...) and (?:...))")
