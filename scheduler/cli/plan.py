"""`offerd plan`: what applying job files would do, without doing it."""

from typing import Final

import click

from scheduler.cli.client import Client, Fields
from scheduler.cli.job_files import PATHS, document_to_send, read_files
from scheduler.cli.options import output_option, server_options
from scheduler.cli.output import Column, clean, field, plain, print_data, print_table

AGENTS_SHOWN_MAX: Final = 20
AGENTS: Final = (
    field("AGENT", "id"),
    field("HOST", "hostname"),
    field("TAKES", "takes"),
    field("OFFERED", "on_offer"),
    Column("VERDICT", lambda agent: clean(agent["text"])),
)


@click.command()
@PATHS
@server_options
@output_option
def plan(paths: tuple[str, ...], client: Client, form: str) -> None:
    """Show what applying job files would do. Nothing is changed.

    PATH may be a folder, or - for standard input.
    """
    documents = [document_to_send(job) for job in read_files(paths)]
    data = client.post("plan", body={"jobs": documents})
    if form in ("json", "yaml"):
        print_data(form, data)
        return
    if not data["connected"]:
        click.echo("There is no connection with a master: this is what was known last.")
    if data["agents_hidden"]:
        click.echo(f"The master lists no agents ({clean(data['agents_hidden'])}).")
    for job in data["jobs"]:
        for line in lines_of(job):
            click.echo(line)
        _print_agents(job["agents"], all_of_them=form == "wide")


def lines_of(job: Fields) -> list[str]:
    """One job in words: what becomes of it, and what differs."""
    lines = [f"{job['job']}: {job['result']}: {clean(job['text'])}"]
    for change in job["changes"]:
        before, after = plain(change["before"]), plain(change["after"])
        lines.append(f"  {change['path']}: {before} -> {after}")
    if job["ahead"] and job["agents"]:
        which = "1 job waits" if job["ahead"] == 1 else f"{job['ahead']} jobs wait"
        lines.append(f"  {which} with the same or a higher priority")
    return lines


def _print_agents(agents: list[Fields], *, all_of_them: bool) -> None:
    shown = agents if all_of_them else agents[:AGENTS_SHOWN_MAX]
    if not shown:
        return
    rows = [[column.text(agent) for column in AGENTS] for agent in shown]
    print_table([column.title for column in AGENTS], rows)
    if len(shown) < len(agents):
        click.echo(f"… and {len(agents) - len(shown)} more (-o wide)")
