"""`validate`, `apply`, `schema`."""

import json
import threading
from pathlib import Path

import jsonschema

from scheduler.core.events import ApplyJob
from scheduler.core.model.ids import JobId
from scheduler.core.model.instance import AttemptState
from tests.api.fake_front import FakeFront
from tests.cli.conftest import BATCH_YAML, HOST, WEB_YAML, DaemonThread, Offerd, invoke

BAD_YAML = WEB_YAML.replace("instances: 3", "instances: many").replace("kind", "kindd")


def test_good_files_are_valid(web_file: str) -> None:
    result = invoke(["validate", web_file], {})
    assert (result.exit_code, result.stdout) == (0, "web: ok\n")


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD_YAML)
    result = invoke(["validate", str(path)], {})
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{path}:3: instances: " in result.stderr
    assert f"{path}:2: kindd: " in result.stderr


def test_a_file_that_is_not_there_ends_with_2() -> None:
    result = invoke(["validate", "/nowhere.yaml"], {})
    assert result.exit_code == 2
    assert "/nowhere.yaml" in result.stderr


def test_apply_says_what_became_of_each_job(run: Offerd, web_file: str, tmp_path: Path) -> None:
    assert run("apply", web_file).stdout == "web: created, version 1\n"
    assert run("apply", web_file).stdout == "web: unchanged, version 1\n"
    Path(web_file).write_text(WEB_YAML.replace("60", "61"))
    (tmp_path / "count.yaml").write_text(BATCH_YAML)
    result = run("apply", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout == "count: created, version 1\nweb: changed, version 2\n"


def test_apply_reads_standard_input(daemon: DaemonThread) -> None:
    result = invoke(["apply", "-"], {"OFFERD_SERVER": daemon.url}, text=WEB_YAML)
    assert result.stdout == "web: created, version 1\n"


def test_a_role_that_is_left_out_is_the_daemons(
    run: Offerd, front: FakeFront, web_file: str
) -> None:
    assert run("apply", web_file).exit_code == 0
    Path(web_file).write_text(WEB_YAML + "role: other\n")
    assert run("apply", web_file).exit_code == 0
    roles = [c.spec.template.role for c in front.commands if isinstance(c, ApplyJob)]
    assert roles == ["prod", "other"]


def test_with_a_bad_file_nothing_is_sent(
    run: Offerd, front: FakeFront, web_file: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(BAD_YAML)
    assert run("apply", str(tmp_path)).exit_code == 2
    assert front.commands == []


def test_a_job_that_is_refused_does_not_keep_the_others_back(
    run: Offerd, front: FakeFront, web_file: str, tmp_path: Path
) -> None:
    (tmp_path / "count.yaml").write_text(BATCH_YAML)
    run("apply", str(tmp_path / "count.yaml"))
    front.jobs_by_id[JobId("count")].state = "deleting"
    result = run("apply", str(tmp_path), "--wait")
    assert result.exit_code == 1
    assert result.stdout == "web: created, version 1\n"
    assert "count: refused: the job is being deleted" in result.stderr
    assert "not applied: count" in result.stderr


def test_apply_waits_until_services_run_and_batches_finished(
    run: Offerd, front: FakeFront, web_file: str, tmp_path: Path
) -> None:
    (tmp_path / "count.yaml").write_text(BATCH_YAML)
    front.first_state = AttemptState.STARTING
    arrive = threading.Timer(0.3, lambda: _arrive(front))
    arrive.start()
    result = run("apply", str(tmp_path), "--wait", "--timeout", "20s")
    arrive.join()
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("all there\n")


def _arrive(front: FakeFront) -> None:
    for task in list(front.tasks_by_id.values()):
        batch = task.job == "count"
        front.set_state(task.id, AttemptState.FINISHED if batch else AttemptState.RUNNING)


def test_waiting_tells_what_is_wrong_at_the_deadline(
    run: Offerd, front: FakeFront, web_file: str
) -> None:
    front.first_state = AttemptState.LAUNCHING
    run("apply", web_file)
    front.set_state("web.0.1.u1", AttemptState.RUNNING)
    front.set_state("web.1.1.u1", AttemptState.LAUNCHING, "pulling\x1b[2J the image")
    result = run("apply", web_file, "--wait", "--timeout", "100ms")
    assert result.exit_code == 1
    assert "web: not there after 0.1 s: 1 of 3 running" in result.stderr
    assert "web/1 launching: pulling [2J the image" in result.stderr


def test_a_failed_batch_is_told_at_once(run: Offerd, front: FakeFront, tmp_path: Path) -> None:
    (tmp_path / "count.yaml").write_text(BATCH_YAML)
    run("apply", str(tmp_path))
    front.set_state("count.0.1.u1", AttemptState.FINISHED)
    front.set_state("count.1.1.u1", AttemptState.FAILED, "exit status 3")
    result = run("apply", str(tmp_path), "--wait", "--timeout", "20s")
    assert result.exit_code == 1
    assert "count: failed: 1 of 2 finished" in result.stderr
    assert "count/1 failed: exit status 3" in result.stderr


def test_an_update_that_halts_is_a_failure(run: Offerd, front: FakeFront, web_file: str) -> None:
    run("apply", web_file)
    [job] = front.jobs_by_id.values()
    job.update = "2 of 3 instances run an older version; halted, instance 0 failed: exit 3"
    job.halted = True
    result = run("apply", web_file, "--wait", "--timeout", "20s")
    assert result.exit_code == 1
    assert "does not go on" in result.stderr
    assert "instance 0 failed: exit 3" in result.stderr


def test_an_update_that_goes_on_is_waited_for(run: Offerd, front: FakeFront, web_file: str) -> None:
    run("apply", web_file)
    [job] = front.jobs_by_id.values()
    job.update = "1 of 3 instances run an older version"
    updated = threading.Timer(0.3, lambda: setattr(job, "update", ""))
    updated.start()
    result = run("apply", web_file, "--wait", "--timeout", "20s")
    updated.join()
    assert result.exit_code == 0, result.stderr


def test_the_schema_takes_what_validate_takes() -> None:
    import yaml

    schema = json.loads(invoke(["schema"], {}).stdout)
    jsonschema.validate(yaml.safe_load(WEB_YAML), schema)


def test_an_unreachable_daemon_says_what_to_do(web_file: str) -> None:
    result = invoke(["apply", web_file, "--server", f"http://{HOST}:1"], {})
    assert result.exit_code == 1
    assert f"nothing listens at http://{HOST}:1" in result.stderr
    assert "offerd run" in result.stderr
