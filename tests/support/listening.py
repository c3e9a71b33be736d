"""The end of a server in a test: no connection is lost in it."""

import asyncio
from typing import Final

TURNS: Final = 4
"""From a connection that was accepted to one that its owner knows, and has closed."""


async def stop_listening(server: asyncio.Server) -> None:
    """Closes it, when all that it has accepted was given to its owner.

    asyncio accepts in one turn of the loop and makes a transport in the next. Where the server was
    closed in between, that fails, and leaves a transport and a socket which nobody owns; they are
    collected with two warnings, in whichever test runs by then.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
