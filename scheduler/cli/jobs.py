"""`offerd jobs`, `job`, `scale`, `stop`, `delete`."""

from typing import Final

import click

from scheduler.cli.client import Client, Fields
from scheduler.cli.options import DURATION, output_option, server_options
from scheduler.cli.output import (
    Column,
    age,
    clean,
    field,
    moment,
    plain,
    print_fields,
    print_items,
    yaml_of,
)
from scheduler.cli.waiting import wait_until_deleted

COLUMNS: Final = (
    field("JOB", "job"),
    field("KIND", "kind"),
    field("STATE", "state"),
    Column("INSTANCES", lambda job: counts_of(job)),
    field("UPDATE", "update"),
    field("ROLE", "role", wide=True),
    field("PRIORITY", "priority", wide=True),
    field("VERSION", "version", wide=True),
    field("LABELS", "labels", wide=True),
    Column("CHANGED", lambda job: age(job["changed_at"])),
)


def counts_of(job: Fields) -> str:
    """`3/3 running`, or `2/3 running, 1 queued`."""
    counts = {state: count for state, count in job["tasks"].items() if count}
    main = "finished" if job["kind"] == "batch" else "running"
    text = [f"{counts.pop(main, 0)}/{job['instances']} {main}"]
    text += [f"{count} {state}" for state, count in sorted(counts.items())]
    return ", ".join(text)


@click.command()
@server_options
@output_option
def jobs(client: Client, form: str) -> None:
    """List jobs."""
    print_items(form, client.pages("jobs"), COLUMNS)


@click.command()
@click.argument("job")
@server_options
@output_option
def job(job: str, client: Client, form: str) -> None:
    """Show one JOB with its document."""
    data = client.get("jobs", job)
    rows = [
        ("job", plain(data["job"])),
        ("kind", plain(data["kind"])),
        ("state", plain(data["state"])),
        ("instances", counts_of(data)),
        ("update", plain(data["update"])),
        ("version", plain(data["version"])),
        ("created", moment(data["created_at"])),
        ("changed", moment(data["changed_at"])),
        ("ended", moment(data["ended_at"])),
    ]
    print_fields(form, data, rows)
    if form in ("table", "wide"):
        click.echo("")
        click.echo(yaml_of(data["spec"]), nl=False)


@click.command()
@click.argument("job")
@click.argument("instances", metavar="N", type=click.IntRange(min=0))
@server_options
def scale(job: str, instances: int, client: Client) -> None:
    """Change how many instances JOB has."""
    answer = client.post("jobs", job, "scale", body={"instances": instances})
    print_result(answer)


@click.command()
@click.argument("job")
@server_options
def stop(job: str, client: Client) -> None:
    """End all tasks of JOB and keep it; apply starts it again."""
    print_result(client.post("jobs", job, "stop"))


@click.command()
@click.argument("job")
@click.option("--wait", is_flag=True, help="Return when the job is gone.")
@click.option("--timeout", type=DURATION, default="5m", show_default=True, help="With --wait.")
@server_options
def delete(job: str, wait: bool, timeout: float, client: Client) -> None:
    """End all tasks of JOB and forget it."""
    print_result(client.delete("jobs", job))
    if wait:
        wait_until_deleted(client, job, timeout)
        click.echo(f"{job}: deleted")


def print_result(answer: Fields) -> None:
    """`web: changed, version 2`."""
    version = f", version {answer['version']}" if answer.get("version") is not None else ""
    more = clean(answer.get("detail") or "")
    detail = f" ({more})" if more and more != answer["result"] else ""
    click.echo(f"{answer['job']}: {answer['result']}{version}{detail}")
