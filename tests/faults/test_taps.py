"""Taps leave nothing behind, whoever connects while they close."""

import asyncio
import gc
import socket
import warnings

import pytest

from tests.faults.taps import HOST, Tap


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_at_the_end_is_closed(turns: int) -> None:
    tap = Tap("daemon-0", f"{HOST}:1", HOST, 0.0)
    await tap.listen()
    host, port = tap.address.split(":")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        # The kernel takes it; the loop finds it in one of its next turns.
        with socket.create_connection((host, int(port))):
            for _ in range(turns):
                await asyncio.sleep(0)
            await tap.close()
        gc.collect()
    assert [str(one.message) for one in warned] == []
