"""Chooses rows where each choice bears on the next: counted constraints, scores, and strategies
other than bin-packing. Who needs none of these is placed by `matcher.py` alone.

It finds the rows that are open and the rules that hold among them. Rules that form a chain are
placed in one pass (`slots.py`), others one instance at a time (`entangled.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scheduler.core.model.job import Operator
from scheduler.core.placement import entangled, slots
from scheduler.core.placement.columns import Indexes, Mask
from scheduler.core.placement.group import Group, counted_among
from scheduler.core.placement.ranking import Ranking
from scheduler.core.placement.rows import Column, Rows
from scheduler.core.placement.rules import NO_LIMIT, chain_of, rules_of
from scheduler.core.placement.scores import liking
from scheduler.core.placement.slots import Candidates
from scheduler.core.placement.tally import Tallies, tallies_of


class Picked(NamedTuple):
    """How many instances each row takes, in the order in which rows were first chosen; and for how
    many instances none was looked for."""

    shares: tuple[tuple[int, int], ...]
    later: int = 0


def pick(
    rows: Rows,
    group: Group,
    fitting: Mask,
    among: Mask,
    capacity: Callable[[Indexes], Column],
    count: int,
    one_by_one_max: int,
) -> Picked:
    """Rows for `count` instances.

    `fitting` are the rows that hold an instance and fulfil what is not counted, `among` those of
    them that are to be used: the values of the others count too. `capacity` says of any rows how
    many instances each has enough free for."""
    wanted = max(count, group.instances)
    tallies = tallies_of(rows, group, fitting)
    open_rows = _heeding(group, tallies, among, capacity, wanted)
    ranking = Ranking(rows, group)
    order = rows.order
    chosen = ranking.sort(order[open_rows[order]])
    all_rules = rules_of(rows, group, tallies)

    def room(at: Indexes) -> Column:
        room = np.minimum(capacity(at), count)
        for rule in all_rules:
            if rule.most < NO_LIMIT:
                np.minimum(room, rule.most - rule.tally.of_rows(at), out=room)
        return room

    candidates = Candidates(chosen, -liking(rows, group)[chosen], room)
    rules = [rule for rule in all_rules if rule.tells or rule.binds(chosen)]
    chain = chain_of(rules, chosen)
    if chain is not None:
        return Picked(tuple(slots.choose(candidates, chain, ranking, count).items()))
    now = min(count, one_by_one_max)
    taken = entangled.choose(candidates, rules, ranking, now)
    return Picked(tuple(taken.items()), count - now)


def _heeding(
    group: Group,
    tallies: Tallies,
    among: Mask,
    capacity: Callable[[Indexes], Column],
    wanted: int,
) -> Mask:
    """Those of the rows that may take an instance, now or when others have taken theirs. A
    `cluster` that may choose its value takes, of those that may have a task now, the one with most
    room for all that the job wants."""
    counted = [(one, tallies[one.attribute]) for one in counted_among(group.constraints)]
    open_rows, open_now = among.copy(), among.copy()
    for constraint, tally in counted:
        allowed = tally.allowed(constraint)[tally.codes]
        open_now &= allowed
        # What is barred for the sake of others may be let in when those have caught up.
        open_rows &= tally.codes >= 0 if constraint.operator is Operator.GROUP_BY else allowed
    for constraint, tally in counted:
        if constraint.operator is Operator.CLUSTER and not tally.any:
            room = np.zeros(len(tally.by_code), np.int64)
            at = np.flatnonzero(open_now)
            np.add.at(room, tally.codes[at], np.minimum(capacity(at), wanted))
            chosen = np.equal(tally.codes, np.argmax(np.minimum(room, wanted)))
            open_rows &= chosen
            open_now &= chosen
    return open_rows
