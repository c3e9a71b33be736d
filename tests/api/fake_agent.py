"""An agent's `/files/read`, with a file's bytes put into the JSON string as real agents do it."""

import re

from aiohttp import web

ANSWER_BYTES_MAX = 64 * 1024


class FakeAgent:
    """`files` by virtual path. `mode`: how it answers (`good`, `garbage`, …);
    `authorization`: whom it answers, if not everybody."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.mode = "good"
        self.asked: list[str] = []
        self.authorization: str | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/files/read", self._read)
        return app

    async def _read(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query["path"])
        given = request.headers.get("Authorization")
        if self.authorization is not None and given != self.authorization:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="agent"'})
        match self.mode:
            case "garbage":
                return web.Response(body=b"<html>")
            case "no data":
                return web.json_response({"offset": 0})
            case "forbidden":
                return web.Response(status=403)
            case "redirect":
                raise web.HTTPFound("http://127.77.5.250/")
            case "long":
                return web.Response(body=b" " * (1024 * 1024))
            case _:
                return self._piece(request)

    def _piece(self, request: web.Request) -> web.Response:
        content = self.files.get(request.query["path"])
        if content is None:
            return web.Response(status=404)
        offset = int(request.query["offset"])
        length = min(int(request.query["length"]), ANSWER_BYTES_MAX)
        data = escaped(content[offset : offset + length])
        body = b'{"data":"%s","offset":%d}' % (data, offset)
        return web.Response(body=body, content_type="application/json")


def escaped(data: bytes) -> bytes:
    """Control characters, quotes and backslashes as JSON wants them; every other byte as it is."""
    return re.sub(rb'[\x00-\x1f"\\]', lambda found: b"\\u%04x" % found.group()[0], data)
