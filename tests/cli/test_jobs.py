"""`jobs`, `job`, `scale`, `stop`, `delete`, `agents`, `status`, and what they share."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scheduler.core.effects import Answer, Verdict
from scheduler.core.events import ForgiveAgent, Ticket
from scheduler.core.model.ids import JobId
from scheduler.core.views import OtherFrameworkView, RoleOffersView
from scheduler.runtime.protocols import LeaderInfo
from tests.api.fake_front import FakeFront
from tests.api.test_cluster_routes import NODE
from tests.cli.conftest import DaemonThread, Offerd, invoke

TOKEN = "correct-horse"


@pytest.fixture
def applied(run: Offerd, web_file: str) -> None:
    assert run("apply", web_file).exit_code == 0


@pytest.mark.usefixtures("applied")
class TestWithAJob:
    def test_jobs_are_a_table_for_people(self, run: Offerd) -> None:
        result = run("jobs")
        titles, row = result.stdout.splitlines()
        assert titles.split() == ["JOB", "KIND", "STATE", "INSTANCES", "UPDATE", "CHANGED"]
        assert row.split()[:5] == ["web", "service", "running", "3/3", "running"]
        assert "ROLE" in run("jobs", "-o", "wide").stdout

    def test_jobs_are_json_and_yaml_for_programs(self, run: Offerd) -> None:
        [job] = json.loads(run("jobs", "-o", "json").stdout)
        assert (job["job"], job["tasks"]) == ("web", {"running": 3})
        [same] = yaml.safe_load(run("-o", "yaml", "jobs").stdout)
        assert same == job

    def test_a_job_is_shown_with_its_document(self, run: Offerd) -> None:
        shown = run("job", "web").stdout
        assert "instances:" in shown
        assert yaml.safe_load(shown.partition("\n\n")[2])["command"] == "sleep 60"

    def test_a_job_is_scaled(self, run: Offerd, front: FakeFront) -> None:
        assert run("scale", "web", "5").stdout == "web: changed, version 2\n"
        assert len(front.tasks_by_id) == 5

    def test_a_job_is_stopped(self, run: Offerd) -> None:
        assert run("stop", "web").stdout == "web: stopping, version 1\n"
        assert run("stop", "web").stdout == "web: unchanged, version 1\n"

    def test_a_job_is_deleted(self, run: Offerd, front: FakeFront) -> None:
        result = run("delete", "web", "--wait")
        assert result.stdout.splitlines()[-1] == "web: deleted"
        assert front.jobs_by_id == {}

    def test_deletion_is_waited_for(self, run: Offerd, front: FakeFront) -> None:
        front.answer = Answer(Ticket(1), Verdict.DONE, version=1)
        gone = threading.Timer(0.3, lambda: front.jobs_by_id.clear())
        gone.start()
        result = run("delete", "web", "--wait")
        gone.join()
        assert result.stdout.splitlines()[-1] == "web: deleted"

    def test_deletion_that_takes_too_long_is_a_failure(self, run: Offerd, front: FakeFront) -> None:
        front.answer = Answer(Ticket(1), Verdict.DONE, version=1)
        result = run("delete", "web", "--wait", "--timeout", "100ms")
        assert result.exit_code == 1
        assert "offerd tasks --job web" in result.stderr

    def test_a_refusal_is_told(self, run: Offerd, front: FakeFront) -> None:
        front.answer = Answer(Ticket(1), Verdict.CONFLICT, "the job is being deleted")
        result = run("scale", "web", "5")
        assert (result.exit_code, result.stderr) == (1, "Error: the job is being deleted\n")


def test_a_job_with_a_slash_is_found(run: Offerd, web_file: str, front: FakeFront) -> None:
    path = Path(web_file)
    path.write_text(path.read_text().replace("web", "team/web"))
    assert run("apply", web_file).exit_code == 0
    assert run("job", "team/web").exit_code == 0
    assert run("delete", "team/web").exit_code == 0
    assert JobId("team/web") not in front.jobs_by_id


def test_an_empty_list_is_a_row_of_titles(run: Offerd) -> None:
    assert run("jobs").stdout.split() == ["JOB", "KIND", "STATE", "INSTANCES", "UPDATE", "CHANGED"]
    assert json.loads(run("jobs", "-o", "json").stdout) == []


def test_a_job_that_is_not_there_ends_with_1(run: Offerd) -> None:
    result = run("job", "none")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no job none\n")


def test_agents_are_listed(run: Offerd, front: FakeFront) -> None:
    front.agent_list.append(NODE)
    titles, row = run("agents").stdout.splitlines()
    assert titles.split()[:3] == ["AGENT", "HOST", "ACTIVE"]
    assert row.split() == ["agent-1", "node1", "yes", "2", "?/4", "?/8192", "-", "rack=r1"]
    assert "node1:5051" in run("agents", "-o", "wide").stdout


def test_an_agent_is_forgiven_by_the_leader(run: Offerd, front: FakeFront) -> None:
    result = run("forgive", "agent-1")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no such agent\n")
    assert [
        command.agent_id for command in front.commands if isinstance(command, ForgiveAgent)
    ] == ["agent-1"]
    front.answer = Answer(Ticket(1), Verdict.UNCHANGED, "it was not avoided")
    assert run("forgive", "agent-1").stdout == "agent-1: unchanged (it was not avoided)\n"


def test_status_says_why_the_master_is_not_connected(run: Offerd, front: FakeFront) -> None:
    front.status_changes = {
        "connected": False,
        "disconnected_since": 1_700_000_000.0,
        "not_connected": "10.0.0.1:5050: Connection\nrefused",
    }
    (line,) = (line for line in run("status").stdout.splitlines() if "connected:" in line)
    assert "no, since 2023-11-14" in line
    assert line.endswith("10.0.0.1:5050: Connection refused")
    front.follow(front.leader)
    (line,) = (line for line in run("status").stdout.splitlines() if "connected:" in line)
    assert "no (only the leader is)" in line


def test_status_shows_who_else_is_in_our_roles(run: Offerd, front: FakeFront) -> None:
    assert "also in our roles" not in run("status").stdout
    front.status_changes = {"other_frameworks": (OtherFrameworkView("F-9", "chronos", ("prod",)),)}
    assert "chronos (prod), F-9" in run("status").stdout
    front.status_changes = {"frameworks_hidden": "it answered 403"}
    assert "it answered 403" in run("status").stdout


def test_status_tells_what_the_master_was_told_of_our_roles(run: Offerd, front: FakeFront) -> None:
    told = RoleOffersView("prod", False, ("rack is r1", "rack is r2"), (), 61.0)
    front.status_changes = {"offers": (told, RoleOffersView("*", True, (), (), None))}
    lines = [line.partition(":")[::2] for line in run("status").stdout.splitlines()]
    shown = {name: text.strip() for name, text in lines}
    assert shown["offers for *"] == "suppressed, as nothing waits for them"
    assert shown["offers for prod"] == (
        "wanted, where rack is r1 or rack is r2, some refused by us for up to 61 s"
    )


def test_a_command_of_several_lines_is_shown_as_it_was_written(run: Offerd, web_file: str) -> None:
    path = Path(web_file)
    path.write_text(path.read_text().replace("sleep 60", "|\n  echo a\n  echo b"))
    assert run("apply", web_file).exit_code == 0
    assert "\ncommand: |\n  echo a\n  echo b\n" in run("job", "web").stdout


def test_status_is_shown(run: Offerd, front: FakeFront) -> None:
    shown = run("status").stdout
    assert "offerd-1" in shown
    assert "f0e1d2c3-0000" in shown
    assert json.loads(run("status", "-o", "json").stdout)["connected"] is True
    front.follow(LeaderInfo("offerd-2", "http://offerd-2:8080", 2), age_s=0.5)
    lines = [line.split() for line in run("status").stdout.splitlines()]
    assert ["leading:", "no"] in lines
    assert ["leader:", "offerd-2"] in lines
    assert ["leader's", "URL:", "http://offerd-2:8080"] in lines
    assert ["age:", "0.5", "s"] in lines
    front.follow(None, age_s=None)
    assert ["age:", "-"] in [line.split() for line in run("status").stdout.splitlines()]


def test_a_daemon_that_has_nothing_to_show_is_a_failure(run: Offerd, front: FakeFront) -> None:
    front.follow(None, age_s=None)
    result = run("jobs")
    assert result.exit_code == 1
    assert "neither leads nor follows" in result.stderr


def test_output_is_plain_where_nobody_looks(run: Offerd, web_file: str) -> None:
    run("apply", web_file)
    assert "\x1b" not in run("tasks").stdout


@pytest.fixture
def guarded() -> Iterator[DaemonThread]:
    thread = DaemonThread(token=TOKEN).start()
    yield thread
    thread.stop()


def test_the_token_comes_from_the_environment_or_a_file(
    guarded: DaemonThread, tmp_path: Path
) -> None:
    server = {"OFFERD_SERVER": guarded.url}
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    assert invoke(["jobs"], server | {"OFFERD_TOKEN": TOKEN}).exit_code == 0
    assert invoke(["jobs", "--token-file", str(token_file)], server).exit_code == 0
    assert invoke(["--token-file", str(token_file), "jobs"], server).exit_code == 0


@pytest.mark.parametrize("text", ["", "two\nlines", "\u00fc"])
def test_what_is_no_token_is_bad_usage(tmp_path: Path, text: str) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(text)
    result = invoke(["jobs", "--token-file", str(token_file)], {})
    assert result.exit_code == 2
    assert str(token_file) in result.stderr


def test_without_the_token_the_user_is_told_where_to_put_it(guarded: DaemonThread) -> None:
    result = invoke(["jobs"], {"OFFERD_SERVER": guarded.url, "OFFERD_TOKEN": "wrong-secret"})
    assert result.exit_code == 1
    assert "OFFERD_TOKEN" in result.stderr
    assert "wrong-secret" not in result.stderr


def test_the_option_goes_over_the_variable(daemon: DaemonThread) -> None:
    elsewhere = {"OFFERD_SERVER": "http://127.77.6.1:1"}
    assert invoke(["jobs", "--server", daemon.url], elsewhere).exit_code == 0
    assert invoke(["--server", daemon.url, "jobs"], elsewhere).exit_code == 0
    assert (
        invoke(["--server", "http://127.77.6.1:1", "jobs", "--server", daemon.url], {}).exit_code
        == 0
    )


def test_several_servers_are_tried_in_turn(daemon: DaemonThread, web_file: str) -> None:
    several = {"OFFERD_SERVER": f"http://127.77.6.1:1,{daemon.url}"}
    assert invoke(["apply", web_file, "--wait"], several).exit_code == 0
    assert "3/3" in invoke(["jobs"], several).stdout
