"""How answers are printed: aligned columns for people, JSON or YAML for programs.

Colours only on a terminal, and never with NO_COLOR. Text that came from a cluster is printed
without its control characters: a task's message must not steer somebody's terminal.
"""

import datetime
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import click

from scheduler.cli.client import Fields

EMPTY: Final = "-"
STATE_COLOURS: Final = {
    "running": "green",
    "finished": "cyan",
    "failed": "red",
    "error": "red",
    "lost": "red",
    "gone": "red",
    "dropped": "red",
    "unreachable": "yellow",
    "unknown": "yellow",
    "killing": "yellow",
    "launching": "blue",
    "starting": "blue",
    "queued": "blue",
}


class Column(NamedTuple):
    """`wide`: only shown by `-o wide`."""

    title: str
    text: Callable[[Fields], str]
    wide: bool = False


def field(title: str, name: str, *, wide: bool = False) -> Column:
    """A column that shows a field as it is."""
    return Column(title, lambda item: plain(item.get(name)), wide)


def print_items(form: str, items: Iterable[Fields], columns: Sequence[Column]) -> None:
    """A list: one row an item, or the items as a JSON or YAML list."""
    match form:
        case "json" | "yaml":
            print_data(form, list(items))
        case _:
            shown = [column for column in columns if form == "wide" or not column.wide]
            rows = [[column.text(item) for column in shown] for item in items]
            print_table([column.title for column in shown], rows)


def print_fields(form: str, data: Fields, rows: Sequence[tuple[str, str]]) -> None:
    """One thing: a line for each of its properties, or all of it as JSON or YAML."""
    if form in ("json", "yaml"):
        print_data(form, data)
        return
    width = max(len(name) for name, _ in rows) + 2
    for name, value in rows:
        click.echo(f"{name + ':':<{width}}{_coloured(value, len(value))}")


def print_data(form: str, data: object) -> None:
    if form == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    click.echo(yaml_of(data), nl=False)


def yaml_of(data: object) -> str:
    from scheduler.cli.yaml_text import yaml_text

    return yaml_text(data)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    click.echo(_line(titles, widths))
    for row in rows:
        click.echo(_line(row, widths))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [_coloured(cell, width) for cell, width in zip(cells[:-1], widths, strict=False)]
    return "  ".join([*padded, _coloured(cells[-1], 0)])


def _coloured(cell: str, width: int) -> str:
    colour = STATE_COLOURS.get(cell)
    padded = cell.ljust(width)
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return padded
    return click.style(cell, fg=colour) + padded[len(cell) :]


# --- values as text ------------------------------------------------------------------------------


def plain(value: Any) -> str:
    """A JSON value on one line."""
    match value:
        case None | "" | []:
            return EMPTY
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return ",".join(map(plain, value))
        case dict():
            pairs = [f"{clean(name)}={plain(inner)}" for name, inner in value.items()]
            return " ".join(pairs) or EMPTY
        case _:
            return clean(str(value))


def clean(text: str) -> str:
    """On one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def age(since: float | None) -> str:
    """How long ago a wall time was: `45s`, `12m`, `3h`, `5d`."""
    if since is None:
        return EMPTY
    seconds = max(0, int(datetime.datetime.now(datetime.UTC).timestamp() - since))
    for unit, worth in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * worth:
            return f"{seconds // worth}{unit}"
    return f"{seconds}s"


def until(at: float | None) -> str:
    """How long it is to a wall time: `45s`, `12m`; `0s` when it has come."""
    if at is None:
        return EMPTY
    return age(2 * datetime.datetime.now(datetime.UTC).timestamp() - at)


def moment(at: float | None) -> str:
    """A wall time with its age."""
    if at is None:
        return EMPTY
    local = datetime.datetime.fromtimestamp(at, datetime.UTC).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S %z} ({age(at)} ago)"
