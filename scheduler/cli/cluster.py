"""`offerd agents`, `forgive`, `status`."""

from typing import Final

import click

from scheduler.cli.client import Client, Fields
from scheduler.cli.options import output_option, server_options
from scheduler.cli.output import (
    EMPTY,
    Column,
    clean,
    field,
    moment,
    plain,
    print_fields,
    print_items,
    until,
)


def used_of(name: str) -> Column:
    """Used of total, of one resource."""
    return Column(name.upper(), lambda agent: _used(agent, name))


def _used(agent: Fields, name: str) -> str:
    total, used = agent["total"], agent["used"]
    if total is None:
        return EMPTY
    return f"{plain(used[name]) if used else '?'}/{plain(total[name])}"


COLUMNS: Final = (
    field("AGENT", "id"),
    field("HOST", "hostname"),
    field("ACTIVE", "active"),
    field("TASKS", "tasks"),
    used_of("cpus"),
    used_of("mem"),
    Column("DISK", lambda agent: _used(agent, "disk"), wide=True),
    Column("GPUS", lambda agent: _used(agent, "gpus"), wide=True),
    Column("REVOCABLE CPUS", lambda agent: _used(agent, "revocable_cpus"), wide=True),
    field("REGION", "region", wide=True),
    field("ZONE", "zone", wide=True),
    Column("AVOIDED", lambda agent: until(agent["avoided_until"])),
    Column("AVOIDED FOR", lambda agent: plain(agent["avoided_for"]), wide=True),
    Column("MAINTENANCE IN", lambda agent: until(agent["leaves_at"]), wide=True),
    field("URL", "url", wide=True),
    field("ATTRIBUTES", "attributes"),
)


@click.command()
@server_options
@output_option
def agents(client: Client, form: str) -> None:
    """List the cluster's agents."""
    print_items(form, client.pages("agents"), COLUMNS)


@click.command()
@click.argument("agent")
@server_options
def forgive(agent: str, client: Client) -> None:
    """Use an AGENT again that is avoided as tasks failed there."""
    answer = client.post("agents", agent, "forgive", body={})
    detail = f" ({clean(answer['detail'])})" if answer["detail"] else ""
    click.echo(f"{agent}: {answer['result']}{detail}")


@click.command()
@server_options
@output_option
def status(client: Client, form: str) -> None:
    """Show how the daemon and its connection to the cluster are."""
    data = client.get("status")
    master = plain(data["master"])
    rows = [
        ("instance", plain(data["instance"])),
        ("leading", plain(data["leading"])),
        ("leader", plain(data["leader"])),
        ("leader's URL", plain(data["leader_url"])),
        ("age", EMPTY if data["age_s"] is None else f"{data['age_s']:g} s"),
        ("framework", plain(data["framework_id"])),
        ("master", master),
        ("connected", _connection(data)),
        ("reconciling", plain(data["reconciling"])),
        *_offers(data),
        ("jobs", str(data["jobs"])),
        ("tasks", plain(data["tasks"])),
        ("waiting", str(data["waiting"])),
        ("unknown tasks", str(data["unknown_tasks"])),
    ]
    rows += [
        (title, plain(data[name]))
        for title, name in (
            ("passing on fails", "passing_on_fails"),
            ("store refuses", "store_refusing"),
            ("agents hidden", "agents_hidden"),
            ("frameworks hidden", "frameworks_hidden"),
            ("needs refused", "needs_refused"),
        )
        if data[name]
    ]
    rows += _others(data)
    print_fields(form, data, rows)


def _connection(status: Fields) -> str:
    if status["connected"]:
        return moment(status["connected_since"])
    if not status["leading"]:
        return "no (only the leader is)"
    since = status["disconnected_since"]
    text = "no" if since is None else f"no, since {moment(since)}"
    return text + (f": {clean(status['not_connected'])}" if status["not_connected"] else "")


def _offers(status: Fields) -> list[tuple[str, str]]:
    """What the master was last told of our roles, one a row."""
    if not status["leading"] or not status["connected"]:
        return [("roles", plain(status["roles"]))]
    return [(f"offers for {clean(told['role'])}", _wanted(told)) for told in status["offers"]]


def _wanted(told: Fields) -> str:
    if told["suppressed"]:
        return "suppressed, as nothing waits for them"
    parts = ["wanted"]
    if told["constraints"]:
        parts.append(f"where {' or '.join(map(clean, told['constraints']))}")
    if told["refused_for_s"] is not None:
        parts.append(f"some refused by us for up to {told['refused_for_s']:.0f} s")
    return ", ".join(parts)


def _others(status: Fields) -> list[tuple[str, str]]:
    """Other frameworks in our roles, one a row."""
    return [
        ("also in our roles", f"{clean(one['name'])} ({', '.join(one['roles'])}), {one['id']}")
        for one in status["other_frameworks"] or ()
    ]
