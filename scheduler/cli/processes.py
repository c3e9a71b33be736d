"""`offerd run`, `dev`, `emulate`: the commands that are processes of their own.

Thin: they read options and hand over to `scheduler.cli.daemon` and `scheduler.emulator`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from scheduler.emulator.cluster import EmulatedCluster

LISTEN_DEFAULT: Final = "127.0.0.1:8080"
NAME_VALUE: Final = "NAME=VALUE"


@click.command()
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings, as config/offerd.yaml shows them.",
)
def run(config: Path | None) -> None:
    """Run the daemon. Variables OFFERD_… go over the settings' file."""
    from scheduler.cli.daemon import run_daemon
    from scheduler.errors import OfferdError
    from scheduler.settings import load_settings

    try:
        code = run_daemon(load_settings(config, os.environ))
    except OfferdError as error:
        click.echo(f"offerd: {error}", err=True)
        code = error.exit_code
    click.get_current_context().exit(code)


@click.command()
@click.option("--agents", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--listen", metavar="HOST:PORT", default=LISTEN_DEFAULT, show_default=True)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where state and sandboxes live; else a new temporary folder.",
)
@click.option(
    "--jobs",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A job file or a folder of them, to apply at once.",
)
def dev(agents: int, listen: str, directory: Path | None, jobs: tuple[Path, ...]) -> None:
    """Run a daemon with an emulated cluster, to try things out."""
    from scheduler.cli.dev import DevOptions, run_dev
    from scheduler.errors import OfferdError

    try:
        code = run_dev(DevOptions(agents, listen, directory, jobs))
    except OfferdError as error:
        click.echo(f"offerd: {error}", err=True)
        code = error.exit_code
    click.get_current_context().exit(code)


def _attributes(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if not all(name and equals and value for name, equals, value in pairs):
        raise click.BadParameter(f"an attribute is {NAME_VALUE}")
    return {name: value for name, _, value in pairs}


@click.command()
@click.option("--agents", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=5050, show_default=True)
@click.option("--simulate", is_flag=True, help="Tasks are timers, not processes.")
@click.option("--cpus", type=click.FloatRange(min=0), default=4.0, show_default=True)
@click.option("--mem", "mem_mb", type=click.FloatRange(min=0), default=8192.0, show_default=True)
@click.option("--disk", "disk_mb", type=click.FloatRange(min=0), default=102_400.0)
@click.option("--gpus", type=click.IntRange(min=0), default=0)
@click.option("--revocable-cpus", type=click.FloatRange(min=0), default=0.0)
@click.option("--racks", type=click.IntRange(min=0), default=0, help="Attribute rack, in turns.")
@click.option("--zones", type=click.IntRange(min=0), default=0, help="Attribute zone, in turns.")
@click.option("--attribute", "attributes", multiple=True, metavar=NAME_VALUE, callback=_attributes)
@click.option("--work-dir", type=click.Path(file_okay=False), help="Where sandboxes are made.")
@click.option("--seed", type=int, help="The same ids at each start.")
def emulate(**options: Any) -> None:
    """Run an emulated Mesos master with agents. Amounts are each agent's (mem and disk in MB)."""
    from scheduler.emulator.main import run_emulator
    from scheduler.emulator.options import EmulatorOptions

    def announce(cluster: "EmulatedCluster") -> None:
        click.echo(
            f"a master with {options['agents']} agents at http://{cluster.host}:{cluster.port}"
        )

    try:
        run_emulator(EmulatorOptions(**options), announce)
    except OSError as error:
        raise click.ClickException(
            f"{options['host']}:{options['port']}: {error.strerror}; choose another with --port"
        ) from error
