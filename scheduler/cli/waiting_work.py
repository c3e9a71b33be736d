"""`offerd explain`, `queue`: why work waits."""

from typing import Final

import click

from scheduler.cli.client import Client, Fields
from scheduler.cli.options import output_option, server_options
from scheduler.cli.output import (
    EMPTY,
    Column,
    age,
    clean,
    field,
    moment,
    plain,
    print_data,
    print_items,
    print_table,
    until,
)

REASONS: Final = (
    field("REASON", "reason"),
    field("AGENTS", "agents"),
    Column("ALONE", lambda reason: plain(reason["alone"]) if reason["agents"] else EMPTY),
    Column("SHORT", lambda reason: _short(reason)),
    Column("UNTIL", lambda reason: until(reason["until"])),
    Column("WHY", lambda reason: clean(reason["text"])),
)
HISTORY: Final = (
    Column("SINCE", lambda told: age(told["at"])),
    Column("REASONS", lambda told: plain(told["reasons"])),
    Column("WHY", lambda told: clean(told["text"])),
)
QUEUE: Final = (
    field("JOB", "job"),
    field("STATE", "state"),
    field("ROLE", "role", wide=True),
    field("PRIORITY", "priority"),
    field("OWNER", "owner"),
    Column("SHARE", lambda group: f"{100 * group['share']:.1f}%"),
    field("WAITING", "waiting"),
    field("BACK-OFF", "backing_off"),
    Column("SINCE", lambda group: age(group["since"])),
    field("TRIES", "tries", wide=True),
    field("WHY", "text"),
)


def _short(reason: Fields) -> str:
    """What the best lacks, and of what."""
    if reason["short"] is None:
        return EMPTY
    unit = " MiB" if reason["reason"] in ("mem", "disk") else ""
    return f"{plain(reason['short'])}{unit} {reason['of']}"


@click.command()
@click.argument("job")
@click.option("--agent", metavar="AGENT", help="An agent's id or host: all that keeps JOB off it.")
@server_options
@output_option
def explain(job: str, agent: str | None, client: Client, form: str) -> None:
    """Say why instances of JOB wait, and what would help."""
    data = client.get("jobs", job, "explain", agent=agent)
    if form in ("json", "yaml"):
        print_data(form, data)
        return
    if data["on_agent"] is not None:
        click.echo(on_agent_text(data["on_agent"]))
        return
    for line in lines_of(data):
        click.echo(line)
    if data["reasons"]:
        click.echo("")
        _print(REASONS, data["reasons"])
    if data["history"]:
        click.echo("")
        _print(HISTORY, data["history"])


def lines_of(data: Fields) -> list[str]:
    """The explanation for people, one line a sentence."""
    lines = [f"{data['job']}: {clean(data['text'])}"]
    if data["since"] is not None:
        lines.append(f"It has waited since {moment(data['since'])}.")
    if data["back_off"] is not None:
        lines.append(f"The next back-off ends in {until(data['back_off']['until'])}.")
    if data["agents"] and data["agents_seen_s_ago"] is not None:
        lines.append(f"The master listed its agents {data['agents_seen_s_ago']:.0f} s ago.")
    return lines


def on_agent_text(agent: Fields) -> str:
    """`agent-1: lacks cpus (by 0.5), fails `rack is r1``."""
    found = [clean(reason["text"]).removeprefix("1 ") for reason in agent["reasons"]]
    return f"{clean(agent['hostname'])}: {', '.join(found) or 'it would be placed there'}"


def _print(columns: tuple[Column, ...], items: list[Fields]) -> None:
    rows = [[column.text(item) for column in columns] for item in items]
    print_table([column.title for column in columns], rows)


@click.command()
@server_options
@output_option
def queue(client: Client, form: str) -> None:
    """List the jobs that wait for offers, in the order of their turns."""
    print_items(form, client.pages("queue"), QUEUE)
