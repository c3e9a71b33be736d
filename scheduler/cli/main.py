"""The `offerd` command: a table of subcommands, each imported only when it is asked for.

`--help` and completion import command modules, which are light; what they need to run (a YAML
reader, the daemon) they import when they run.
"""

import difflib
import importlib
from pathlib import Path
from typing import Final

import click

from scheduler.cli.options import FORMS, SERVER_DEFAULT

HELP_CHARS_MAX: Final = 64
"""What fits beside a name on 80 columns."""

SECTIONS: Final = {
    "Job files": {
        "validate": "scheduler.cli.job_files:validate",
        "plan": "scheduler.cli.plan:plan",
        "apply": "scheduler.cli.job_files:apply",
        "schema": "scheduler.cli.job_files:schema",
    },
    "Jobs": {
        "jobs": "scheduler.cli.jobs:jobs",
        "job": "scheduler.cli.jobs:job",
        "explain": "scheduler.cli.waiting_work:explain",
        "queue": "scheduler.cli.waiting_work:queue",
        "scale": "scheduler.cli.jobs:scale",
        "stop": "scheduler.cli.jobs:stop",
        "delete": "scheduler.cli.jobs:delete",
    },
    "Tasks": {
        "tasks": "scheduler.cli.tasks:tasks",
        "task": "scheduler.cli.tasks:task",
        "kill": "scheduler.cli.tasks:kill",
        "logs": "scheduler.cli.logs:logs",
    },
    "Cluster": {
        "agents": "scheduler.cli.cluster:agents",
        "forgive": "scheduler.cli.cluster:forgive",
        "status": "scheduler.cli.cluster:status",
    },
    "Daemon": {
        "run": "scheduler.cli.processes:run",
        "dev": "scheduler.cli.processes:dev",
        "emulate": "scheduler.cli.processes:emulate",
        "backup": "scheduler.cli.backup:backup",
        "restore": "scheduler.cli.backup:restore",
    },
}
COMMANDS: Final = {name: place for section in SECTIONS.values() for name, place in section.items()}


class LazyGroup(click.Group):
    """Commands by name, in the order of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            ctx.fail(f"there is no command {name}{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                # Filled up, so that all sections have their second column in one place.
                formatter.write_dl(
                    [(name.ljust(widest), self._short_help(ctx, name)) for name in section]
                )

    def _short_help(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=HELP_CHARS_MAX) if command is not None else ""


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from scheduler import __version__

    click.echo(f"offerd {__version__}")
    context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--server",
    metavar="URL,…",
    help=f"The daemon to ask, or several; else OFFERD_SERVER, else {SERVER_DEFAULT}.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds the token; else OFFERD_TOKEN.",
)
@click.option("-o", "--output", type=click.Choice(FORMS), help="How to print; default: table.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def offerd(server: str | None, token_file: Path | None, output: str | None) -> None:
    """Run jobs on an Apache Mesos cluster and keep them running."""


def main() -> None:
    """The entry point. Ends with 0 done, 1 request failed, 2 bad usage or bad file."""
    offerd(prog_name="offerd")


if __name__ == "__main__":
    main()
