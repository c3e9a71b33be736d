"""What `status` shows of a cluster: who else is in our role, and why there is no master."""

from typing import Any

import pytest

from tests.ha.conftest import Company
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120, func_only=True)


def test_another_framework_in_our_role_is_shown(company: Company) -> None:
    often: dict[str, Any] = {"operator": {"agents_interval": "500ms"}}
    ours, stranger = company.hire(**often), company.hire(**often)
    own_id = ours.start().wait_until_connected()
    framework = company.settings("", "")["framework"] | {"name": f"{company.name}-other"}
    settings = company.settings("stranger", stranger.url) | often | {"framework": framework}
    stranger.configure(settings)
    other_id = stranger.start().wait_until_connected()

    def others() -> list[str]:
        return [one["id"] for one in ours.api.status()["other_frameworks"] or ()]

    wait_until(lambda: other_id in others(), "the other framework to be seen")
    assert own_id not in others()
    shown = ours.command("status").stdout
    assert f"{company.name}-other (*), {other_id}" in shown
    assert stranger.sigterm() == 0
    wait_until(lambda: other_id not in others(), "a framework that went away to be gone")


def test_status_says_why_there_is_no_master(company: Company) -> None:
    daemon = company.hire(master="http://127.77.8.1:1").start()
    wait_until(lambda: daemon.api.status()["leading"], "it to lead")
    reason = wait_until(lambda: daemon.api.status()["not_connected"], "a reason")
    assert "127.77.8.1:1" in reason
    line = next(
        line for line in daemon.command("status").stdout.splitlines() if "connected:" in line
    )
    assert "no, since" in line
    assert "127.77.8.1:1" in line
