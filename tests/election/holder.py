"""A process that takes office by a lock file, prints its term, and holds on until it is killed.

python -m tests.election.holder LOCK
"""

import asyncio
import sys
from pathlib import Path

from scheduler.election.single import SingleElection


async def main(lock: Path) -> None:
    election = SingleElection(lock)
    print(await election.campaign(), flush=True)
    await election.watch()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
