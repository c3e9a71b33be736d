"""The emulator's end of the warden: starts it, gives it orders, hears its news.

After `Keeper.close` no process that it started is left. It knows processes and signals, not
tasks. `warden` tells why there is one.
"""

import asyncio
import itertools
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.emulator.process import warden
from scheduler.emulator.process.launch_failed import LaunchFailed
from scheduler.emulator.process.warden import Order
from scheduler.errors import OfferdError

STARTS_MAX: Final = 32
"""Orders under way at once; more wait their turn, so that the pipe to the warden stays short."""
START_S: Final = 60.0
WARDEN_END_S: Final = 10.0
ERROR_CHARACTERS: Final = 500


class WardenEnded(OfferdError):
    """The warden is gone, and every task with it; the emulator can't go on."""


@dataclass(frozen=True, slots=True)
class Run:
    """A process that was started. `code` is its exit code, -n if signal n ended it."""

    order_id: int
    pid: int
    code: asyncio.Future[int]

    async def ended(self) -> int:
        """Waits for its end, as long as that takes; the wait may be cancelled."""
        return await asyncio.shield(self.code)


class Keeper:
    """Made by `start_keeper`."""

    def __init__(self, process: Process, root: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._orders = process.stdin
        self._news = process.stdout
        self._root = root
        self._ids = itertools.count(1)
        self._starts = asyncio.Semaphore(STARTS_MAX)
        self._starting: dict[int, asyncio.Future[int]] = {}
        self._codes: dict[int, asyncio.Future[int]] = {}
        self._closing = False

    async def start(
        self,
        command: tuple[str, list[str]],
        environment: Mapping[str, str],
        directory: Path,
        *,
        stdout: Path,
        stderr: Path,
    ) -> Run:
        """Starts (program, argv) as the leader of a session; raises LaunchFailed if it can't be.

        If the wait is cancelled, the process is killed as soon as it is there.
        """
        program, arguments = command
        loop = asyncio.get_running_loop()
        order = Order(
            id=next(self._ids),
            program=program,
            arguments=arguments,
            environment=dict(environment),
            directory=str(directory),
            stdout=str(stdout),
            stderr=str(stderr),
        )
        async with self._starts:
            started = self._starting[order.id] = loop.create_future()
            code = self._codes[order.id] = loop.create_future()
            self._send({"start": vars(order)})
            try:
                async with asyncio.timeout(START_S):
                    await self._orders.drain()
                    return Run(order.id, await started, code)
            except LaunchFailed as error:
                raise LaunchFailed(f"{program}: {error}") from None
            except TimeoutError:
                self._send({"signal": order.id, "number": signal.SIGKILL})
                raise LaunchFailed(f"{program}: not started within {START_S:g} s") from None
            except asyncio.CancelledError:
                self._send({"signal": order.id, "number": signal.SIGKILL})
                raise

    def signal(self, run: Run, number: int) -> None:
        """Signals a process, its group and all that came from it; nothing once it has ended."""
        if not run.code.done():
            self._send({"signal": run.order_id, "number": number})

    def _send(self, order: Mapping[str, object]) -> None:
        if not self._closing:
            self._orders.write(json.dumps(order).encode() + b"\n")

    async def listen(self) -> None:
        """Passes the news on until the warden ends; raises WardenEnded if nobody asked it to."""
        while line := await self._news.readline():
            self._take(json.loads(line))
        if not self._closing:
            await asyncio.to_thread(warden.end_marked, str(self._root))
            raise WardenEnded(
                f"the warden of the emulated tasks ended ({await self._process.wait()})"
            )

    def _take(self, news: Mapping[str, int | str]) -> None:
        match news:
            case {"started": int(order_id), "pid": int(pid)}:
                started = self._starting.pop(order_id)
                if not started.done():  # nobody waits for it any more
                    started.set_result(pid)
            case {"failed": int(order_id), "error": str(error)}:
                del self._codes[order_id]
                started = self._starting.pop(order_id)
                if not started.done():
                    started.set_exception(LaunchFailed(error[:ERROR_CHARACTERS]))
            case {"ended": int(order_id), "code": int(code)}:
                self._codes.pop(order_id).set_result(code)
            case _:
                raise WardenEnded(f"the warden said {news!r}")

    async def close(self) -> None:
        """Ends every process (SIGTERM, then SIGKILL) and the warden."""
        self._closing = True
        self._orders.close()
        try:
            async with asyncio.timeout(warden.STOP_GRACE_S + WARDEN_END_S):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


async def start_keeper(root: Path) -> Keeper:
    """A keeper, with a warden of its own, for tasks whose sandboxes are under `root`.

    Whoever starts it runs `listen` and in the end `close`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", warden.__file__,
        stdin=PIPE, stdout=PIPE, start_new_session=True,
    )  # fmt: skip
    return Keeper(process, root)
