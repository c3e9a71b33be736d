"""docs/cli.md names every command, and no other."""

import re
from pathlib import Path

from scheduler.cli.main import COMMANDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_reference_has_every_command_and_no_other() -> None:
    told = re.findall(r"^\| `offerd ([a-z]+)", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(COMMANDS)
