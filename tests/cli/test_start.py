"""The command before it asks anything: help, version, usage, quick start."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scheduler import __version__
from scheduler.cli.main import COMMANDS, main
from tests.cli.conftest import invoke

ROOT = Path(__file__).parents[2]
HEAVY = ("aiohttp", "pydantic", "yaml", "numpy", "msgspec", "structlog", "uvloop")


def imported_by(*arguments: str, **env: str) -> set[str]:
    """The heavy modules that are in memory after `offerd` ran with these arguments."""
    script = (
        "import sys\n"
        "from scheduler.cli.main import offerd\n"
        "offerd(sys.argv[1:], prog_name='offerd', standalone_mode=False)\n"
        f"print('heavy:', *(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=os.environ | env,
    )
    return set(done.stdout.rpartition("heavy:")[2].split())


@pytest.mark.parametrize("arguments", [("--help",), ("apply", "--help"), ("run", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported_by(*arguments) == set()


def test_completion_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from scheduler.cli.main import offerd\n"
        "try:\n"
        "    offerd([], prog_name='offerd', complete_var='_OFFERD_COMPLETE')\n"
        "except SystemExit:\n"
        f"    print('heavy:', *(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    env = {"_OFFERD_COMPLETE": "bash_complete", "COMP_WORDS": "offerd st", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=os.environ | env,
    )
    assert done.stdout.splitlines() == ["plain,stop", "plain,status", "heavy:"]


def test_asking_a_daemon_imports_no_framework() -> None:
    env = {"OFFERD_SERVER": "http://127.77.6.1:1"}
    with pytest.raises(subprocess.CalledProcessError) as failed:
        imported_by("jobs", **env)
    assert "Unreached" in failed.value.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    result = invoke([name, "--help"], {})
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: offerd {name}")


def test_help_lists_every_command() -> None:
    result = invoke(["--help"], {})
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout
    assert not any(line.endswith("...") for line in result.stdout.splitlines()[1:])  # none is cut


def test_a_command_that_is_nearly_one_is_told() -> None:
    result = invoke(["exlain", "web"], {})
    assert result.exit_code == 2
    assert "there is no command exlain (did you mean explain?)" in result.stderr


def test_version() -> None:
    result = invoke(["--version"], {})
    assert (result.exit_code, result.stdout) == (0, f"offerd {__version__}\n")


def test_the_installed_command_is_this_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["offerd"].partition(":")
    assert getattr(importlib.import_module(module), name) is main


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("job",),
        ("scale", "web"),
        ("scale", "web", "many"),
        ("scale", "web", "-1"),
        ("jobs", "-o", "xml"),
        ("delete", "web", "--timeout", "soon"),
        ("jobs", "--server", "ftp://x"),
        ("jobs", "--server", "http://x:port"),
        ("jobs", "--token-file", "/nowhere/at/all"),
        ("emulate", "--attribute", "rack"),
    ],
)
def test_bad_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = invoke(arguments, {})
    assert result.exit_code == 2
    assert "Error" in result.stderr


def test_settings_that_cannot_be_used_end_run_with_2() -> None:
    result = invoke(["run", "-c", "/nowhere/offerd.yaml"], {})
    assert result.exit_code == 2
    assert "/nowhere/offerd.yaml" in result.stderr
