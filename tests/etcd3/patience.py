"""Waiting, in a coroutine, for what is to come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

POLL_S: Final = 0.02


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, deadline_s: float = 10.0
) -> None:
    """Polls until the condition holds. Raises AssertionError naming `what` was waited for."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        assert loop.time() < end, f"waited {deadline_s:g} s for {what}"
        await asyncio.sleep(POLL_S)
