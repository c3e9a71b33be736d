"""The systemd unit: what systemd itself says of it, and what it must agree with elsewhere."""

import configparser
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.debian import ensure_programs

ROOT: Final = Path(__file__).resolve().parents[2]
UNIT: Final = ROOT / "deploy" / "offerd.service"
PROGRAM: Final = "/opt/offerd/bin/offerd"
# The score of systemd-analyze, times ten.
EXPOSURE_MAX: Final = 20
DEADLINE_S: Final = 30.0

pytestmark = pytest.mark.timeout(60, func_only=True)


@pytest.fixture(scope="module")
def systemd_analyze() -> str:
    """Skips these tests where systemd's own judge cannot be had."""
    if missing := ensure_programs({"systemd-analyze": "systemd"}):
        pytest.skip(f"no systemd-analyze: {missing}")
    return "systemd-analyze"


def service() -> configparser.SectionProxy:
    """Keys that stand twice keep their last value, which is enough here."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def judged(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_systemd_finds_nothing_wrong(systemd_analyze: str, tmp_path: Path) -> None:
    """It ends with 0 even for a key that it does not know, so nothing may be said, either."""
    unit = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert PROGRAM in text
    # The program has to exist, and it is not installed here.
    unit.write_text(text.replace(PROGRAM, "/bin/true"))
    ended = judged([systemd_analyze, "verify", "--man=no", str(unit)])
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_service_is_little_exposed(systemd_analyze: str) -> None:
    limit = f"--threshold={EXPOSURE_MAX}"
    ended = judged([systemd_analyze, "security", "--offline=true", limit, str(UNIT)])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_what_a_restart_cannot_help_is_not_restarted() -> None:
    """As the table of exit codes in docs/operations.md says."""
    rows = re.findall(
        r"^\| (\d+) \| .* \| (no|perhaps|yes)? ?\|$",
        (ROOT / "docs" / "operations.md").read_text(),
        re.MULTILINE,
    )
    hopeless = {code for code, helps in rows if helps == "no"}
    assert hopeless
    assert set(service()["RestartPreventExitStatus"].split()) == hopeless


def test_the_daemon_has_time_to_stop() -> None:
    """It ends within ten seconds."""
    assert int(service()["TimeoutStopSec"]) > 10
