"""Under /emulator: switches for faults, and the judge's account. No Mesos has these pages.

They have no authentication: an emulated cluster is for loopback.
"""

from collections.abc import Callable

import orjson

from scheduler.emulator.http.messages import Request, Response
from scheduler.emulator.http.place import Place
from scheduler.emulator.http.requests import JSON, Refused

Page = Callable[[Request], Response]

_OF_AGENT = ("lose", "return", "replace", "preempt")


class Faults:
    def __init__(self, place: Place) -> None:
        self._place = place

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and path; those of single agents are in `of_agent`."""
        return {
            ("GET", "/emulator/tasks"): self.tasks,
            ("POST", "/emulator/failover"): self.fail_over,
            ("POST", "/emulator/streams/drop"): self.drop_streams,
        }

    def tasks(self, _: Request) -> Response:
        """`{task id: {framework_id, agent_id, accepted, launches, ends, state, delivered,
        acknowledged}}` of every task that any master of this cluster ever accepted."""
        self._place.pulse.catch_up()
        return Response(200, orjson.dumps(self._place.world.judge.tasks), JSON)

    def of_agent(self, request: Request) -> Response:
        """POST /emulator/agents/{index}/lose, …/return, …/replace and …/preempt. `?how=killed` (the
        connection breaks) or `?how=silent` (only pings tell) says how it is lost."""
        match request.path.split("/")[3:]:
            case [index, what] if what in _OF_AGENT and request.method == "POST":
                agent = self._index(index)
            case _:
                raise Refused(404, "no such page")
        world = self._place.world
        how = request.query.get("how", "killed")
        if how not in ("killed", "silent"):
            raise Refused(400, "how is killed or silent")
        if what == "return":
            return self._changed(lambda: world.return_agent(agent))
        if what == "replace":
            return self._changed(lambda: world.replace_agent(agent))
        if what == "preempt":
            return self._changed(lambda: world.preempt(agent))
        return self._changed(lambda: world.lose_agent(agent, process_died=how == "killed"))

    def fail_over(self, request: Request) -> Response:
        """`?recovering=S`: seconds of 503 before the next master leads."""
        try:
            recovering_s = float(request.query.get("recovering", "0"))
        except ValueError:
            raise Refused(400, "recovering is a number of seconds") from None
        return self._changed(lambda: self._place.world.fail_over(recovering_s))

    def drop_streams(self, _: Request) -> Response:
        return self._changed(self._place.world.drop_streams)

    def _index(self, text: str) -> int:
        agents = len(self._place.world.agents)
        if not text.isdecimal() or int(text) >= agents:
            raise Refused(404, f"agents are 0 to {agents - 1}")
        return int(text)

    def _changed(self, change: Callable[[], object]) -> Response:
        self._place.pulse.catch_up()
        change()
        self._place.pulse.kick()
        return Response(200)
