"""Offer constraints: which agents a framework wants to be offered at all.

Groups of a role are OR-ed, constraints in a group AND-ed. Expressions are RE2 in Mesos and
Python's `re` here: the common part of both. Of Mesos' limit on an expression's program only the
plain case is known here: text without any operator, an instruction a byte.
"""

import re

from scheduler.mesos.proto.mesos_v1_pb2 import AgentInfo, Value
from scheduler.mesos.proto.scheduler_pb2 import AttributeConstraint, OfferConstraints

REGEX_BYTES_MAX = 4096
PLAIN_REGEX_BYTES_MAX = 96
OPERATORS = frozenset("\\.^$|?*+()[]{}")

Selector = AttributeConstraint.Selector


def problem(wanted: OfferConstraints) -> str | None:
    """Why these constraints are refused at SUBSCRIBE and UPDATE_FRAMEWORK, or None."""
    for role, constraints in wanted.role_constraints.items():
        if not constraints.groups:
            return f"offer constraints of role '{role}' have no groups"
        for group in constraints.groups:
            if not group.attribute_constraints:
                return f"offer constraints of role '{role}' have an empty group"
            for constraint in group.attribute_constraints:
                found = _constraint_problem(constraint)
                if found:
                    return f"offer constraints of role '{role}': {found}"
    return None


def admits(wanted: OfferConstraints, role: str, agent: AgentInfo) -> bool:
    if role not in wanted.role_constraints:
        return True
    return any(
        all(_holds(constraint, agent) for constraint in group.attribute_constraints)
        for group in wanted.role_constraints[role].groups
    )


def _constraint_problem(constraint: AttributeConstraint) -> str | None:
    selector, predicate = constraint.selector, constraint.predicate
    kind = selector.WhichOneof("selector")
    if kind is None or predicate.WhichOneof("predicate") is None:
        return "a constraint without a selector or a predicate"
    if kind == "pseudoattribute_type" and selector.pseudoattribute_type == Selector.UNKNOWN:
        return "an unknown pseudo attribute"
    regex = predicate.text_matches.regex or predicate.text_not_matches.regex
    if len(regex.encode()) > REGEX_BYTES_MAX:
        return "a regular expression that is too long"
    if len(regex.encode()) > PLAIN_REGEX_BYTES_MAX and not set(regex) & OPERATORS:
        return "a regular expression that is too complex"
    try:
        re.compile(regex)
    except re.error:
        return "a regular expression that cannot be read"
    return None


def _holds(constraint: AttributeConstraint, agent: AgentInfo) -> bool:
    present, text = _attribute(constraint.selector, agent)
    predicate = constraint.predicate
    kind = predicate.WhichOneof("predicate")
    if kind == "exists":
        return present
    if kind == "not_exists":
        return not present
    if present and text is None:
        return True  # "true for an existing attribute whose type is not TEXT"
    if kind == "text_equals":
        return text == predicate.text_equals.value
    if kind == "text_not_equals":
        return text != predicate.text_not_equals.value
    if kind == "text_matches":
        return text is not None and bool(re.fullmatch(predicate.text_matches.regex, text))
    return text is None or not re.fullmatch(predicate.text_not_matches.regex, text)


def _attribute(selector: Selector, agent: AgentInfo) -> tuple[bool, str | None]:
    """Whether it is there, and its text where it has one."""
    if selector.WhichOneof("selector") == "attribute_name":
        for attribute in agent.attributes:
            if attribute.name == selector.attribute_name:
                return True, attribute.text.value if attribute.type == Value.TEXT else None
        return False, None
    if selector.pseudoattribute_type == Selector.HOSTNAME:
        return True, agent.hostname
    return False, None  # emulated agents are in no region and no zone
