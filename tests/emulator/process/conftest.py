"""An agent for each test; nothing that it started may outlive the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.emulator.process.agents import Agent, an_agent, living


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with an_agent(tmp_path) as one:
        yield one
    assert living(tmp_path) == set()
