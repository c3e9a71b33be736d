"""How much of it is played: `make faults SEEDS=n KILLS=n`; without, a little, in `make test`."""

import os
from typing import Final

SEEDS: Final = int(os.environ.get("OFFERD_FAULT_SEEDS", "0"))
"""So many seeds of every fault."""
LEAN_SEEDS: Final = 2
"""So many runs of some quick faults after each other, where SEEDS says nothing."""
KILLS: Final = int(os.environ.get("OFFERD_FAULT_KILLS", "0"))
"""So often the leader is killed."""
