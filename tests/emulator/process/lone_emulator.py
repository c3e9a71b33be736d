"""A process of its own that runs tasks until it is killed; see `test_leftovers`.

    python -m tests.emulator.process.lone_emulator WORK_DIR COMMAND…

says `running` once every task is.
"""

import asyncio
import sys
from pathlib import Path

from scheduler.mesos.proto import mesos_v1_pb2 as mesos
from tests.emulator.process.agents import an_agent


async def run(work_dir: Path, commands: list[str]) -> None:
    async with an_agent(work_dir) as agent:
        for number, command in enumerate(commands):
            agent.launch(f"t{number}", command)
        for number in range(len(commands)):
            await agent.said(f"t{number}", mesos.TASK_RUNNING)
        sys.stdout.write("running\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2:]))
