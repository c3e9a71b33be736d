"""`offerd tasks`, `task`, `kill`."""

from typing import Final

import click

from scheduler.cli.addresses import find_task, find_task_to_end
from scheduler.cli.client import Client, Fields
from scheduler.cli.options import output_option, server_options
from scheduler.cli.output import Column, age, clean, field, moment, plain, print_fields, print_items


def why(task: Fields) -> str:
    """What there is to say of a task's state: why it waits, or what its last status said."""
    if task["state"] == "running":
        return plain(task["message"])
    return plain(task["waits_for"] or task["message"] or task["reason"])


COLUMNS: Final = (
    field("ID", "id"),
    field("JOB", "job", wide=True),
    Column("INSTANCE", lambda task: f"{clean(task['job'])}/{task['instance']}"),
    field("STATE", "state"),
    field("HEALTHY", "healthy", wide=True),
    field("HOST", "hostname"),
    field("PORTS", "ports"),
    field("VERSION", "version", wide=True),
    field("FAILURES", "failures", wide=True),
    field("AGENT", "agent_id", wide=True),
    Column("SINCE", lambda task: age(task["since"])),
    Column("WHY", why),
)

UNKNOWN_COLUMNS: Final = (
    field("ID", "id"),
    field("STATE", "state"),
    field("AGENT", "agent_id"),
    Column("SEEN", lambda task: age(task["since"])),
)


@click.command()
@click.option("--job", help="Only tasks of this job.")
@click.option("--state", "states", multiple=True, help="Only tasks in this state; may be repeated.")
@click.option("--ended", is_flag=True, help="Also attempts that ended.")
@click.option("--unknown", is_flag=True, help="Instead: tasks of ours in no record of ours.")
@server_options
@output_option
def tasks(
    job: str | None,
    states: tuple[str, ...],
    ended: bool,
    unknown: bool,
    client: Client,
    form: str,
) -> None:
    """List tasks, and instances that wait for one."""
    if unknown:
        if job or states or ended:
            raise click.UsageError("--unknown stands alone: nothing else is known of these tasks")
        print_items(form, client.of_the_leader().get("unknown_tasks")["items"], UNKNOWN_COLUMNS)
        return
    state = ",".join(states) or None
    found = client.pages("tasks", job=job, state=state, ended=ended or None)
    print_items(form, found, COLUMNS)


@click.command()
@click.argument("task")
@server_options
@output_option
def task(task: str, client: Client, form: str) -> None:
    """Show one task. TASK is an id, the beginning of one, or JOB/INSTANCE."""
    data = find_task(client, task)
    rows = [
        ("task", plain(data["id"])),
        ("job", plain(data["job"])),
        ("instance", str(data["instance"])),
        ("attempt", str(data["attempt"])),
        ("state", plain(data["state"])),
        ("healthy", plain(data["healthy"])),
        ("host", plain(data["hostname"])),
        ("agent", plain(data["agent_id"])),
        ("ports", plain(data["ports"])),
        ("version", plain(data["version"])),
        ("since", moment(data["since"])),
        ("launched", moment(data["launched_at"])),
        ("started", moment(data["started_at"])),
        ("reason", plain(data["reason"])),
        ("message", plain(data["message"])),
        ("wanted end", plain(data["end"])),
    ]
    print_fields(form, data, rows)


@click.command()
@click.argument("task")
@click.option("--grace", help="What it gets to stop, such as 10s; else the job's own.")
@server_options
def kill(task: str, grace: str | None, client: Client) -> None:
    """End one TASK; a service's instance starts anew. Unknown tasks are named by their whole id."""
    task_id = find_task_to_end(client.of_the_leader(), task)
    answer = client.post("tasks", task_id, "kill", body={"grace": grace} if grace else {})
    detail = f" ({clean(answer['detail'])})" if answer["detail"] else ""
    click.echo(f"{task_id}: {answer['result']}{detail}")
