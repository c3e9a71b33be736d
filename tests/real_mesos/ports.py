"""Addresses and ports that belong to one cluster on this machine, without any coordination.

A cluster claims a block of ports below the kernel's ephemeral range, so that nothing outside can
take one of them while a killed master is away. The block's number also names loopback addresses,
one for each master and agent: so each agent has a host name of its own, as on real machines.
"""

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Self

FIRST_PORT = 12_000
BLOCK_PORTS = 500
BLOCKS = 38
NODE_PORTS = 4  # the claim, masters, agents, ZooKeeper; addresses tell the nodes apart
MASTERS_MAX = 10
AGENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port to listen on."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortBlock:
    """A claimed block: a bound socket on its first port is the claim, and dies with its owner."""

    number: int
    claim_socket: socket.socket

    @classmethod
    def claim(cls) -> Self:
        """Takes a free block; processes begin at different ones. Raises OSError if none is free."""
        for attempt in range(BLOCKS):
            number = (os.getpid() + attempt) % BLOCKS
            claimed = _bound(FIRST_PORT + number * BLOCK_PORTS)
            if claimed is not None:
                return cls(number, claimed)
        raise OSError(f"all {BLOCKS} blocks of ports are in use")

    def release(self) -> None:
        """Lets another cluster take the block."""
        self.claim_socket.close()

    @property
    def base(self) -> int:
        """The block's first port, which holds the claim."""
        return FIRST_PORT + self.number * BLOCK_PORTS

    def master(self, index: int) -> Endpoint:
        """Where master `index` listens."""
        return Endpoint(f"127.90.{self.number}.{1 + index}", self.base + 1)

    def agent(self, index: int) -> Endpoint:
        """Where agent `index` listens."""
        return Endpoint(f"127.90.{self.number}.{11 + index}", self.base + 2)

    def zookeeper(self) -> Endpoint:
        """Where the cluster's ZooKeeper listens."""
        return Endpoint(f"127.90.{self.number}.1", self.base + 3)

    def addresses(self, masters: int, agents: int) -> list[str]:
        """Every address that a cluster of that size uses."""
        endpoints = [self.master(index) for index in range(masters)]
        endpoints += [self.agent(index) for index in range(agents)]
        return [endpoint.address for endpoint in endpoints]

    def task_ports(self, index: int, agents: int) -> tuple[int, int]:
        """First and last port that agent `index` of `agents` offers to tasks."""
        share = (BLOCK_PORTS - NODE_PORTS) // agents
        first = self.base + NODE_PORTS + index * share
        return first, first + share - 1


def _bound(port: int) -> socket.socket | None:
    claimed = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with contextlib.suppress(OSError):
        claimed.bind(("127.0.0.1", port))
        return claimed
    claimed.close()
    return None
