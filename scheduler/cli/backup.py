"""`offerd backup`, `restore`: all that is stored, to a file and back.

Thin: what they do is in `whole_store`.
"""

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scheduler.settings import Settings

Command = Callable[..., Any]


def config_option(command: Command) -> Command:
    return click.option(
        "-c",
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The daemon's settings, as config/offerd.yaml shows them.",
    )(command)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
def backup(file: Path, config: Path | None) -> None:
    """Write all that is stored to a new FILE. Daemons may run meanwhile."""
    from scheduler.cli.whole_store import back_up

    _carry_out(config, lambda settings: back_up(settings, file))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@click.option("--replace", is_flag=True, help="Also where something is stored: it is removed.")
@click.option("--run", is_flag=True, help="Jobs go on at once, beside tasks that may still live.")
@click.option("--new-framework", is_flag=True, help="Without the framework id: for another master.")
def restore(file: Path, config: Path | None, replace: bool, run: bool, new_framework: bool) -> None:
    """Fill an empty store from FILE, while no daemon runs on it. No task is started or ended:
    jobs are restored stopped, and tasks of before become unknown tasks, which are kept."""
    from scheduler.cli.whole_store import Wish, restore_from

    wish = Wish(replace=replace, run=run, new_framework=new_framework)
    _carry_out(config, lambda settings: restore_from(settings, file, wish))


def _carry_out(
    config: Path | None, work: "Callable[[Settings], Coroutine[None, None, str]]"
) -> None:
    import asyncio

    from scheduler.errors import OfferdError, first_of
    from scheduler.runtime import logs
    from scheduler.settings import load_settings

    logs.configure("error", "console")
    try:
        click.echo(asyncio.run(work(load_settings(config, os.environ))))
    except* OfferdError as group:
        error = first_of(group)
        click.echo(f"offerd: {error}", err=True)
        click.get_current_context().exit(error.exit_code)
