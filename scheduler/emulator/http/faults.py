"""Under /emulator: switches for faults, and the judge's account. No Mesos has these pages.

They have no authentication: an emulated cluster is for loopback.
"""

from collections.abc import Callable

import orjson
from aiohttp import web

from scheduler.emulator.http.place import Place
from scheduler.emulator.http.requests import Refused


class Faults:
    def __init__(self, place: Place) -> None:
        self._place = place

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/emulator/tasks", self.tasks),
            web.post("/emulator/agents/{index}/lose", self.lose),
            web.post("/emulator/agents/{index}/return", self.come_back),
            web.post("/emulator/failover", self.fail_over),
            web.post("/emulator/streams/drop", self.drop_streams),
        ]

    async def tasks(self, _: web.Request) -> web.Response:
        """`{task id: {framework_id, agent_id, accepted, launches, ends, state, delivered,
        acknowledged}}` of every task that any master of this cluster ever accepted."""
        self._place.pulse.catch_up()
        return web.Response(
            body=orjson.dumps(self._place.world.judge.tasks), content_type="application/json"
        )

    async def lose(self, request: web.Request) -> web.Response:
        """`?how=killed` (the connection breaks) or `?how=silent` (only pings tell)."""
        world = self._place.world
        how = request.query.get("how", "killed")
        if how not in ("killed", "silent"):
            return web.Response(status=400, text="how is killed or silent")
        died = how == "killed"
        return self._on_agent(request, lambda index: world.lose_agent(index, process_died=died))

    async def come_back(self, request: web.Request) -> web.Response:
        return self._on_agent(request, self._place.world.return_agent)

    async def fail_over(self, request: web.Request) -> web.Response:
        """`?recovering=S`: seconds of 503 before the next master leads."""
        try:
            recovering_s = float(request.query.get("recovering", "0"))
        except ValueError:
            return web.Response(status=400, text="recovering is a number of seconds")
        self._change(lambda: self._place.world.fail_over(recovering_s))
        return web.Response()

    async def drop_streams(self, _: web.Request) -> web.Response:
        self._change(self._place.world.drop_streams)
        return web.Response()

    def _on_agent(self, request: web.Request, change: Callable[[int], None]) -> web.Response:
        try:
            index = int(request.match_info["index"])
            if not 0 <= index < len(self._place.world.agents):
                raise ValueError(index)
        except ValueError:
            return Refused(404, "no such agent").response()
        self._change(lambda: change(index))
        return web.Response()

    def _change(self, change: Callable[[], object]) -> None:
        self._place.pulse.catch_up()
        change()
        self._place.pulse.kick()
