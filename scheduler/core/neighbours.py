"""Other frameworks in our roles, as the operator API lists them: within a role Mesos offers an
agent to one of them at a time, so each waits for what the other refuses.

Only for people to see; no decision hangs on it.
"""

from collections.abc import Collection

from scheduler.core.events import FrameworksListed
from scheduler.core.model.ids import FrameworkId, Role
from scheduler.core.views import OtherFrameworkView

SHOWN_MAX = 20
NOT_EVEN_US = "the master does not list ourselves: our principal may view no frameworks"


class Neighbours:
    """`hidden` says why nothing is known of them; None in `others`: not asked yet."""

    def __init__(self) -> None:
        self.others: tuple[OtherFrameworkView, ...] | None = None
        self.hidden = ""
        self._without_us = 0

    def listed(
        self, event: FrameworksListed, ours: FrameworkId | None, roles: Collection[Role]
    ) -> None:
        """What a principal may not view is left out of the list without a word (Mesos authorizes
        each entry), so a list without ourselves says nothing of others. The first such list may
        just have been made before we subscribed; and one that comes before we know who we are may
        hold us as a stranger."""
        if event.frameworks is None:
            self.others, self.hidden = None, event.refused
            return
        if ours is None:
            return
        if all(one.framework_id != ours for one in event.frameworks):
            self._without_us += 1
            if self._without_us > 1:
                self.others, self.hidden = None, NOT_EVEN_US
            return
        self._without_us, self.hidden = 0, ""
        shared = (
            OtherFrameworkView(one.framework_id, one.name, tuple(sorted(set(one.roles) & {*roles})))
            for one in event.frameworks
            if one.active and one.framework_id != ours
        )
        others = sorted((one for one in shared if one.roles), key=lambda one: (one.name, one.id))
        self.others = tuple(others[:SHOWN_MAX])
