"""`explain` and `queue`."""

import json
from pathlib import Path

import yaml

from tests.api.fake_front import FakeFront
from tests.api.test_waiting_routes import WEB, a_question, a_waiting
from tests.cli.conftest import Offerd


def test_why_a_job_waits_is_told_in_sentences_and_a_table(run: Offerd, front: FakeFront) -> None:
    front.questions[WEB] = a_question()
    shown = run("explain", "team/web").stdout.splitlines()
    assert shown[0].startswith("team/web: 2 of 3 instances wait for an offer. 2 agents:")
    assert shown[1].startswith("It has waited since 2023-11-")
    titles, row = shown[-2:]
    assert titles.split() == ["REASON", "AGENTS", "ALONE", "SHORT", "UNTIL", "WHY"]
    assert row.split()[:5] == ["constraint", "2", "2", "-", "-"]


def test_why_a_job_waits_is_json_and_yaml_for_programs(run: Offerd, front: FakeFront) -> None:
    front.questions[WEB] = a_question()
    told = json.loads(run("explain", "team/web", "-o", "json").stdout)
    assert [reason["reason"] for reason in told["reasons"]] == ["constraint"]
    assert yaml.safe_load(run("explain", "team/web", "-o", "yaml").stdout) == told


def test_one_agent_is_looked_at_closely(run: Offerd, front: FakeFront) -> None:
    front.questions[WEB] = a_question()
    assert run("explain", "team/web", "--agent", "a1").stdout == "a1: fails `rack is r9`\n"
    assert run("explain", "team/web", "--agent", "a9").exit_code == 1


def test_a_job_that_is_not_there_is_not_explained(run: Offerd) -> None:
    result = run("explain", "nobody")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no job nobody\n")


def test_the_queue_is_a_table(run: Offerd, front: FakeFront) -> None:
    front.waiting = [a_waiting("a"), a_waiting("b")]
    titles, first, _ = run("queue").stdout.splitlines()
    assert titles.split()[:5] == ["JOB", "STATE", "PRIORITY", "OWNER", "SHARE"]
    assert first.split()[:5] == ["a", "parked", "50", "-", "25.0%"]


def test_a_plan_is_shown_job_by_job_and_agent_by_agent(run: Offerd, web_file: str) -> None:
    shown = run("plan", web_file).stdout.splitlines()
    assert shown[0] == "web: new: start 3"
    assert shown[1].split() == ["AGENT", "HOST", "TAKES", "OFFERED", "VERDICT"]
    assert shown[2].split() == ["S-a1", "a1", "3", "no", "takes", "3"]
    assert shown[3].endswith("would do, and is not needed")
    assert run("jobs").stdout.splitlines()[1:] == []


def test_a_plan_shows_what_differs(run: Offerd, web_file: str) -> None:
    run("apply", web_file)
    path = Path(web_file)
    path.write_text(path.read_text().replace("sleep 60", "sleep 90"))
    shown = run("plan", web_file).stdout.splitlines()
    assert shown == ["web: changed: keep 3", "  command: sleep 60 -> sleep 90"]
    told = json.loads(run("plan", web_file, "-o", "json").stdout)
    assert [job["result"] for job in told["jobs"]] == ["changed"]


def test_a_bad_file_is_no_plan(run: Offerd, web_file: str) -> None:
    Path(web_file).write_text("job: web\n")
    assert run("plan", web_file).exit_code == 2
