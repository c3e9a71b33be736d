"""The slow, obvious model: what constraints mean, written once more without the code under test."""

import re
from collections.abc import Collection

from scheduler.core.model.job import Combined, Condition, Constraint, Junction, Operator
from scheduler.core.model.offer import AgentInfo


def value_of(info: AgentInfo, attribute: str) -> str | None:
    if attribute == "hostname":
        return info.hostname
    if attribute == "@agent":
        return info.agent_id
    if attribute == "@region":
        return info.region or None
    if attribute == "@zone":
        return info.zone or None
    found = [text for name, text in info.attributes if name == attribute]
    return found[0] if found else None


def admits(info: AgentInfo, condition: Condition, tenants: Collection[str] = ()) -> bool:
    if isinstance(condition, Combined):
        results = [admits(info, one, tenants) for one in condition.conditions]
        return {
            Junction.ALL: False not in results,
            Junction.ANY: True in results,
            Junction.NOT: True not in results,
        }[condition.junction]
    if condition.operator is Operator.UNLIKE:
        like = Constraint(condition.attribute, Operator.LIKE, condition.value)
        return not admits(info, like, tenants)
    if condition.attribute == "@job":
        return any(allows(condition, tenant) for tenant in tenants)
    value = value_of(info, condition.attribute)
    return value is not None and allows(condition, value)


def allows(constraint: Constraint, value: str) -> bool:
    asked = constraint.value
    if constraint.operator is Operator.IS:
        return value == asked
    if constraint.operator is Operator.IN:
        return any(value == one for one in constraint.values)
    if constraint.operator is Operator.LIKE:
        try:
            return re.fullmatch(asked, value) is not None
        except re.error:
            return False
    if plain_number(value) and plain_number(asked):
        difference = float(value) - float(asked)
    elif version(value) and version(asked):
        longest = max(len(version(value)), len(version(asked)))
        one = version(value) + [0] * (longest - len(version(value)))
        other = version(asked) + [0] * (longest - len(version(asked)))
        difference = (one > other) - (one < other)
    else:
        return False
    return {
        Operator.LESS: difference < 0,
        Operator.AT_MOST: difference <= 0,
        Operator.MORE: difference > 0,
        Operator.AT_LEAST: difference >= 0,
    }[constraint.operator]


def plain_number(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "0", 1)
    return digits.isascii() and digits.isdigit() and text[-1] != "." and text.strip("-")[0] != "."


def version(text: str) -> list[int]:
    """The numbers with dots between that the text begins with, after a `v`."""
    numbers: list[int] = []
    for piece in text.removeprefix("v").split("."):
        digits = "".join(iter_digits(piece))
        if digits:
            numbers.append(int(digits))
        if digits != piece:
            break
    return numbers


def iter_digits(text: str) -> list[str]:
    digits = []
    for char in text:
        if char not in "0123456789":
            break
        digits.append(char)
    return digits
