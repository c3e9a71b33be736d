"""Which rows a condition admits: the rules of `constraints.py` over all rows at once.

Neighbours: `columns.py` answers for single constraints, `matcher.py` asks.
"""

from collections.abc import Collection, Mapping
from functools import reduce

import numpy as np

from scheduler.core.model.ids import AgentId, JobId
from scheduler.core.model.job import Combined, Condition, Constraint, Junction, Operator
from scheduler.core.model.offer import AgentInfo
from scheduler.core.placement.columns import Mask
from scheduler.core.placement.constraints import AGENT, JOB, allows, matches, satisfies
from scheduler.core.placement.rows import Rows

Company = Mapping[Constraint, Collection[AgentId]]
"""For each constraint about `@job` the agents with a live task of a job whose name it names: by
`unlike` too, which is then fulfilled everywhere else."""


def admitting(rows: Rows, condition: Condition, company: Company) -> Mask:
    match condition:
        case Combined():
            masks = [admitting(rows, one, company) for one in condition.conditions]
            match condition.junction:
                case Junction.ALL:
                    return reduce(np.logical_and, masks)
                case Junction.ANY:
                    return reduce(np.logical_or, masks)
                case Junction.NOT:
                    return ~reduce(np.logical_or, masks)
        case Constraint(attribute="@job", operator=Operator.UNLIKE):
            return ~rows.among(AGENT, company.get(condition, ()))
        case Constraint(attribute="@job"):
            return rows.among(AGENT, company.get(condition, ()))
        case Constraint():
            return rows.satisfying(condition)


def admits(agent: AgentInfo, condition: Condition, company: Company) -> bool:
    """The same for one agent."""
    match condition:
        case Combined():
            admitted = (admits(agent, one, company) for one in condition.conditions)
            match condition.junction:
                case Junction.ALL:
                    return all(admitted)
                case Junction.ANY:
                    return any(admitted)
                case Junction.NOT:
                    return not any(admitted)
        case Constraint(attribute="@job", operator=operator):
            among = agent.agent_id in company.get(condition, ())
            return among is not (operator is Operator.UNLIKE)
        case Constraint():
            return satisfies(agent, condition)


def names(constraint: Constraint, job: JobId) -> bool:
    """Whether a constraint about `@job` is about this one."""
    if constraint.operator is Operator.UNLIKE:
        return matches(constraint.value, job)
    return allows(constraint, job)


def about_jobs(condition: Condition) -> list[Constraint]:
    """The constraints in it whose answer depends on where other jobs run."""
    match condition:
        case Combined():
            return [leaf for one in condition.conditions for leaf in about_jobs(one)]
        case Constraint():
            return [condition] if condition.attribute == JOB else []
