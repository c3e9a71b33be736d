"""The example jobs: three that three small agents hold together."""

from pathlib import Path

from scheduler.core.model.job import HttpProbe, JobSpec, Kind, Shell
from scheduler.core.model.resources import Amounts
from scheduler.jobspec import load_paths
from tests.jobspec.documents import DEFAULTS

EXAMPLES = Path(__file__).parents[2] / "config" / "jobs"


def examples() -> dict[str, JobSpec]:
    parsed = load_paths([EXAMPLES], DEFAULTS)
    assert parsed.problems == ()
    return {job.job: job for job in parsed.jobs}


def test_the_examples_are_a_service_a_batch_and_one_that_fails() -> None:
    jobs = examples()
    assert {name: (job.kind, job.instances) for name, job in jobs.items()} == {
        "flaky": (Kind.SERVICE, 1),
        "numbers": (Kind.BATCH, 20),
        "web": (Kind.SERVICE, 3),
    }


def test_every_task_of_the_examples_is_tiny() -> None:
    assert {job.template.amounts for job in examples().values()} == {Amounts(cpus=100, mem=32_000)}


def test_the_web_server_gets_the_signals_and_is_checked_on_its_port() -> None:
    template = examples()["web"].template
    assert isinstance(template.command, Shell)
    assert "\nexec python3 -m http.server" in template.command.line
    assert template.health is not None
    assert template.health.probe == HttpProbe(template.ports[0].name)
