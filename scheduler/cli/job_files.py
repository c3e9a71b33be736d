"""`offerd validate`, `apply`, `schema`: what works on job files.

Files are read and judged here, so that every problem of every file is shown before anything is
sent; the daemon judges again. Neighbours: `scheduler.jobspec`, `waiting`.
"""

import json
from typing import TYPE_CHECKING, Final

import click

from scheduler.cli.client import Client, RequestFailed
from scheduler.cli.jobs import print_result
from scheduler.cli.options import DURATION, server_options
from scheduler.cli.waiting import wait_until_there

if TYPE_CHECKING:
    from scheduler.core.model.job import JobSpec

BAD_FILE: Final = 2
PATHS: Final = click.argument("paths", metavar="PATH…", nargs=-1, required=True)


@click.command()
@PATHS
def validate(paths: tuple[str, ...]) -> None:
    """Check job files. PATH may be a folder, or - for standard input."""
    jobs = read_files(paths)
    for job in jobs:
        click.echo(f"{job.job}: ok")


@click.command()
@PATHS
@click.option("--wait", is_flag=True, help="Return when services run and batches finished.")
@click.option("--timeout", type=DURATION, default="5m", show_default=True, help="With --wait.")
@server_options
def apply(paths: tuple[str, ...], wait: bool, timeout: float, client: Client) -> None:
    """Declare the jobs of files. PATH may be a folder, or - for standard input."""
    jobs = read_files(paths)
    refused = [job.job for job in jobs if not _declare(client, job)]
    if refused:
        raise RequestFailed(f"not applied: {', '.join(refused)}")
    if wait:
        wait_until_there(client, [job.job for job in jobs], timeout)
        click.echo("all there")


@click.command()
def schema() -> None:
    """Print the JSON schema of job files, for editors."""
    from scheduler.jobspec import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _declare(client: Client, job: "JobSpec") -> bool:
    """False, and said so, when the daemon refuses this one job: the others may be good."""
    try:
        print_result(client.post("jobs", body=document_to_send(job)))
    except RequestFailed as error:
        if error.status not in (400, 409):
            raise
        click.echo(f"{job.job}: refused: {error.message}", err=True)
        return False
    return True


def read_files(paths: tuple[str, ...]) -> "tuple[JobSpec, ...]":
    """The jobs of all files; with any problem: all of them on stderr, and the command ends."""
    from scheduler.core.model.ids import Role
    from scheduler.jobspec import JobDefaults, load_paths

    parsed = load_paths(paths, JobDefaults(role=Role("")))
    for problem in parsed.problems:
        click.echo(str(problem), err=True)
    if parsed.problems:
        click.get_current_context().exit(BAD_FILE)
    return parsed.jobs


def document_to_send(job: "JobSpec") -> dict[str, object]:
    """The job's document. A role that was left out stays out: the daemon's settings say it."""
    from scheduler.jobspec import to_document

    document = to_document(job)
    return {key: value for key, value in document.items() if (key, value) != ("role", "")}
