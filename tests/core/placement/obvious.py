"""The slow, obvious model: what constraints mean, written once more without the code under test."""

import re
from collections import Counter
from collections.abc import Collection

from scheduler.core.model.job import (
    Combined,
    Condition,
    Constraint,
    Junction,
    Operator,
    Spread,
    Strategy,
)
from scheduler.core.model.offer import AgentInfo
from scheduler.core.placement.group import Group
from scheduler.core.placement.rows import COLUMN_NAMES, Rows


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


class Placement:
    """Instances placed one after the other, each on the best row of all that may take it, with
    everything counted anew each time."""

    def __init__(self, rows: Rows, group: Group) -> None:
        self.rows = rows
        self.group = group
        self.counts = {name: Counter(values) for name, values in group.counts.items()}
        self.taken: Counter[int] = Counter()
        self.held = list(rows.by_role(group.role))
        self.fitting = [row for row in self.held if self.fits(row)]
        self.values = {
            name: {value for row in self.fitting if (value := self.value(row, name)) is not None}
            for name in self.counts
        }
        self.first = sorted(self.fitting, key=self.fullness)

    def run(self, count: int) -> dict[int, int]:
        self.choose_clusters(max(count, self.group.instances))
        for _ in range(count):
            open_rows = [row for row in self.fitting if self.room(row) and self.may(row)]
            if not open_rows:
                break
            self.take(min(open_rows, key=self.badness))
        return dict(self.taken)

    def take(self, row: int) -> None:
        self.taken[row] += 1
        for name, counter in self.counts.items():
            value = self.value(row, name)
            if value is not None:
                counter[value] += 1

    def value(self, row: int, name: str) -> str | None:
        return value_of(self.rows[row].agent, name)

    # --- what may be -----------------------------------------------------------------------------

    def fits(self, row: int) -> bool:
        plain = [one for one in self.group.constraints if not is_counted(one)]
        return self.room(row) > 0 and all(admits(self.rows[row].agent, one) for one in plain)

    def room(self, row: int) -> int:
        """How many more go by amounts and ports."""
        group, amounts = self.group, self.group.amounts
        asked = (
            amounts.cpus,
            amounts.mem,
            amounts.disk,
            amounts.gpus,
            amounts.revocable_cpus,
            len(group.ports),
        )
        rooms = [
            free // one - self.taken[row]
            for free, one in zip(self.free(row), asked, strict=True)
            if one
        ]
        return min(rooms, default=1)

    def free(self, row: int) -> list[int]:
        return [int(self.rows.free(name)[row]) for name in COLUMN_NAMES]

    def may(self, row: int) -> bool:
        return all(self.counted(row, one) for one in self.group.constraints if is_counted(one))

    def counted(self, row: int, constraint: Condition) -> bool:
        assert isinstance(constraint, Constraint)
        value = self.value(row, constraint.attribute)
        if value is None:
            return False
        counter = self.counts[constraint.attribute]
        if constraint.operator is Operator.UNIQUE:
            return counter.get(value, 0) == 0
        if constraint.operator is Operator.MAX_PER:
            return counter[value] + 1 <= constraint.count
        if constraint.operator is Operator.CLUSTER:
            return not +counter or counter[value] > 0
        seen = self.values[constraint.attribute] | set(counter)
        least = min((counter.get(one, 0) for one in seen), default=0)
        return counter[value] <= (least if len(seen) >= constraint.count else 0)

    def choose_clusters(self, count: int) -> None:
        """A cluster that may choose takes the value that most of so many instances find room with,
        among the rows that everything else counted leaves open."""
        for one in self.group.constraints:
            if not isinstance(one, Constraint) or one.operator is not Operator.CLUSTER:
                continue
            if not +self.counts[one.attribute]:
                self.narrow(one.attribute, count)

    def narrow(self, name: str, count: int) -> None:
        room: Counter[str] = Counter()
        for row in self.fitting:
            if self.may(row):
                value = self.value(row, name) or ""
                room[value] += 1 if self.alone() else min(self.room(row), count)
        if room:
            most = max(min(one, count) for one in room.values())
            best = {value for value in room if min(room[value], count) == most}
            chosen = min(best, key=lambda value: self.order_of(name, value))
            self.fitting = [row for row in self.fitting if self.value(row, name) == chosen]

    def alone(self) -> bool:
        return any(
            isinstance(one, Constraint)
            and (one.attribute, one.operator) == ("hostname", Operator.UNIQUE)
            for one in self.group.constraints
        )

    def order_of(self, name: str, value: str) -> int:
        """The first row of the table with that value."""
        every = [self.rows.get(row) for row in range(self.rows.size)]
        known = [value_of(row.agent, name) if row else None for row in every]
        return known.index(value)

    # --- what is best ----------------------------------------------------------------------------

    def fullness(self, row: int) -> tuple[bool, int, int]:
        cpus, mem, _, gpus, _, _ = self.free(row)
        return gpus > 0, cpus * 4096 + mem, row

    def badness(self, row: int) -> tuple[float, float, int]:
        amounts = self.group.amounts
        if self.group.prefer.strategy is Strategy.SPREAD:
            has_gpus, free, _ = self.fullness(row)
            used = self.taken[row] * max(amounts.cpus * 4096 + amounts.mem, 1)
            return -self.score(row), (1 << 37) * has_gpus - free + used, row
        return -self.score(row), self.first.index(row), row

    def score(self, row: int) -> int:
        agent, prefer = self.rows[row].agent, self.group.prefer
        liked = [one.weight for one in prefer.affinities if admits(agent, one.condition)]
        return 1000 * sum(liked) + sum(self.evenness(row, one) for one in prefer.spread)

    def evenness(self, row: int, spread: Spread) -> int:
        value = self.value(row, spread.attribute)
        counter = self.counts[spread.attribute]
        targets = {one.value: one.percent for one in spread.targets}
        others = (self.values[spread.attribute] | set(self.group.counts[spread.attribute])) - set(
            targets
        )
        if value is None:
            milli = 0
        elif value in targets:
            milli = targets[value] * 1000
        else:
            milli = (100 - sum(targets.values())) * 1000 // len(others)
        wanted = milli * max(self.group.instances, 1)
        if not wanted:
            return -1000 * spread.weight
        assert value is not None
        return spread.weight * max(1000 - counter[value] * 100_000_000 // wanted, -1000)


def is_counted(condition: Condition) -> bool:
    return isinstance(condition, Constraint) and condition.operator in (
        Operator.UNIQUE,
        Operator.MAX_PER,
        Operator.CLUSTER,
        Operator.GROUP_BY,
    )
