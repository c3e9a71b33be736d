"""Sockets to a master, which forget when they are closed what they have not sent.

A call is said by us while we lead. What the kernel holds for a master that cannot be reached it
would go on sending for minutes after close(), and after the process has died, too: calls of an
ended term that reach the master when the network is whole again. `calls` and `stream` use it.
"""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import AddrInfoType

# On, for no time at all: close() discards what is not sent and resets the connection (socket(7)).
_FORGET: Final = struct.pack("ii", 1, 0)


def forgetful_socket(address: AddrInfoType) -> socket.socket:
    """A new one, for whoever is about to connect it."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET)
    return made


def make_forgetful(transport: asyncio.BaseTransport) -> None:
    """The same for one that is connected."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET)
